//! A shard as prost bytes and back, and its hash; fields are only ever added, numbers never reused.
//!
//! Rows keep their slots, so that keys mean the same after a restore. Indices are not saved: they are built again
//! from the rows.

mod read;
mod write;

use prost::Message;

use crate::limits::Limits;
use crate::shard::Shard;

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
        write::snapshot(self).encode_to_vec()
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
}

#[derive(Clone, PartialEq, Message)]
struct SavedNumber {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    queue: u32,
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
    #[prost(oneof = "SavedAgentState", tags = "10, 11, 12, 13, 14, 15")]
    state: Option<SavedAgentState>,
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
    #[prost(oneof = "SavedCallState", tags = "12, 13, 14, 15")]
    state: Option<SavedCallState>,
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
    #[prost(oneof = "SavedWant", tags = "6, 7, 8, 9, 10")]
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
