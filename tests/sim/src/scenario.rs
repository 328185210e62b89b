//! What a seed asks for: a centre, its people and what breaks when. Nothing here happens yet, and all of it can be
//! made smaller piece by piece.

mod centre;
mod draw;

use proto::v1::Document;

pub(crate) use centre::change;

/// Virtual microseconds since the run began.
pub type Us = u64;
/// Microseconds of a second.
pub(crate) const SECOND: Us = 1_000_000;
/// Microseconds of a millisecond.
pub(crate) const MILLI: Us = 1_000;
/// Unix microseconds at the beginning of every run.
pub(crate) const START_UNIX_US: u64 = 1_700_000_000_000_000;

/// How long a run is and how much happens in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// About a virtual minute in which things break: for every day.
    Short,
    /// About ten: for the night.
    Long,
}

/// Everything that a run is asked to do.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Where all dice come from.
    pub seed: u64,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Gateways.
    pub gateways: usize,
    /// When everything heals.
    pub heal_us: Us,
    /// The first configuration.
    pub documents: Vec<Document>,
    /// People who call.
    pub callers: Vec<Caller>,
    /// People who answer.
    pub agents: Vec<Agent>,
    /// What breaks.
    pub faults: Vec<Fault>,
}

/// Someone who calls, perhaps more than once.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Own number, unique in the run.
    pub name: String,
    /// Dials first.
    pub arrives_us: Us,
    /// What is dialled.
    pub number: String,
    /// Leaves when nobody has answered for so long.
    pub patience_us: Us,
    /// Hangs up after so much talk.
    pub talk_us: Us,
    /// How often the call is tried again when it did not lead to a talk.
    pub redials: u32,
    /// Between two tries.
    pub redial_us: Us,
}

/// Someone who answers.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Name in the configuration.
    pub name: String,
    /// Logs in and becomes ready.
    pub begins_us: Us,
    /// Logs out.
    pub ends_us: Us,
    /// Breaks: from, to.
    pub breaks: Vec<(Us, Us)>,
    /// Percent of the rings that are let ring.
    pub ignores: u32,
    /// Percent of the rings that are refused.
    pub refuses: u32,
    /// Hangs up first when a talk lasts so long.
    pub talk_us: Us,
}

/// Something that breaks, and when.
#[derive(Debug, Clone)]
pub struct Fault {
    /// When it begins.
    pub at_us: Us,
    /// How long it lasts, when it lasts.
    pub for_us: Us,
    /// What it is.
    pub kind: FaultKind,
}

/// What may break. Nodes and gateways are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// A node dies, what it had not synced is lost, and it starts again.
    Crash(usize),
    /// All nodes at once.
    PowerCut,
    /// A node stands still while time goes on.
    Pause(usize),
    /// A node is cut from everybody.
    Isolate(usize),
    /// A node hears nobody.
    Deafen(usize),
    /// Nobody hears a node.
    Mute(usize),
    /// A gateway is cut from all nodes.
    IsolateGateway(usize),
    /// A gateway hears no node.
    DeafenGateway(usize),
    /// Messages between nodes are lost, late and doubled, in percent.
    Noise(u32),
    /// The clock of a node is set, by so many milliseconds.
    SetClock(usize, i64),
    /// Flushes of a node take long.
    SlowDisk(usize),
    /// A gateway dies and starts again as another life.
    Vanish(usize),
    /// All gateways die at once and start again later: meanwhile no call has one.
    Blackout,
    /// A gateway stands still, and wakes up late.
    Freeze(usize),
    /// A gateway is emptied for a while.
    Drain(usize),
    /// All streams of a gateway break.
    BreakStreams(usize),
    /// Leadership is handed over in good order.
    HandOver,
    /// The configuration changes while calls wait; which change is drawn from the number.
    Configure(u64),
    /// A supervisor ends a call through whatever gateway is at hand.
    ClearCall,
    /// The tenant moves to the other shard while its calls go on; how patient its mover is and when it dies is drawn
    /// from the number.
    MoveTenant(u64),
}

impl FaultKind {
    /// How long a power cut waits for a bad moment.
    pub(crate) const PATIENCE_US: Us = SECOND;

    /// Leaves the nodes and what is between them alone.
    pub(crate) const fn is_above_nodes(&self) -> bool {
        matches!(
            self,
            Self::IsolateGateway(_)
                | Self::DeafenGateway(_)
                | Self::Vanish(_)
                | Self::Blackout
                | Self::Freeze(_)
                | Self::Drain(_)
                | Self::BreakStreams(_)
                | Self::Configure(_)
                | Self::ClearCall
                | Self::MoveTenant(_)
        )
    }

    /// Its name in sums.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash(_) => "crash",
            Self::PowerCut => "power cut",
            Self::Pause(_) => "pause",
            Self::Isolate(_) => "partition",
            Self::Deafen(_) => "one-way cut, in",
            Self::Mute(_) => "one-way cut, out",
            Self::IsolateGateway(_) => "gateway partition",
            Self::DeafenGateway(_) => "gateway one-way cut",
            Self::Noise(_) => "noise",
            Self::SetClock(..) => "clock jump",
            Self::SlowDisk(_) => "slow disk",
            Self::Vanish(_) => "gateway vanished",
            Self::Blackout => "gateways vanished",
            Self::Freeze(_) => "gateway stopped",
            Self::Drain(_) => "gateway drained",
            Self::BreakStreams(_) => "streams broken",
            Self::HandOver => "hand-over",
            Self::Configure(_) => "configuration change",
            Self::ClearCall => "call cleared",
            Self::MoveTenant(_) => "tenant moved",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} for {} ms", self.kind, self.for_us / MILLI)
    }
}

impl Scenario {
    /// What this seed asks for.
    #[must_use]
    pub fn draw(seed: u64, length: Length) -> Self {
        draw::scenario(seed, length)
    }
}
