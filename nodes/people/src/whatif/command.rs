//! Deeds as commands of one gateway; never what comes of them.

use acd::{Command, EndCause};

use crate::words::{Act, Deed};

/// The one gateway of a what-if.
pub(crate) const GATEWAY: &str = "whatif";
/// Its one life.
pub(crate) const INCARNATION: u64 = 1;

/// `None`: nothing in the shard's words.
pub(crate) fn command(deed: Deed) -> Option<Command> {
    Some(match deed {
        Deed::Dial { call, number, caller } => Command::OfferCall {
            call,
            gateway: GATEWAY.to_owned(),
            incarnation: INCARNATION,
            number,
            caller,
            caller_name: String::new(),
        },
        Deed::Answer { call, leg } => Command::AnswerLeg { call, leg, passport: Vec::new() },
        Deed::Refuse { call, leg, busy: true } => Command::EndLeg { call, leg, cause: EndCause::Busy, sip_status: 486 },
        Deed::Refuse { call, leg, busy: false } => {
            Command::EndLeg { call, leg, cause: EndCause::Rejected, sip_status: 603 }
        }
        Deed::HangUp { call, leg } => Command::EndLeg { call, leg, cause: EndCause::Hangup, sip_status: 0 },
        Deed::Press { call, leg, digits } => Command::PressDigits { call, leg, digits },
        Deed::LogIn { agent } => Command::LogInAgent { agent },
        Deed::LogOut { agent } => Command::LogOutAgent { agent },
        Deed::Ready { agent } => Command::MakeAgentReady { agent },
        Deed::NotReady { agent, reason } => Command::MakeAgentNotReady { agent, reason },
        Deed::Act { call, agent, act } => return control(call, &agent, &act),
    })
}

fn control(_call: u64, _agent: &str, act: &Act) -> Option<Command> {
    match act {
        Act::Hold
        | Act::Resume
        | Act::Transfer(_)
        | Act::Consult(_)
        | Act::Complete
        | Act::Swap
        | Act::Conference
        | Act::TakeBack
        | Act::Leave => None,
    }
}
