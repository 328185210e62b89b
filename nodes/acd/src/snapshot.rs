//! A shard as prost bytes and back, and its hash; fields are only ever added, numbers never reused.
//!
//! Rows keep their slots, so that keys mean the same after a restore. Indices are not saved: they are built again
//! from the rows.

mod first;
mod read;
mod write;

use prost::Message;

use crate::limits::Limits;
use crate::shard::Shard;
use crate::table::Key;

/// Why bytes are no snapshot of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// Not the bytes of a snapshot message.
    Decode(String),
    /// A snapshot whose rows do not fit together; names the row.
    Broken(&'static str),
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RestoreError::Decode(detail) => write!(f, "not a snapshot: {detail}"),
            RestoreError::Broken(row) => write!(f, "broken snapshot: {row}"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl Shard {
    /// The whole state as bytes; equal states give equal bytes.
    pub fn save(&self) -> Vec<u8> {
        let mut bytes = write::head(self).encode_to_vec();
        for (key, row) in self.agents.iter() {
            write::append_agent(key.slot(), row, &mut bytes);
        }
        for (key, row) in self.calls.iter() {
            write::append_call(key.slot(), row, &self.demands, &mut bytes);
        }
        bytes
    }

    /// Fixes the state as it is now, to be written in slices while entries go on being applied. One at a time: a later begin
    /// gives the former one up.
    pub fn begin_save(&mut self) {
        self.abort_save();
        self.agents.begin_freeze();
        self.calls.begin_freeze();
        let bytes = write::head(self).encode_to_vec();
        self.saving = Some(Box::new(Saving { bytes, agents_done: false, demands: self.demands.clone() }));
    }

    /// Writes up to so many rows more. `None`: there are more to do, or no save was begun.
    pub fn save_slice(&mut self, rows_max: usize) -> Option<Vec<u8>> {
        let saving = self.saving.as_mut()?;
        let bytes = &mut saving.bytes;
        if !saving.agents_done {
            saving.agents_done = !self.agents.freeze_rows(rows_max, |slot, row| write::append_agent(slot, row, bytes));
            return None;
        }
        let demands = &saving.demands;
        if self.calls.freeze_rows(rows_max, |slot, row| write::append_call(slot, row, demands, bytes)) {
            return None;
        }
        self.saving.take().map(|saving| saving.bytes)
    }

    /// Gives a save up.
    pub fn abort_save(&mut self) {
        if self.saving.take().is_some() {
            self.agents.abort_freeze();
            self.calls.abort_freeze();
        }
    }

    /// The shard that was saved.
    ///
    /// # Errors
    /// When the bytes are not what `save` wrote.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        Self::restore_with_limits(bytes, Limits::default())
    }

    /// The same with other limits than the default.
    ///
    /// # Errors
    /// As [`Shard::restore`].
    pub fn restore_with_limits(bytes: &[u8], limits: Limits) -> Result<Self, RestoreError> {
        let saved = Saved::decode(bytes).map_err(|error| RestoreError::Decode(error.to_string()))?;
        read::shard(saved, limits)
    }

    /// FNV-1a over the saved bytes: equal on replicas that applied the same entries. Costs as much as `save`.
    pub fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.save() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash
    }
}

/// A snapshot in words: for tests that look for what differs.
#[cfg(test)]
pub(crate) fn in_words(bytes: &[u8]) -> String {
    format!("{:#?}", Saved::decode(bytes).expect("was saved"))
}

/// A snapshot that is being written.
#[derive(Clone, Debug)]
pub(crate) struct Saving {
    bytes: Vec<u8>,
    agents_done: bool,
    /// A configuration numbers them anew; the rows of the begin have the numbers of then.
    demands: crate::demand::Demands,
}

#[derive(Clone, PartialEq, Message)]
struct Saved {
    #[prost(uint64, tag = "1")]
    now: u64,
    #[prost(uint64, tag = "2")]
    config_version: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
    #[prost(uint64, tag = "4")]
    revision: u64,
    #[prost(message, repeated, tag = "5")]
    numbers: Vec<SavedNumber>,
    #[prost(message, repeated, tag = "6")]
    queues: Vec<SavedQueue>,
    #[prost(message, repeated, tag = "7")]
    agents: Vec<SavedAgent>,
    #[prost(message, repeated, tag = "8")]
    calls: Vec<SavedCall>,
    #[prost(message, repeated, tag = "9")]
    gateways: Vec<SavedGateway>,
    #[prost(message, repeated, tag = "10")]
    senders: Vec<SavedSender>,
    /// 0 in snapshots of the first rules.
    #[prost(uint32, tag = "11")]
    rules: u32,
    /// JSON of [`crate::Document`]s. Empty in snapshots of the first rules, whose rows carry their policy.
    #[prost(bytes = "vec", tag = "12")]
    documents: Vec<u8>,
    #[prost(uint64, tag = "13")]
    asked: u64,
    #[prost(uint64, tag = "14")]
    dice: u64,
    #[prost(string, repeated, tag = "15")]
    skills: Vec<String>,
    #[prost(message, repeated, tag = "16")]
    served: Vec<SavedServed>,
    #[prost(uint64, tag = "17")]
    interval_ends: u64,
    #[prost(uint64, tag = "18")]
    day_ends: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedServed {
    #[prost(string, tag = "1")]
    caller: String,
    #[prost(string, tag = "2")]
    agent: String,
    #[prost(uint64, tag = "3")]
    at: u64,
}

/// A skill asked at a level.
#[derive(Clone, PartialEq, Message)]
struct SavedAsked {
    #[prost(uint32, tag = "1")]
    skill: u32,
    #[prost(uint32, tag = "2")]
    level: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SavedCounts {
    /// In the order of the fields of `Counts`, trailing zeros left out.
    #[prost(uint64, repeated, tag = "1")]
    sums: Vec<u64>,
    #[prost(uint32, repeated, tag = "2")]
    waits: Vec<u32>,
    #[prost(uint32, repeated, tag = "3")]
    handles: Vec<u32>,
    #[prost(uint64, repeated, tag = "4")]
    state_ms: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedNumber {
    #[prost(string, tag = "1")]
    name: String,
    /// In snapshots of the first rules.
    #[prost(uint32, tag = "2")]
    queue: u32,
    #[prost(message, optional, tag = "3")]
    counts: Option<SavedCounts>,
    #[prost(bool, tag = "4")]
    removed: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SavedQueue {
    #[prost(uint32, tag = "1")]
    slot: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint32, tag = "3")]
    strategy: u32,
    #[prost(uint32, tag = "4")]
    answer: u32,
    #[prost(uint32, tag = "5")]
    ring_seconds: u32,
    #[prost(uint32, tag = "6")]
    wrap_up_seconds: u32,
    #[prost(uint32, tag = "7")]
    waiting_max: u32,
    #[prost(uint32, tag = "8")]
    wait_seconds_max: u32,
    #[prost(uint32, tag = "9")]
    busy_delay_seconds: u32,
    #[prost(uint32, tag = "10")]
    unreachable_delay_seconds: u32,
    #[prost(string, tag = "11")]
    music: String,
    #[prost(bool, tag = "12")]
    removed: bool,
    #[prost(uint64, tag = "13")]
    offered: u64,
    #[prost(uint64, tag = "14")]
    answered: u64,
    #[prost(uint64, tag = "15")]
    abandoned: u64,
    #[prost(uint64, tag = "16")]
    wait_ms: u64,
    #[prost(uint64, tag = "17")]
    talk_ms: u64,
    #[prost(message, optional, tag = "18")]
    counts: Option<SavedCounts>,
    #[prost(uint32, optional, tag = "19")]
    cursor: Option<u32>,
    #[prost(uint64, tag = "20")]
    handled: u64,
    #[prost(uint64, tag = "21")]
    handle_ms: u64,
    #[prost(message, repeated, tag = "22")]
    pools: Vec<SavedPool>,
    #[prost(uint64, optional, tag = "23")]
    alarm: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedPool {
    #[prost(message, repeated, tag = "1")]
    demand: Vec<SavedAsked>,
    #[prost(uint64, tag = "2")]
    luck: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedAgent {
    #[prost(uint32, tag = "1")]
    slot: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    contact: String,
    #[prost(uint32, repeated, tag = "4")]
    queues: Vec<u32>,
    #[prost(uint32, tag = "5")]
    wrap_up_seconds: u32,
    #[prost(bool, tag = "6")]
    removed: bool,
    #[prost(uint64, tag = "7")]
    since: u64,
    #[prost(message, repeated, tag = "8")]
    contacts: Vec<SavedContact>,
    #[prost(uint64, tag = "9")]
    answered: u64,
    /// In snapshots of the first rules; later ones have `presence`.
    #[prost(oneof = "SavedAgentState", tags = "10, 11, 12, 13, 14, 15")]
    state: Option<SavedAgentState>,
    /// 1 logged out, 2 not ready, 3 ready, 4 wrap-up.
    #[prost(uint32, tag = "16")]
    presence: u32,
    #[prost(string, tag = "17")]
    reason: String,
    #[prost(uint64, optional, tag = "18")]
    until: Option<u64>,
    /// 0 ready, 1 not ready, 2 logged out.
    #[prost(uint32, tag = "19")]
    after: u32,
    #[prost(string, tag = "20")]
    after_reason: String,
    #[prost(message, repeated, tag = "21")]
    work: Vec<SavedWork>,
    #[prost(message, optional, tag = "22")]
    rank: Option<SavedMoment>,
    #[prost(uint64, tag = "23")]
    last_call_end: u64,
    #[prost(uint32, tag = "24")]
    rona: u32,
    #[prost(message, optional, tag = "25")]
    shift: Option<SavedTally>,
    #[prost(message, optional, tag = "26")]
    day: Option<SavedTally>,
    #[prost(message, repeated, tag = "27")]
    recent: Vec<SavedMoment>,
    #[prost(uint64, repeated, tag = "28")]
    state_ms: Vec<u64>,
    #[prost(uint64, tag = "29")]
    counted: u64,
    #[prost(message, optional, tag = "30")]
    counts: Option<SavedCounts>,
    #[prost(message, optional, tag = "31")]
    closing: Option<SavedMoment>,
    #[prost(message, repeated, tag = "32")]
    members: Vec<SavedMember>,
    #[prost(message, repeated, tag = "33")]
    seats: Vec<SavedSeat>,
    #[prost(uint64, optional, tag = "34")]
    alarm: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedWork {
    #[prost(uint32, tag = "1")]
    call: u32,
    /// 0 reserved, 1 talking, 2 held, 3 consulting.
    #[prost(uint32, tag = "2")]
    stage: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SavedTally {
    #[prost(uint64, tag = "1")]
    from: u64,
    #[prost(uint32, tag = "2")]
    calls: u32,
    #[prost(uint64, tag = "3")]
    talk_ms: u64,
    #[prost(uint64, tag = "4")]
    busy_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedMember {
    #[prost(uint32, tag = "1")]
    queue: u32,
    #[prost(uint32, tag = "2")]
    tier: u32,
    #[prost(uint32, tag = "3")]
    weight: u32,
    #[prost(uint32, tag = "4")]
    entry_calls: u32,
    #[prost(uint64, tag = "5")]
    entry_talk_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedSeat {
    #[prost(uint32, tag = "1")]
    queue: u32,
    #[prost(uint32, tag = "2")]
    pool: u32,
    #[prost(uint64, tag = "3")]
    key: u64,
    #[prost(uint64, tag = "4")]
    since: u64,
    #[prost(uint32, tag = "5")]
    tier: u32,
    #[prost(uint64, tag = "6")]
    sequence: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedContact {
    #[prost(string, tag = "1")]
    uri: String,
    #[prost(string, tag = "2")]
    gateway: String,
    #[prost(uint64, tag = "3")]
    expires: u64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum SavedAgentState {
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
struct SavedNothing {}

#[derive(Clone, PartialEq, Message)]
struct SavedNotReady {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(uint64, optional, tag = "2")]
    until: Option<u64>,
}

/// A place or a rank.
#[derive(Clone, PartialEq, Message)]
struct SavedMoment {
    #[prost(uint64, tag = "1")]
    at: u64,
    #[prost(uint64, tag = "2")]
    sequence: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedReserved {
    #[prost(uint32, tag = "1")]
    call: u32,
    #[prost(uint32, tag = "2")]
    leg: u32,
    #[prost(uint64, tag = "3")]
    until: u64,
    #[prost(message, required, tag = "4")]
    rank: SavedMoment,
}

#[derive(Clone, PartialEq, Message)]
struct SavedTalking {
    #[prost(uint32, tag = "1")]
    call: u32,
    #[prost(uint32, tag = "2")]
    leg: u32,
    #[prost(uint64, tag = "3")]
    since: u64,
    #[prost(bool, tag = "4")]
    after_logged_out: bool,
    #[prost(string, optional, tag = "5")]
    after_not_ready: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedCall {
    #[prost(uint32, tag = "1")]
    slot: u32,
    #[prost(fixed64, tag = "2")]
    id: u64,
    #[prost(uint32, tag = "3")]
    gateway: u32,
    #[prost(string, tag = "4")]
    number: String,
    #[prost(string, tag = "5")]
    caller: String,
    #[prost(string, tag = "6")]
    caller_name: String,
    #[prost(string, optional, tag = "7")]
    trace: Option<String>,
    #[prost(uint64, tag = "8")]
    offered: u64,
    #[prost(uint32, tag = "9")]
    offers: u32,
    #[prost(uint32, tag = "10")]
    legs_made: u32,
    #[prost(message, repeated, tag = "11")]
    legs: Vec<SavedLeg>,
    #[prost(oneof = "SavedCallState", tags = "12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23")]
    state: Option<SavedCallState>,
    /// Where it stands or stood.
    #[prost(message, optional, tag = "24")]
    in_line: Option<SavedInLine>,
    #[prost(uint32, tag = "25")]
    caller_leg: u32,
    #[prost(message, repeated, tag = "26")]
    parts: Vec<SavedPart>,
    #[prost(uint32, tag = "27")]
    hops: u32,
    #[prost(string, repeated, tag = "28")]
    history: Vec<String>,
    #[prost(uint64, tag = "29")]
    waited_ms: u64,
    #[prost(uint32, tag = "30")]
    said: u32,
    #[prost(string, repeated, tag = "31")]
    said_parts: Vec<String>,
    #[prost(bool, tag = "32")]
    called_back: bool,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum SavedCallState {
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
struct SavedAsking {
    #[prost(uint64, tag = "1")]
    ask: u64,
    #[prost(uint64, tag = "2")]
    until: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedParty {
    /// An agent, or the name of somebody outside.
    #[prost(uint32, optional, tag = "1")]
    agent: Option<u32>,
    #[prost(string, tag = "2")]
    outside: String,
    #[prost(uint32, tag = "3")]
    leg: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SavedOffer {
    #[prost(message, repeated, tag = "1")]
    ringing: Vec<SavedParty>,
    #[prost(uint64, tag = "2")]
    since: u64,
    #[prost(uint64, tag = "3")]
    until: u64,
    #[prost(uint32, tag = "4")]
    step: u32,
    #[prost(uint32, repeated, tag = "5")]
    tried: Vec<u32>,
    #[prost(uint32, tag = "6")]
    queue: u32,
    #[prost(bool, tag = "7")]
    many: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SavedCalling {
    #[prost(uint32, tag = "1")]
    agent: u32,
    #[prost(uint32, tag = "2")]
    leg: u32,
    #[prost(uint32, tag = "3")]
    queue: u32,
    #[prost(uint64, tag = "4")]
    until: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedMove {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint32, optional, tag = "2")]
    back: Option<u32>,
    #[prost(message, repeated, tag = "3")]
    ringing: Vec<SavedParty>,
    #[prost(uint64, tag = "4")]
    until: u64,
    #[prost(uint64, tag = "5")]
    since: u64,
    #[prost(message, repeated, tag = "6")]
    next: Vec<SavedTarget>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedTarget {
    /// 1 agent, 2 queue, 3 number, 4 SIP.
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, tag = "3")]
    ring_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedTalk {
    #[prost(message, optional, tag = "1")]
    party: Option<SavedParty>,
    #[prost(uint64, tag = "2")]
    since: u64,
    #[prost(uint64, optional, tag = "3")]
    held: Option<u64>,
    #[prost(uint64, tag = "4")]
    hold_ms: u64,
    #[prost(uint64, tag = "5")]
    ring_ms: u64,
    #[prost(string, tag = "6")]
    code: String,
    #[prost(message, optional, tag = "7")]
    aside: Option<SavedAside>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedAside {
    #[prost(message, optional, tag = "1")]
    party: Option<SavedParty>,
    #[prost(uint32, repeated, tag = "2")]
    legs: Vec<u32>,
    /// 0 ringing, 1 target, 2 caller, 3 conference.
    #[prost(uint32, tag = "3")]
    stage: u32,
    #[prost(uint64, tag = "4")]
    until: u64,
    #[prost(uint64, tag = "5")]
    since: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedInLine {
    #[prost(uint32, tag = "1")]
    queue: u32,
    #[prost(uint32, repeated, tag = "2")]
    more: Vec<u32>,
    #[prost(uint32, tag = "3")]
    priority: u32,
    #[prost(sint64, tag = "4")]
    effective: i64,
    #[prost(uint64, tag = "5")]
    sequence: u64,
    #[prost(uint64, tag = "6")]
    joined: u64,
    #[prost(uint64, tag = "7")]
    boost_ms: u64,
    #[prost(message, repeated, tag = "8")]
    demand: Vec<SavedAsked>,
    #[prost(uint32, tag = "9")]
    tier: u32,
    #[prost(message, optional, tag = "10")]
    wanted: Option<SavedWanted>,
    #[prost(uint32, optional, tag = "11")]
    shuns: Option<u32>,
    #[prost(uint32, tag = "12")]
    step: u32,
    #[prost(uint64, optional, tag = "13")]
    step_at: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    tier_at: Option<u64>,
    /// 0 is never again.
    #[prost(uint64, repeated, tag = "15")]
    announce_at: Vec<u64>,
    #[prost(uint64, optional, tag = "16")]
    wait_until: Option<u64>,
    #[prost(message, optional, tag = "17")]
    callback: Option<SavedCallback>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedWanted {
    #[prost(uint32, tag = "1")]
    agent: u32,
    #[prost(uint64, optional, tag = "2")]
    until: Option<u64>,
    #[prost(uint32, tag = "3")]
    wish: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SavedCallback {
    #[prost(string, tag = "1")]
    number: String,
    #[prost(uint32, tag = "2")]
    attempts: u32,
    #[prost(uint64, optional, tag = "3")]
    rest_until: Option<u64>,
    #[prost(uint64, tag = "4")]
    expires: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedPart {
    #[prost(string, tag = "1")]
    agent: String,
    #[prost(string, tag = "2")]
    queue: String,
    #[prost(uint64, tag = "3")]
    from_ms: u64,
    #[prost(uint64, tag = "4")]
    until_ms: u64,
    #[prost(uint64, tag = "5")]
    hold_ms: u64,
    #[prost(uint64, tag = "6")]
    ring_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedLine {
    #[prost(uint32, tag = "1")]
    queue: u32,
    #[prost(message, required, tag = "2")]
    place: SavedMoment,
    #[prost(uint32, tag = "3")]
    agent: u32,
    #[prost(uint32, tag = "4")]
    leg: u32,
    #[prost(uint64, tag = "5")]
    since: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedCallRecord {
    #[prost(string, tag = "1")]
    queue: String,
    #[prost(string, tag = "2")]
    agent: String,
    #[prost(uint64, tag = "3")]
    answered_ms: u64,
    #[prost(uint64, tag = "4")]
    ended_ms: u64,
    #[prost(int32, tag = "5")]
    outcome: i32,
    #[prost(string, tag = "6")]
    ended_by: String,
    #[prost(string, tag = "7")]
    gateway: String,
    #[prost(uint32, tag = "8")]
    priority: u32,
    #[prost(string, tag = "9")]
    skills: String,
}

#[derive(Clone, PartialEq, Message)]
struct SavedLeg {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(string, optional, tag = "2")]
    agent: Option<String>,
    #[prost(bool, tag = "3")]
    answered: bool,
    #[prost(uint64, tag = "4")]
    revision: u64,
    #[prost(bytes = "vec", tag = "5")]
    passport: Vec<u8>,
    /// Goes before the status of `Gone`'s release when it is not 0.
    #[prost(uint32, tag = "11")]
    status: u32,
    #[prost(oneof = "SavedWant", tags = "6, 7, 8, 9, 10, 12, 13, 14")]
    want: Option<SavedWant>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum SavedWant {
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
struct SavedLegs {
    #[prost(uint32, repeated, tag = "1")]
    legs: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedGateway {
    #[prost(uint32, tag = "1")]
    slot: u32,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(fixed64, tag = "3")]
    incarnation: u64,
    #[prost(fixed64, tag = "4")]
    former: u64,
    #[prost(string, tag = "5")]
    sip: String,
    #[prost(bool, tag = "6")]
    up: bool,
    #[prost(uint64, tag = "7")]
    since: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SavedSender {
    #[prost(fixed64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    last_seen: u64,
    #[prost(uint64, tag = "3")]
    check_at: u64,
    #[prost(uint64, tag = "4")]
    settled_below: u64,
    #[prost(message, repeated, tag = "5")]
    replies: Vec<SavedReply>,
}

#[derive(Clone, PartialEq, Message)]
struct SavedReply {
    #[prost(uint64, tag = "1")]
    number: u64,
    /// 0 is accepted.
    #[prost(int32, tag = "2")]
    code: i32,
    #[prost(string, tag = "3")]
    detail: String,
}
