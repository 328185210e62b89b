//! Configuration documents as a shard understands them; never the YAML, never credentials.

/// One configuration document. Mirrors `cordboard.v1.Document`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A number that callers dial.
    Number(Number),
    /// A queue.
    Queue(Queue),
    /// An agent.
    Agent(Agent),
    /// A trunk; a shard has no use for it and ignores it.
    Trunk(Trunk),
}

/// A number that callers dial, and where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Number {
    /// As dialled.
    pub name: String,
    /// The queue it leads to.
    pub queue: String,
}

/// How the agent for a call is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The agent who has been ready longest.
    #[default]
    LongestIdle,
}

impl Strategy {
    /// Its name in documents and records.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::LongestIdle => "longest-idle",
        }
    }
}

/// When the caller's INVITE is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerMode {
    /// At once, with music.
    #[default]
    OnEntry,
    /// When an agent has answered; ringing until then.
    OnAgent,
}

/// A queue and its policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Its name, unique in the tenant.
    pub name: String,
    /// Who is chosen.
    pub strategy: Strategy,
    /// When the caller is answered.
    pub answer: AnswerMode,
    /// How long an agent's phone rings; 0 is the default of 15.
    pub ring_seconds: u32,
    /// After-call work; 0 is none.
    pub wrap_up_seconds: u32,
    /// Callers who wait beyond it are refused with 486; 0 is the shard's own limit.
    pub waiting_max: u32,
    /// A caller is let go after it; 0 is no limit.
    pub wait_seconds_max: u32,
    /// A busy or rejecting agent is left alone for so long, at least a second.
    pub busy_delay_seconds: u32,
    /// An unreachable agent is left alone for so long, at least a second.
    pub unreachable_delay_seconds: u32,
    /// `music` or the name of a prompt; empty is `music`.
    pub music: String,
}

/// What an agent is at first sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartState {
    /// Not logged in.
    #[default]
    LoggedOut,
    /// Logged in, takes no calls.
    NotReady,
    /// Takes calls.
    Ready,
}

/// An agent's membership in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The queue.
    pub queue: String,
}

/// An agent and the policy for them. Credentials stay with the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// The name, unique in the tenant.
    pub name: String,
    /// Static SIP URI, used when no contact is registered; empty: the agent must register.
    pub contact: String,
    /// The queues whose calls the agent takes.
    pub queues: Vec<Membership>,
    /// Applied at first sight only.
    pub start: StartState,
    /// After-call work of this agent; 0: the queue's.
    pub wrap_up_seconds: u32,
}

/// Who may bring calls in. A shard ignores it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trunk {
    /// The name.
    pub name: String,
    /// IP addresses or CIDR blocks.
    pub addresses: Vec<String>,
}
