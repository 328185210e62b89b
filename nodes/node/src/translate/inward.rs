//! From the wire to the shard machine.

use proto::v1;

/// A command that this release cannot say in the shard's words. Deterministic: every replica of this release refuses it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unspeakable(pub &'static str);

/// One logged command, at the time of its entry.
///
/// # Errors
/// A field that no sender of ours leaves out.
pub fn entry(at_ms: u64, logged: v1::Logged) -> Result<acd::Entry, Unspeakable> {
    let id = logged.id.ok_or(Unspeakable("a command without an id"))?;
    let command = logged.command.and_then(|command| command.kind).ok_or(Unspeakable("an empty command"))?;
    Ok(acd::Entry {
        at: at_ms,
        id: acd::CommandId { sender: id.sender, number: id.number },
        settled_below: logged.settled_below,
        trace: logged.trace.map(|trace| trace.traceparent).filter(|trace| !trace.is_empty()),
        command: self::command(command)?,
    })
}

/// One command.
///
/// # Errors
/// An enum value that this release does not know.
pub fn command(kind: v1::command::Kind) -> Result<acd::Command, Unspeakable> {
    use acd::Command as To;
    use v1::command::Kind as From;
    Ok(match kind {
        From::Configure(from) => To::Configure {
            version: from.version,
            documents: from.documents.into_iter().filter_map(documents::for_shard).collect(),
        },
        From::AttachGateway(v1::AttachGateway { gateway, incarnation, sip }) => {
            To::AttachGateway { gateway, incarnation, sip }
        }
        From::LoseGateway(v1::LoseGateway { gateway, incarnation }) => To::LoseGateway { gateway, incarnation },
        From::OfferCall(from) => To::OfferCall {
            call: from.call,
            gateway: from.gateway,
            incarnation: from.incarnation,
            number: from.number,
            caller: from.caller,
            caller_name: from.caller_name,
            passport: from.passport,
        },
        From::AnswerLeg(v1::AnswerLeg { call, leg, passport, tenure }) => To::AnswerLeg { call, leg, passport, tenure },
        From::ConfirmLeg(v1::ConfirmLeg { call, leg, passport, tenure }) => {
            To::ConfirmLeg { call, leg, passport, tenure }
        }
        From::EndLeg(from) => To::EndLeg {
            call: from.call,
            leg: from.leg,
            cause: cause(from.cause())?,
            sip_status: from.sip_status,
            tenure: from.tenure,
            moved_to: from.moved_to,
        },
        From::PressDigits(v1::PressDigits { call, leg, digits, tenure }) => {
            To::PressDigits { call, leg, digits, tenure }
        }
        From::ClearCall(v1::ClearCall { call, by }) => To::ClearCall { call, by },
        From::RegisterContact(from) => To::RegisterContact {
            agent: from.agent,
            contact: from.contact,
            expires_seconds: from.expires_seconds,
            gateway: from.gateway,
            path: from.path,
            flow: from.flow,
        },
        From::LogInAgent(v1::LogInAgent { agent }) => To::LogInAgent { agent },
        From::LogOutAgent(v1::LogOutAgent { agent }) => To::LogOutAgent { agent },
        From::MakeAgentReady(v1::MakeAgentReady { agent }) => To::MakeAgentReady { agent },
        From::MakeAgentNotReady(v1::MakeAgentNotReady { agent, reason }) => To::MakeAgentNotReady { agent, reason },
        From::AdvanceClock(v1::AdvanceClock {}) => To::AdvanceClock,
        From::TakeLead(v1::TakeLead {}) => To::TakeLead,
        From::SetRules(v1::SetRules { version }) => To::SetRules { version },
        From::ExtendWrapUp(v1::ExtendWrapUp { agent, seconds }) => To::ExtendWrapUp { agent, seconds },
        From::PullCall(v1::PullCall { call, agent, by }) => To::PullCall { call, agent, by },
        From::ChooseAgents(v1::ChooseAgents { call, ask, agents }) => To::ChooseAgents { call, ask, agents },
        From::ChangeCall(v1::ChangeCall { call, priority, boost_seconds, move_to, by }) => {
            To::ChangeCall { call, priority, boost_seconds, move_to, by }
        }
        From::TransferCall(from) => {
            To::TransferCall { call: from.call, agent: from.agent, target: target(from.target)? }
        }
        From::ConsultCall(from) => To::ConsultCall { call: from.call, agent: from.agent, target: target(from.target)? },
        From::ControlCall(from) => {
            let control = control(from.control())?;
            To::ControlCall { call: from.call, agent: from.agent, control }
        }
        From::RequestCallback(v1::RequestCallback { call, number }) => To::RequestCallback { call, number },
        From::CancelCallback(v1::CancelCallback { call, by }) => To::CancelCallback { call, by },
        From::DrainGateway(v1::DrainGateway { gateway, incarnation, undo, by }) => {
            To::DrainGateway { gateway, incarnation, undo, by }
        }
        From::ReferLeg(v1::ReferLeg { call, leg, tenure, target: to, replaces }) => {
            To::ReferLeg { call, leg, tenure, target: target(to)?, replaces }
        }
        From::HoldLeg(v1::HoldLeg { call, leg, tenure, held }) => To::HoldLeg { call, leg, tenure, held },
    })
}

fn cause(cause: v1::EndCause) -> Result<acd::EndCause, Unspeakable> {
    use acd::EndCause as To;
    use v1::EndCause as From;
    Ok(match cause {
        From::Unspecified => return Err(Unspeakable("an EndLeg without a cause")),
        From::Hangup => To::Hangup,
        From::Cancelled => To::Cancelled,
        From::Busy => To::Busy,
        From::Rejected => To::Rejected,
        From::NoAnswer => To::NoAnswer,
        From::Unreachable => To::Unreachable,
        From::Media => To::Media,
        From::Ordered => To::Ordered,
        From::Failed => To::Failed,
        From::Lost => To::Lost,
        From::Moved => To::Moved,
    })
}

fn target(target: Option<v1::Target>) -> Result<acd::Target, Unspeakable> {
    target.and_then(documents::target).ok_or(Unspeakable("a target that names nobody"))
}

fn control(control: v1::CallControl) -> Result<acd::CallControl, Unspeakable> {
    use acd::CallControl as To;
    use v1::CallControl as From;
    Ok(match control {
        From::Unspecified => return Err(Unspeakable("a ControlCall without a control")),
        From::Hold => To::Hold,
        From::Resume => To::Resume,
        From::Complete => To::Complete,
        From::Swap => To::Swap,
        From::Conference => To::Conference,
        From::TakeBack => To::TakeBack,
        From::Leave => To::Leave,
    })
}
