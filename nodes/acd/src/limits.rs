//! Every bound of a shard by name; never a number elsewhere. All replicas of a shard must have the same ones.

/// The latest time a shard believes in; a later one is taken as this, so that adding a delay never overflows.
pub const TIME_MAX: u64 = u64::MAX / 4;
/// Used when a queue gives no ring time.
pub const RING_SECONDS_DEFAULT: u32 = 15;
/// A busy or unreachable agent is left alone at least so long, so that no offer loops at the speed of the network.
pub const DELAY_SECONDS_MIN: u32 = 1;
/// A registration is believed for at most so long.
pub const CONTACT_SECONDS_MAX: u32 = 7 * 24 * 3600;
/// A sender that has been silent for so long is forgotten.
pub const SENDER_IDLE_MS: u64 = 3_600_000;
/// When the table of senders is full, one that has been silent for at least this long gives way.
pub const SENDER_IDLE_MS_MIN: u64 = 60_000;
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
        }
    }
}
