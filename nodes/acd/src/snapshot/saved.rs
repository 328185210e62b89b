//! The messages of a snapshot. Fields are only ever added, numbers never reused; old ones stay to be read.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Saved {
    #[prost(uint64, tag = "1")]
    pub(super) now: u64,
    #[prost(uint64, tag = "2")]
    pub(super) config_version: u64,
    #[prost(uint64, tag = "3")]
    pub(super) sequence: u64,
    #[prost(uint64, tag = "4")]
    pub(super) revision: u64,
    #[prost(message, repeated, tag = "5")]
    pub(super) numbers: Vec<SavedNumber>,
    #[prost(message, repeated, tag = "6")]
    pub(super) queues: Vec<SavedQueue>,
    #[prost(message, repeated, tag = "7")]
    pub(super) agents: Vec<SavedAgent>,
    #[prost(message, repeated, tag = "8")]
    pub(super) calls: Vec<SavedCall>,
    #[prost(message, repeated, tag = "9")]
    pub(super) gateways: Vec<SavedGateway>,
    #[prost(message, repeated, tag = "10")]
    pub(super) senders: Vec<SavedSender>,
    /// 0 in snapshots of the first rules.
    #[prost(uint32, tag = "11")]
    pub(super) rules: u32,
    /// JSON of [`crate::Document`]s. Empty in snapshots of the first rules, whose rows carry their policy.
    #[prost(bytes = "vec", tag = "12")]
    pub(super) documents: Vec<u8>,
    #[prost(uint64, tag = "13")]
    pub(super) asked: u64,
    #[prost(uint64, tag = "14")]
    pub(super) dice: u64,
    #[prost(string, repeated, tag = "15")]
    pub(super) skills: Vec<String>,
    #[prost(message, repeated, tag = "16")]
    pub(super) served: Vec<SavedServed>,
    #[prost(uint64, tag = "17")]
    pub(super) interval_ends: u64,
    #[prost(uint64, tag = "18")]
    pub(super) day_ends: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedServed {
    #[prost(string, tag = "1")]
    pub(super) caller: String,
    #[prost(string, tag = "2")]
    pub(super) agent: String,
    #[prost(uint64, tag = "3")]
    pub(super) at: u64,
}

/// A skill asked at a level.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedAsked {
    #[prost(uint32, tag = "1")]
    pub(super) skill: u32,
    #[prost(uint32, tag = "2")]
    pub(super) level: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedCounts {
    /// In the order of the fields of `Counts`, trailing zeros left out.
    #[prost(uint64, repeated, tag = "1")]
    pub(super) sums: Vec<u64>,
    #[prost(uint32, repeated, tag = "2")]
    pub(super) waits: Vec<u32>,
    #[prost(uint32, repeated, tag = "3")]
    pub(super) handles: Vec<u32>,
    #[prost(uint64, repeated, tag = "4")]
    pub(super) state_ms: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedNumber {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// In snapshots of the first rules.
    #[prost(uint32, tag = "2")]
    pub(super) queue: u32,
    #[prost(message, optional, tag = "3")]
    pub(super) counts: Option<SavedCounts>,
    #[prost(bool, tag = "4")]
    pub(super) removed: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedQueue {
    #[prost(uint32, tag = "1")]
    pub(super) slot: u32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(uint32, tag = "3")]
    pub(super) strategy: u32,
    #[prost(uint32, tag = "4")]
    pub(super) answer: u32,
    #[prost(uint32, tag = "5")]
    pub(super) ring_seconds: u32,
    #[prost(uint32, tag = "6")]
    pub(super) wrap_up_seconds: u32,
    #[prost(uint32, tag = "7")]
    pub(super) waiting_max: u32,
    #[prost(uint32, tag = "8")]
    pub(super) wait_seconds_max: u32,
    #[prost(uint32, tag = "9")]
    pub(super) busy_delay_seconds: u32,
    #[prost(uint32, tag = "10")]
    pub(super) unreachable_delay_seconds: u32,
    #[prost(string, tag = "11")]
    pub(super) music: String,
    #[prost(bool, tag = "12")]
    pub(super) removed: bool,
    #[prost(uint64, tag = "13")]
    pub(super) offered: u64,
    #[prost(uint64, tag = "14")]
    pub(super) answered: u64,
    #[prost(uint64, tag = "15")]
    pub(super) abandoned: u64,
    #[prost(uint64, tag = "16")]
    pub(super) wait_ms: u64,
    #[prost(uint64, tag = "17")]
    pub(super) talk_ms: u64,
    #[prost(message, optional, tag = "18")]
    pub(super) counts: Option<SavedCounts>,
    #[prost(uint32, optional, tag = "19")]
    pub(super) cursor: Option<u32>,
    #[prost(uint64, tag = "20")]
    pub(super) handled: u64,
    #[prost(uint64, tag = "21")]
    pub(super) handle_ms: u64,
    #[prost(message, repeated, tag = "22")]
    pub(super) pools: Vec<SavedPool>,
    #[prost(uint64, optional, tag = "23")]
    pub(super) alarm: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedPool {
    #[prost(message, repeated, tag = "1")]
    pub(super) demand: Vec<SavedAsked>,
    #[prost(uint64, tag = "2")]
    pub(super) luck: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedAgent {
    #[prost(uint32, tag = "1")]
    pub(super) slot: u32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) contact: String,
    #[prost(uint32, repeated, tag = "4")]
    pub(super) queues: Vec<u32>,
    #[prost(uint32, tag = "5")]
    pub(super) wrap_up_seconds: u32,
    #[prost(bool, tag = "6")]
    pub(super) removed: bool,
    #[prost(uint64, tag = "7")]
    pub(super) since: u64,
    #[prost(message, repeated, tag = "8")]
    pub(super) contacts: Vec<SavedContact>,
    #[prost(uint64, tag = "9")]
    pub(super) answered: u64,
    /// In snapshots of the first rules; later ones have `presence`.
    #[prost(oneof = "SavedAgentState", tags = "10, 11, 12, 13, 14, 15")]
    pub(super) state: Option<SavedAgentState>,
    /// 1 logged out, 2 not ready, 3 ready, 4 wrap-up.
    #[prost(uint32, tag = "16")]
    pub(super) presence: u32,
    #[prost(string, tag = "17")]
    pub(super) reason: String,
    #[prost(uint64, optional, tag = "18")]
    pub(super) until: Option<u64>,
    /// 0 ready, 1 not ready, 2 logged out.
    #[prost(uint32, tag = "19")]
    pub(super) after: u32,
    #[prost(string, tag = "20")]
    pub(super) after_reason: String,
    #[prost(message, repeated, tag = "21")]
    pub(super) work: Vec<SavedWork>,
    #[prost(message, optional, tag = "22")]
    pub(super) rank: Option<SavedMoment>,
    #[prost(uint64, tag = "23")]
    pub(super) last_call_end: u64,
    #[prost(uint32, tag = "24")]
    pub(super) rona: u32,
    #[prost(message, optional, tag = "25")]
    pub(super) shift: Option<SavedTally>,
    #[prost(message, optional, tag = "26")]
    pub(super) day: Option<SavedTally>,
    #[prost(message, repeated, tag = "27")]
    pub(super) recent: Vec<SavedMoment>,
    #[prost(uint64, repeated, tag = "28")]
    pub(super) state_ms: Vec<u64>,
    #[prost(uint64, tag = "29")]
    pub(super) counted: u64,
    #[prost(message, optional, tag = "30")]
    pub(super) counts: Option<SavedCounts>,
    #[prost(message, optional, tag = "31")]
    pub(super) closing: Option<SavedMoment>,
    #[prost(message, repeated, tag = "32")]
    pub(super) members: Vec<SavedMember>,
    #[prost(message, repeated, tag = "33")]
    pub(super) seats: Vec<SavedSeat>,
    #[prost(uint64, optional, tag = "34")]
    pub(super) alarm: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedWork {
    #[prost(uint32, tag = "1")]
    pub(super) call: u32,
    /// 0 reserved, 1 talking, 2 held, 3 consulting.
    #[prost(uint32, tag = "2")]
    pub(super) stage: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedTally {
    #[prost(uint64, tag = "1")]
    pub(super) from: u64,
    #[prost(uint32, tag = "2")]
    pub(super) calls: u32,
    #[prost(uint64, tag = "3")]
    pub(super) talk_ms: u64,
    #[prost(uint64, tag = "4")]
    pub(super) busy_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedMember {
    #[prost(uint32, tag = "1")]
    pub(super) queue: u32,
    #[prost(uint32, tag = "2")]
    pub(super) tier: u32,
    #[prost(uint32, tag = "3")]
    pub(super) weight: u32,
    #[prost(uint32, tag = "4")]
    pub(super) entry_calls: u32,
    #[prost(uint64, tag = "5")]
    pub(super) entry_talk_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedSeat {
    #[prost(uint32, tag = "1")]
    pub(super) queue: u32,
    #[prost(uint32, tag = "2")]
    pub(super) pool: u32,
    #[prost(uint64, tag = "3")]
    pub(super) key: u64,
    #[prost(uint64, tag = "4")]
    pub(super) since: u64,
    #[prost(uint32, tag = "5")]
    pub(super) tier: u32,
    #[prost(uint64, tag = "6")]
    pub(super) sequence: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedContact {
    #[prost(string, tag = "1")]
    pub(super) uri: String,
    #[prost(string, tag = "2")]
    pub(super) gateway: String,
    #[prost(uint64, tag = "3")]
    pub(super) expires: u64,
    #[prost(string, optional, tag = "4")]
    pub(super) path: Option<String>,
    #[prost(bool, tag = "5")]
    pub(super) flow: bool,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum SavedAgentState {
    #[prost(message, tag = "10")]
    LoggedOut(SavedNothing),
    #[prost(message, tag = "11")]
    NotReady(SavedNotReady),
    #[prost(message, tag = "12")]
    Ready(SavedMoment),
    #[prost(message, tag = "13")]
    Reserved(SavedReserved),
    #[prost(message, tag = "14")]
    Talking(SavedTalking),
    #[prost(uint64, tag = "15")]
    WrapUp(u64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedNothing {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedNotReady {
    #[prost(string, tag = "1")]
    pub(super) reason: String,
    #[prost(uint64, optional, tag = "2")]
    pub(super) until: Option<u64>,
}

/// A place or a rank.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedMoment {
    #[prost(uint64, tag = "1")]
    pub(super) at: u64,
    #[prost(uint64, tag = "2")]
    pub(super) sequence: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedReserved {
    #[prost(uint32, tag = "1")]
    pub(super) call: u32,
    #[prost(uint32, tag = "2")]
    pub(super) leg: u32,
    #[prost(uint64, tag = "3")]
    pub(super) until: u64,
    #[prost(message, required, tag = "4")]
    pub(super) rank: SavedMoment,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedTalking {
    #[prost(uint32, tag = "1")]
    pub(super) call: u32,
    #[prost(uint32, tag = "2")]
    pub(super) leg: u32,
    #[prost(uint64, tag = "3")]
    pub(super) since: u64,
    #[prost(bool, tag = "4")]
    pub(super) after_logged_out: bool,
    #[prost(string, optional, tag = "5")]
    pub(super) after_not_ready: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedCall {
    #[prost(uint32, tag = "1")]
    pub(super) slot: u32,
    #[prost(fixed64, tag = "2")]
    pub(super) id: u64,
    #[prost(uint32, tag = "3")]
    pub(super) gateway: u32,
    #[prost(string, tag = "4")]
    pub(super) number: String,
    #[prost(string, tag = "5")]
    pub(super) caller: String,
    #[prost(string, tag = "6")]
    pub(super) caller_name: String,
    #[prost(string, optional, tag = "7")]
    pub(super) trace: Option<String>,
    #[prost(uint64, tag = "8")]
    pub(super) offered: u64,
    #[prost(uint32, tag = "9")]
    pub(super) offers: u32,
    #[prost(uint32, tag = "10")]
    pub(super) legs_made: u32,
    #[prost(message, repeated, tag = "11")]
    pub(super) legs: Vec<SavedLeg>,
    #[prost(oneof = "SavedCallState", tags = "12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23")]
    pub(super) state: Option<SavedCallState>,
    /// Where it stands or stood.
    #[prost(message, optional, tag = "24")]
    pub(super) in_line: Option<SavedInLine>,
    #[prost(uint32, tag = "25")]
    pub(super) caller_leg: u32,
    #[prost(message, repeated, tag = "26")]
    pub(super) parts: Vec<SavedPart>,
    #[prost(uint32, tag = "27")]
    pub(super) hops: u32,
    #[prost(string, repeated, tag = "28")]
    pub(super) history: Vec<String>,
    #[prost(uint64, tag = "29")]
    pub(super) waited_ms: u64,
    #[prost(uint32, tag = "30")]
    pub(super) said: u32,
    #[prost(string, repeated, tag = "31")]
    pub(super) said_parts: Vec<String>,
    #[prost(bool, tag = "32")]
    pub(super) called_back: bool,
    /// Gateways that held it before the present one.
    #[prost(uint32, tag = "33")]
    pub(super) formers: u32,
    #[prost(uint64, optional, tag = "34")]
    pub(super) homeless: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum SavedCallState {
    #[prost(message, tag = "12")]
    Waiting(SavedLine),
    #[prost(message, tag = "13")]
    Offered(SavedLine),
    #[prost(message, tag = "14")]
    Talking(SavedLine),
    #[prost(message, tag = "15")]
    Ended(SavedCallRecord),
    // Since the second rules; the place is in `in_line`.
    #[prost(message, tag = "17")]
    Waits(SavedNothing),
    #[prost(message, tag = "18")]
    Asking(SavedAsking),
    #[prost(message, tag = "19")]
    Rings(SavedOffer),
    #[prost(message, tag = "20")]
    Calling(SavedCalling),
    #[prost(message, tag = "21")]
    Moving(SavedMove),
    #[prost(message, tag = "22")]
    Talks(SavedTalk),
    #[prost(uint64, tag = "23")]
    Leaving(u64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedAsking {
    #[prost(uint64, tag = "1")]
    pub(super) ask: u64,
    #[prost(uint64, tag = "2")]
    pub(super) until: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedParty {
    /// An agent, or the name of somebody outside.
    #[prost(uint32, optional, tag = "1")]
    pub(super) agent: Option<u32>,
    #[prost(string, tag = "2")]
    pub(super) outside: String,
    #[prost(uint32, tag = "3")]
    pub(super) leg: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedOffer {
    #[prost(message, repeated, tag = "1")]
    pub(super) ringing: Vec<SavedParty>,
    #[prost(uint64, tag = "2")]
    pub(super) since: u64,
    #[prost(uint64, tag = "3")]
    pub(super) until: u64,
    #[prost(uint32, tag = "4")]
    pub(super) step: u32,
    #[prost(uint32, repeated, tag = "5")]
    pub(super) tried: Vec<u32>,
    #[prost(uint32, tag = "6")]
    pub(super) queue: u32,
    #[prost(bool, tag = "7")]
    pub(super) many: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedCalling {
    #[prost(uint32, tag = "1")]
    pub(super) agent: u32,
    #[prost(uint32, tag = "2")]
    pub(super) leg: u32,
    #[prost(uint32, tag = "3")]
    pub(super) queue: u32,
    #[prost(uint64, tag = "4")]
    pub(super) until: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedMove {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(uint32, optional, tag = "2")]
    pub(super) back: Option<u32>,
    #[prost(message, repeated, tag = "3")]
    pub(super) ringing: Vec<SavedParty>,
    #[prost(uint64, tag = "4")]
    pub(super) until: u64,
    #[prost(uint64, tag = "5")]
    pub(super) since: u64,
    #[prost(message, repeated, tag = "6")]
    pub(super) next: Vec<SavedTarget>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedTarget {
    /// 1 agent, 2 queue, 3 number, 4 SIP.
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(uint64, tag = "3")]
    pub(super) ring_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedTalk {
    #[prost(message, optional, tag = "1")]
    pub(super) party: Option<SavedParty>,
    #[prost(uint64, tag = "2")]
    pub(super) since: u64,
    #[prost(uint64, optional, tag = "3")]
    pub(super) held: Option<u64>,
    #[prost(uint64, tag = "4")]
    pub(super) hold_ms: u64,
    #[prost(uint64, tag = "5")]
    pub(super) ring_ms: u64,
    #[prost(string, tag = "6")]
    pub(super) code: String,
    #[prost(message, optional, tag = "7")]
    pub(super) aside: Option<SavedAside>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedAside {
    #[prost(message, optional, tag = "1")]
    pub(super) party: Option<SavedParty>,
    #[prost(uint32, repeated, tag = "2")]
    pub(super) legs: Vec<u32>,
    /// 0 ringing, 1 target, 2 caller, 3 conference.
    #[prost(uint32, tag = "3")]
    pub(super) stage: u32,
    #[prost(uint64, tag = "4")]
    pub(super) until: u64,
    #[prost(uint64, tag = "5")]
    pub(super) since: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedInLine {
    #[prost(uint32, tag = "1")]
    pub(super) queue: u32,
    #[prost(uint32, repeated, tag = "2")]
    pub(super) more: Vec<u32>,
    #[prost(uint32, tag = "3")]
    pub(super) priority: u32,
    #[prost(sint64, tag = "4")]
    pub(super) effective: i64,
    #[prost(uint64, tag = "5")]
    pub(super) sequence: u64,
    #[prost(uint64, tag = "6")]
    pub(super) joined: u64,
    #[prost(uint64, tag = "7")]
    pub(super) boost_ms: u64,
    #[prost(message, repeated, tag = "8")]
    pub(super) demand: Vec<SavedAsked>,
    #[prost(uint32, tag = "9")]
    pub(super) tier: u32,
    #[prost(message, optional, tag = "10")]
    pub(super) wanted: Option<SavedWanted>,
    #[prost(uint32, optional, tag = "11")]
    pub(super) shuns: Option<u32>,
    #[prost(uint32, tag = "12")]
    pub(super) step: u32,
    #[prost(uint64, optional, tag = "13")]
    pub(super) step_at: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    pub(super) tier_at: Option<u64>,
    /// 0 is never again.
    #[prost(uint64, repeated, tag = "15")]
    pub(super) announce_at: Vec<u64>,
    #[prost(uint64, optional, tag = "16")]
    pub(super) wait_until: Option<u64>,
    #[prost(message, optional, tag = "17")]
    pub(super) callback: Option<SavedCallback>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedWanted {
    #[prost(uint32, tag = "1")]
    pub(super) agent: u32,
    #[prost(uint64, optional, tag = "2")]
    pub(super) until: Option<u64>,
    #[prost(uint32, tag = "3")]
    pub(super) wish: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedCallback {
    #[prost(string, tag = "1")]
    pub(super) number: String,
    #[prost(uint32, tag = "2")]
    pub(super) attempts: u32,
    #[prost(uint64, optional, tag = "3")]
    pub(super) rest_until: Option<u64>,
    #[prost(uint64, tag = "4")]
    pub(super) expires: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedPart {
    #[prost(string, tag = "1")]
    pub(super) agent: String,
    #[prost(string, tag = "2")]
    pub(super) queue: String,
    #[prost(uint64, tag = "3")]
    pub(super) from_ms: u64,
    #[prost(uint64, tag = "4")]
    pub(super) until_ms: u64,
    #[prost(uint64, tag = "5")]
    pub(super) hold_ms: u64,
    #[prost(uint64, tag = "6")]
    pub(super) ring_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedLine {
    #[prost(uint32, tag = "1")]
    pub(super) queue: u32,
    #[prost(message, required, tag = "2")]
    pub(super) place: SavedMoment,
    #[prost(uint32, tag = "3")]
    pub(super) agent: u32,
    #[prost(uint32, tag = "4")]
    pub(super) leg: u32,
    #[prost(uint64, tag = "5")]
    pub(super) since: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedCallRecord {
    #[prost(string, tag = "1")]
    pub(super) queue: String,
    #[prost(string, tag = "2")]
    pub(super) agent: String,
    #[prost(uint64, tag = "3")]
    pub(super) answered_ms: u64,
    #[prost(uint64, tag = "4")]
    pub(super) ended_ms: u64,
    #[prost(int32, tag = "5")]
    pub(super) outcome: i32,
    #[prost(string, tag = "6")]
    pub(super) ended_by: String,
    #[prost(string, tag = "7")]
    pub(super) gateway: String,
    #[prost(uint32, tag = "8")]
    pub(super) priority: u32,
    #[prost(string, tag = "9")]
    pub(super) skills: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedLeg {
    #[prost(uint32, tag = "1")]
    pub(super) number: u32,
    #[prost(string, optional, tag = "2")]
    pub(super) agent: Option<String>,
    #[prost(bool, tag = "3")]
    pub(super) answered: bool,
    #[prost(uint64, tag = "4")]
    pub(super) revision: u64,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) passport: Vec<u8>,
    /// Goes before the status of `Gone`'s release when it is not 0.
    #[prost(uint32, tag = "11")]
    pub(super) status: u32,
    #[prost(oneof = "SavedWant", tags = "6, 7, 8, 9, 10, 12, 13, 14")]
    pub(super) want: Option<SavedWant>,
    /// Of a leg that rings.
    #[prost(message, optional, tag = "15")]
    pub(super) way: Option<SavedWay>,
    #[prost(string, optional, tag = "16")]
    pub(super) former: Option<String>,
    /// The INVITE that was out when it was ordered gone.
    #[prost(message, optional, tag = "17")]
    pub(super) rang: Option<SavedRang>,
}

/// How an agent's phone is reached.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedWay {
    #[prost(string, optional, tag = "1")]
    pub(super) path: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) replaces: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedRang {
    /// An agent's phone, else who is dialled.
    #[prost(string, optional, tag = "1")]
    pub(super) contact: Option<String>,
    #[prost(string, tag = "2")]
    pub(super) target: String,
    #[prost(message, optional, tag = "3")]
    pub(super) way: Option<SavedWay>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum SavedWant {
    #[prost(message, tag = "6")]
    Alert(SavedNothing),
    #[prost(string, tag = "7")]
    Ring(String),
    #[prost(message, tag = "8")]
    Listen(SavedNothing),
    #[prost(uint32, tag = "9")]
    Join(u32),
    #[prost(int32, tag = "10")]
    Gone(i32),
    #[prost(string, tag = "12")]
    Dial(String),
    #[prost(message, tag = "13")]
    Quiet(SavedNothing),
    #[prost(message, tag = "14")]
    Meet(SavedLegs),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedLegs {
    #[prost(uint32, repeated, tag = "1")]
    pub(super) legs: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedGateway {
    #[prost(uint32, tag = "1")]
    pub(super) slot: u32,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(fixed64, tag = "3")]
    pub(super) incarnation: u64,
    #[prost(fixed64, tag = "4")]
    pub(super) former: u64,
    #[prost(string, tag = "5")]
    pub(super) sip: String,
    #[prost(bool, tag = "6")]
    pub(super) up: bool,
    #[prost(uint64, tag = "7")]
    pub(super) since: u64,
    #[prost(bool, tag = "8")]
    pub(super) draining: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedSender {
    #[prost(fixed64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) last_seen: u64,
    #[prost(uint64, tag = "3")]
    pub(super) check_at: u64,
    #[prost(uint64, tag = "4")]
    pub(super) settled_below: u64,
    #[prost(message, repeated, tag = "5")]
    pub(super) replies: Vec<SavedReply>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedReply {
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    /// 0 is accepted.
    #[prost(int32, tag = "2")]
    pub(super) code: i32,
    #[prost(string, tag = "3")]
    pub(super) detail: String,
}
