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
            documents: from.documents.into_iter().filter_map(document).collect(),
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
        },
        From::AnswerLeg(v1::AnswerLeg { call, leg, passport }) => To::AnswerLeg { call, leg, passport },
        From::ConfirmLeg(v1::ConfirmLeg { call, leg, passport }) => To::ConfirmLeg { call, leg, passport },
        From::EndLeg(from) => {
            To::EndLeg { call: from.call, leg: from.leg, cause: cause(from.cause())?, sip_status: from.sip_status }
        }
        From::PressDigits(v1::PressDigits { call, leg, digits }) => To::PressDigits { call, leg, digits },
        From::ClearCall(v1::ClearCall { call, by }) => To::ClearCall { call, by },
        From::RegisterContact(from) => To::RegisterContact {
            agent: from.agent,
            contact: from.contact,
            expires_seconds: from.expires_seconds,
            gateway: from.gateway,
        },
        From::LogInAgent(v1::LogInAgent { agent }) => To::LogInAgent { agent },
        From::LogOutAgent(v1::LogOutAgent { agent }) => To::LogOutAgent { agent },
        From::MakeAgentReady(v1::MakeAgentReady { agent }) => To::MakeAgentReady { agent },
        From::MakeAgentNotReady(v1::MakeAgentNotReady { agent, reason }) => To::MakeAgentNotReady { agent, reason },
        From::AdvanceClock(v1::AdvanceClock {}) => To::AdvanceClock,
        From::TakeLead(v1::TakeLead {}) => To::TakeLead,
        From::SetRules(_)
        | From::ExtendWrapUp(_)
        | From::PullCall(_)
        | From::ChooseAgents(_)
        | From::ChangeCall(_)
        | From::TransferCall(_)
        | From::ConsultCall(_)
        | From::ControlCall(_)
        | From::RequestCallback(_)
        | From::CancelCallback(_) => return Err(Unspeakable("a command of a later release")),
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
    })
}

fn document(document: v1::Document) -> Option<acd::Document> {
    use v1::document::Kind;
    Some(match document.kind? {
        Kind::Number(v1::Number { name, queue, .. }) => acd::Document::Number(acd::Number { name, queue }),
        Kind::Queue(from) => acd::Document::Queue(queue(from)),
        Kind::Agent(from) => acd::Document::Agent(agent(from)),
        Kind::Trunk(v1::Trunk { name, addresses }) => acd::Document::Trunk(acd::Trunk { name, addresses }),
        Kind::Skill(_)
        | Kind::Schedule(_)
        | Kind::Zone(_)
        | Kind::Caller(_)
        | Kind::Forwarding(_)
        | Kind::Centre(_) => return None,
    })
}

fn queue(from: v1::Queue) -> acd::Queue {
    acd::Queue {
        strategy: match from.strategy() {
            v1::Strategy::Unspecified
            | v1::Strategy::LongestIdle
            | v1::Strategy::RoundRobin
            | v1::Strategy::Linear
            | v1::Strategy::FewestCalls
            | v1::Strategy::LeastTalk
            | v1::Strategy::LeastOccupied
            | v1::Strategy::MostSkilled
            | v1::Strategy::Random
            | v1::Strategy::WeightedRandom
            | v1::Strategy::RingAll
            | v1::Strategy::Progressive
            | v1::Strategy::External => acd::Strategy::LongestIdle,
        },
        answer: match from.answer() {
            v1::AnswerMode::Unspecified | v1::AnswerMode::OnEntry => acd::AnswerMode::OnEntry,
            v1::AnswerMode::OnAgent => acd::AnswerMode::OnAgent,
        },
        name: from.name,
        ring_seconds: from.ring_seconds,
        wrap_up_seconds: from.wrap_up_seconds,
        waiting_max: from.waiting_max,
        wait_seconds_max: from.wait_seconds_max,
        busy_delay_seconds: from.busy_delay_seconds,
        unreachable_delay_seconds: from.unreachable_delay_seconds,
        music: from.music,
    }
}

fn agent(from: v1::Agent) -> acd::Agent {
    acd::Agent {
        start: match from.start() {
            v1::StartState::Unspecified | v1::StartState::LoggedOut => acd::StartState::LoggedOut,
            v1::StartState::NotReady => acd::StartState::NotReady,
            v1::StartState::Ready => acd::StartState::Ready,
        },
        name: from.name,
        contact: from.contact,
        queues: from.queues.into_iter().map(|member| acd::Membership { queue: member.queue }).collect(),
        wrap_up_seconds: from.wrap_up_seconds,
    }
}
