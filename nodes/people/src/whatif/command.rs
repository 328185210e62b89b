//! Deeds as commands of one gateway; never what comes of them.

use acd::{CallControl, Command, EndCause};

use crate::words::{Act, Deed, Target};

/// The one gateway of a what-if.
pub(crate) const GATEWAY: &str = "whatif";
/// Its one life.
pub(crate) const INCARNATION: u64 = 1;

/// What is asked of the shard.
pub(crate) fn command(deed: Deed) -> Command {
    match deed {
        Deed::Dial { call, number, caller } => Command::OfferCall {
            call,
            gateway: GATEWAY.to_owned(),
            incarnation: INCARNATION,
            number,
            caller,
            caller_name: String::new(),
            passport: Vec::new(),
        },
        Deed::Answer { call, leg } => Command::AnswerLeg { call, leg, passport: Vec::new(), tenure: 0 },
        Deed::Refuse { call, leg, busy: true } => {
            Command::EndLeg { call, leg, cause: EndCause::Busy, sip_status: 486, tenure: 0, moved_to: Vec::new() }
        }
        Deed::Refuse { call, leg, busy: false } => {
            Command::EndLeg { call, leg, cause: EndCause::Rejected, sip_status: 603, tenure: 0, moved_to: Vec::new() }
        }
        Deed::HangUp { call, leg } => {
            Command::EndLeg { call, leg, cause: EndCause::Hangup, sip_status: 0, tenure: 0, moved_to: Vec::new() }
        }
        Deed::Press { call, leg, digits } => Command::PressDigits { call, leg, digits, tenure: 0 },
        Deed::LogIn { agent } => Command::LogInAgent { agent },
        Deed::LogOut { agent } => Command::LogOutAgent { agent },
        Deed::Ready { agent } => Command::MakeAgentReady { agent },
        Deed::NotReady { agent, reason } => Command::MakeAgentNotReady { agent, reason },
        Deed::Act { call, agent, act } => in_hand(call, agent, act),
    }
}

fn in_hand(call: u64, agent: String, act: Act) -> Command {
    let control = |control| Command::ControlCall { call, agent: agent.clone(), control };
    match act {
        Act::Transfer(target) => Command::TransferCall { call, agent, target: whom(target) },
        Act::Consult(target) => Command::ConsultCall { call, agent, target: whom(target) },
        Act::Hold => control(CallControl::Hold),
        Act::Resume => control(CallControl::Resume),
        Act::Complete => control(CallControl::Complete),
        Act::Swap => control(CallControl::Swap),
        Act::Conference => control(CallControl::Conference),
        Act::TakeBack => control(CallControl::TakeBack),
        Act::Leave => control(CallControl::Leave),
    }
}

fn whom(target: Target) -> acd::Target {
    match target {
        Target::Agent(name) => acd::Target::Agent(name),
        Target::Queue(name) => acd::Target::Queue(name),
        Target::Number(number) => acd::Target::Number(number),
        Target::Sip(uri) => acd::Target::Sip(uri),
    }
}
