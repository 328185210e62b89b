//! What people and their tools may look at: owned copies of rows; never a way to change them. Mirrors `admin.proto`.

mod look;

use crate::output::{CallRecord, Want};
use crate::shard::Shard;
use crate::{CallId, Timestamp};

/// A queue in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Calls that wait, those offered not counted.
    pub waiting: u32,
    /// Calls for which an agent rings.
    pub offered: u32,
    /// Calls that talk.
    pub talking: u32,
    /// Members who can take a call.
    pub agents_ready: u32,
    /// Members who are logged in.
    pub agents_logged_in: u32,
    /// Members.
    pub agents_total: u32,
    /// Of those who wait or are offered.
    pub longest_wait_ms: u64,
    /// Calls that dialled it, since the beginning.
    pub calls_offered: u64,
    /// Calls an agent answered, since the beginning.
    pub calls_answered: u64,
    /// Callers who left, since the beginning.
    pub calls_abandoned: u64,
    /// Waiting time of answered calls, since the beginning.
    pub wait_ms_sum: u64,
    /// Talking time of ended calls, since the beginning.
    pub talk_ms_sum: u64,
    /// The strategy's name.
    pub strategy: String,
    /// For a caller who joined now; `None` is unknown.
    pub estimate: Option<crate::Estimate>,
    /// In line without being on the phone.
    pub callbacks: u32,
    /// By its schedule.
    pub open: bool,
    /// Of the present interval.
    pub counts: crate::counts::Counts,
}

/// One caller in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingCall {
    /// The call.
    pub call: CallId,
    /// Calling party.
    pub caller: String,
    /// Since it joined.
    pub waited_ms: u64,
    /// 1 is served next.
    pub position: u32,
    /// Something is under way for it: an agent rings, a chooser is asked, the caller is called back.
    pub offered: bool,
    /// Its class, 1 first.
    pub priority: u32,
    /// Asked now, such as `billing:1 english:50`.
    pub skills: String,
    /// Open to it.
    pub tier: u32,
    /// The agent it waits for alone, empty when anyone may take it.
    pub waits_for: String,
    /// The caller is not on the phone but will be called back.
    pub callback: bool,
    /// `None` is unknown.
    pub estimate: Option<crate::Estimate>,
}

/// A queue with who is in line and who serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDetail {
    /// In figures.
    pub info: QueueInfo,
    /// In the order they will be served; offered calls at their place.
    pub waiting: Vec<WaitingCall>,
    /// Members by name.
    pub agents: Vec<AgentInfo>,
}

/// An agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentInfo {
    /// The name.
    pub name: String,
    /// One of [`STATES`].
    pub state: String,
    /// Of not ready; while talking what was asked for after the call; `unreachable` when ready without contact.
    pub reason: String,
    /// Since the state began.
    pub in_state_ms: u64,
    /// The call they ring or talk for.
    pub call: Option<CallId>,
    /// Names of the queues, in the document's order.
    pub queues: Vec<String>,
    /// Registered ones, newest first, then the static one: the first is rung.
    pub contacts: Vec<String>,
    /// Since first sight.
    pub calls_answered: u64,
    /// With levels.
    pub skills: Vec<(String, u32)>,
    /// Milliseconds since the log-in by state, see [`STATES`].
    pub state_ms: Vec<u64>,
    /// Calls at once.
    pub capacity: u32,
    /// In hand, the oldest first.
    pub calls: Vec<CallId>,
}

/// The states that times are kept of, in their order.
pub const STATES: [&str; 8] =
    ["logged-out", "not-ready", "ready", "reserved", "talking", "held", "consulting", "wrap-up"];

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallInfo {
    /// The call.
    pub call: CallId,
    /// `waiting`, `asking`, `offered`, `calling`, `moving`, `talking`, `held`, `consulting`, `conference`, `leaving` or `ended`.
    pub state: String,
    /// Dialled.
    pub number: String,
    /// Calling party.
    pub caller: String,
    /// The queue, empty when it reached none.
    pub queue: String,
    /// Whom it rings or talks to.
    pub agent: String,
    /// Since it reached the shard.
    pub age_ms: u64,
    /// Until an agent answered, it ended, or now.
    pub waited_ms: u64,
    /// Where its legs are.
    pub gateway: String,
    /// Once it has ended.
    pub outcome: String,
}

/// A leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegInfo {
    /// Its number.
    pub leg: u32,
    /// `caller`, or the agent's name.
    pub party: String,
    /// `offered`, `answered`, or `ending` when ordered gone and not yet reported so.
    pub state: String,
    /// The standing order in words.
    pub wanted: String,
    /// Of that order.
    pub revision: u64,
}

/// A call with its legs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallDetail {
    /// The call.
    pub info: CallInfo,
    /// Its legs by number.
    pub legs: Vec<LegInfo>,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// Once it has ended.
    pub record: Option<std::sync::Arc<CallRecord>>,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayInfo {
    /// Its id.
    pub id: String,
    /// Its present or last life.
    pub incarnation: u64,
    /// Where it listens.
    pub sip: String,
    /// Attached.
    pub up: bool,
    /// Legs on it, ending ones included.
    pub legs: u32,
    /// Calls on it, ending ones included.
    pub calls: u32,
    /// It is being emptied.
    pub draining: bool,
    /// When `up` began or ended.
    pub since: Timestamp,
}

/// What a gateway has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLoad {
    /// Its present or last life.
    pub incarnation: u64,
    /// Calls on it, ending ones included.
    pub calls: u32,
    /// It is being emptied.
    pub draining: bool,
    /// Other gateways that live and are not being emptied.
    pub takers: u32,
}

/// Which calls to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Of one queue.
    pub queue: Option<String>,
    /// Ended ones instead of live ones; only those whose legs are not all reported gone are still here.
    pub ended: bool,
    /// At most so many; 0 is all.
    pub limit: usize,
}

/// The shard in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that wait.
    pub calls_waiting: u32,
    /// Calls for which an agent rings.
    pub calls_offered: u32,
    /// Calls that talk.
    pub calls_talking: u32,
    /// Agents in state ready.
    pub agents_ready: u32,
    /// All agents.
    pub agents_total: u32,
    /// Gateways attached.
    pub gateways_up: u32,
    /// Gateways known.
    pub gateways_total: u32,
}

/// An order in words, for people.
pub fn in_words(want: &Want) -> String {
    match want {
        Want::Alert => "alert".to_owned(),
        Want::Ring(ring) => {
            let path = ring.path.as_ref().map(|path| format!(" by {path}")).unwrap_or_default();
            let replaces =
                ring.replaces.as_ref().map(|replaces| format!(" in place of {replaces}")).unwrap_or_default();
            format!("ring {} at {}{path}{replaces}", ring.agent, ring.contact)
        }
        Want::Listen { prompt, announcement: None } => format!("listen to {prompt}"),
        Want::Listen { prompt, announcement: Some(said) } => {
            format!("listen to {prompt}, announcement {}: {}", said.number, said.parts.join(" "))
        }
        Want::Dial(dial) => {
            let shown = if dial.hidden { "hidden" } else { &dial.caller };
            let replaces =
                dial.replaces.as_ref().map(|replaces| format!(" in place of {replaces}")).unwrap_or_default();
            format!("dial {} showing {shown}{replaces}", dial.target)
        }
        Want::Quiet => "hear nothing".to_owned(),
        Want::Meet { legs } => {
            let legs: Vec<String> = legs.iter().map(ToString::to_string).collect();
            format!("meet legs {}", legs.join(" "))
        }
        Want::Join { leg } => format!("join leg {leg}"),
        Want::Gone { sip_status, reason } => format!("gone ({sip_status} {reason})"),
        Want::Yield => "yield".to_owned(),
    }
}
