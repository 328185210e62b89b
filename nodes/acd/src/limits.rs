//! Every bound of a shard by name; never a number elsewhere. All replicas of a shard must have the same ones.

/// The latest time a shard believes in; a later one is taken as this, so that adding a delay never overflows.
pub const TIME_MAX: u64 = u64::MAX / 4;
/// What is rung again by another gateway rings at least so long.
pub const RING_AGAIN_MS_MIN: u64 = 3_000;
/// Used when a queue gives no ring time.
pub const RING_SECONDS_DEFAULT: u32 = 15;
/// A busy or unreachable agent is left alone at least so long, so that no offer loops at the speed of the network.
pub const DELAY_SECONDS_MIN: u32 = 1;
/// A registration is believed for at most so long.
pub const CONTACT_SECONDS_MAX: u32 = 7 * 24 * 3600;
/// A sender that has been silent for so long is forgotten.
pub const SENDER_IDLE_MS: u64 = 3_600_000;
/// Calls that an agent may have at once.
pub const CAPACITY_MAX: u8 = 10;
/// When the table of senders is full, one that has been silent for at least this long gives way.
pub const SENDER_IDLE_MS_MIN: u64 = 60_000;
/// 1 is served first.
pub const PRIORITY_DEFAULT: u32 = 5;
/// Ring-all rings at most so many at once when the queue does not say.
pub const RING_ALL_DEFAULT: u32 = 20;
/// A chooser has so long when the queue does not say.
pub const CHOOSER_MS_DEFAULT: u32 = 500;
/// A chooser never has longer.
pub const CHOOSER_MS_MAX: u32 = 5_000;
/// Candidates named to a chooser.
pub const CHOOSER_CANDIDATES_MAX: usize = 50;
/// Who served a caller is preferred for so long when the queue does not say.
pub const STICKY_SECONDS_DEFAULT: u32 = 86_400;
/// Used when a queue gives no time for short abandons.
pub const SHORT_ABANDON_SECONDS_DEFAULT: u32 = 5;
/// Used when a queue gives no time for the service level.
pub const SERVICE_LEVEL_SECONDS_DEFAULT: u32 = 20;
/// An extended wrap-up ends here when the queue does not say.
pub const WRAP_UP_SECONDS_MAX_DEFAULT: u32 = 600;
/// Calls to a caller who wants to be called back.
pub const CALLBACK_ATTEMPTS_DEFAULT: u32 = 3;
/// Between two of them.
pub const CALLBACK_RETRY_SECONDS_DEFAULT: u32 = 300;
/// A callback that was not made by then is dropped.
pub const CALLBACK_EXPIRY_SECONDS_DEFAULT: u32 = 14_400;
/// A caller who is called back has so long to answer.
pub const CALLBACK_RING_SECONDS_DEFAULT: u32 = 30;
/// Forwards and transfers of one call.
pub const HOPS_DEFAULT: u32 = 5;
/// The target of a transfer or consult rings for so long.
pub const TARGET_RING_SECONDS_DEFAULT: u32 = 20;
/// The target of a forward rings for so long.
pub const FORWARD_SECONDS_DEFAULT: u32 = 20;
/// An agent rings for so long before a forward on no answer.
pub const NO_ANSWER_SECONDS_DEFAULT: u32 = 15;
/// A step or condition that did not hold is looked at again after so long.
pub const STEP_SECONDS: u32 = 5;
/// A caller who is let go with a prompt has so long to hear it.
pub const LEAVING_SECONDS: u32 = 10;
/// A queue gives an estimate after so many handled calls.
pub const ESTIMATE_CALLS_MIN: u64 = 5;
/// Counts are written down and begun anew every so often.
pub const INTERVAL_MS: u64 = 15 * 60 * 1000;
/// Calls by minutes kept of one agent.
pub const RECENT_CALLS_MAX: usize = 256;
/// Places of one 3xx that are tried.
pub const MOVED_TO_MAX: usize = 4;
/// Digits kept of a star code.
pub const CODE_DIGITS_MAX: usize = 40;
/// Candidates named in a decision record.
pub const CANDIDATES_MAX: usize = 10;

/// Bounds that tests make small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in hand, ended ones whose legs are not yet reported gone included.
    pub calls_max: usize,
    /// Waiting callers of one queue, whatever its policy says.
    pub waiting_per_queue_max: usize,
    /// Legs of one call; beyond it the oldest leg that was ordered gone is forgotten.
    pub legs_per_call_max: usize,
    /// Agents of the tenant.
    pub agents_max: usize,
    /// Queues of the tenant.
    pub queues_max: usize,
    /// Numbers of the tenant.
    pub numbers_max: usize,
    /// Memberships of one agent.
    pub queues_per_agent_max: usize,
    /// Registered contacts of one agent.
    pub contacts_per_agent_max: usize,
    /// Gateways known, lost ones included.
    pub gateways_max: usize,
    /// Senders remembered.
    pub senders_max: usize,
    /// Replies remembered of one sender that it has not yet settled.
    pub replies_per_sender_max: usize,
    /// Names, numbers, callers, reasons, digits: bytes each.
    pub name_bytes_max: usize,
    /// A SIP URI: bytes.
    pub contact_bytes_max: usize,
    /// A passport: bytes.
    pub passport_bytes_max: usize,
    /// Callers of whom it is known who served them.
    pub served_max: usize,
    /// Skills ever named.
    pub skills_max: usize,
    /// Documents of one configuration.
    pub documents_max: usize,
    /// Queues whose members may take one call.
    pub queues_per_call_max: usize,
    /// Talks of one call.
    pub parts_per_call_max: usize,
    /// A call whose gateway is lost waits so long for another one.
    pub homeless_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            calls_max: 250_000,
            waiting_per_queue_max: 100_000,
            legs_per_call_max: 32,
            agents_max: 100_000,
            queues_max: 10_000,
            numbers_max: 100_000,
            queues_per_agent_max: 200,
            contacts_per_agent_max: 8,
            gateways_max: 1_000,
            senders_max: 4_096,
            replies_per_sender_max: 32_768,
            name_bytes_max: 256,
            contact_bytes_max: 1_024,
            passport_bytes_max: 16_384,
            served_max: 200_000,
            skills_max: 10_000,
            documents_max: 500_000,
            queues_per_call_max: 8,
            parts_per_call_max: 32,
            homeless_ms: 60_000,
        }
    }
}
