//! Configuration documents as a shard understands them; never the YAML, never credentials.
//!
//! Mirrors `document.proto`. A number that is 0 and a text that is empty mean the default named in the comment. Snapshots
//! keep documents as JSON by these names: fields are only ever added.

use serde::{Deserialize, Serialize};

/// One configuration document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Document {
    /// A number that callers dial.
    Number(Number),
    /// A queue.
    Queue(Box<Queue>),
    /// An agent.
    Agent(Agent),
    /// A trunk; a shard has no use for it and ignores it.
    Trunk(Trunk),
    /// A skill.
    Skill(Skill),
    /// Business time.
    Schedule(Schedule),
    /// A time zone as data.
    Zone(Zone),
    /// Rules for single callers.
    Caller(Caller),
    /// Where calls for a named agent go.
    Forwarding(Forwarding),
    /// What holds for the whole tenant.
    Centre(Centre),
}

/// A number that callers dial, and where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Number {
    /// As dialled.
    pub name: String,
    /// Where calls wait; for a direct number the fallback, and whose rules hold.
    pub queue: String,
    /// Direct: the call waits for this agent first. Empty: none.
    pub agent: String,
    /// How long it waits for that agent alone; 0 is as long as it waits at all.
    pub direct_seconds: u32,
    /// Class, 1 is served first, up to 9; 0 is 5.
    pub priority: u32,
    /// Counts as if the caller had waited so much longer.
    pub boost_seconds: u32,
    /// Beside those the queue demands.
    pub skills: Vec<SkillDemand>,
    /// The first whose schedule is open goes before `queue`.
    pub routes: Vec<TimedRoute>,
}

/// A skill asked at a level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SkillDemand {
    /// The skill.
    pub skill: String,
    /// At least this, 1-100; 0 is 1 (in a relaxation: asked no more).
    pub level: u32,
}

/// A queue while a schedule is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimedRoute {
    /// The schedule.
    pub schedule: String,
    /// The queue.
    pub queue: String,
}

/// A skill that agents have and calls ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Skill {
    /// Its name.
    pub name: String,
}

/// Rules for single callers, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Caller {
    /// Its name.
    pub name: String,
    /// Calling numbers.
    pub numbers: Vec<String>,
    /// Class; 0 is as the dialled number says.
    pub priority: u32,
    /// Added to that of the number.
    pub boost_seconds: u32,
    /// Preferred agent, as if sticky. Empty: none.
    pub agent: String,
}

/// How the agent for a call is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u32)]
pub enum Strategy {
    /// Idle for the longest.
    #[default]
    LongestIdle = 1,
    /// Next after the last one offered, in the order of membership.
    RoundRobin = 2,
    /// Always from the top of the list.
    Linear = 3,
    /// Fewest calls in the window.
    FewestCalls = 4,
    /// Least talk time in the window.
    LeastTalk = 5,
    /// Least occupied in the window.
    LeastOccupied = 6,
    /// Highest sum of levels over the asked skills.
    MostSkilled = 7,
    /// Dice.
    Random = 8,
    /// Dice weighted by membership.
    WeightedRandom = 9,
    /// All at once.
    RingAll = 10,
    /// By steps of agents and seconds.
    Progressive = 11,
    /// Someone outside chooses.
    External = 12,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 12] = [
        Strategy::LongestIdle,
        Strategy::RoundRobin,
        Strategy::Linear,
        Strategy::FewestCalls,
        Strategy::LeastTalk,
        Strategy::LeastOccupied,
        Strategy::MostSkilled,
        Strategy::Random,
        Strategy::WeightedRandom,
        Strategy::RingAll,
        Strategy::Progressive,
        Strategy::External,
    ];

    /// Its name in documents and records.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::LongestIdle => "longest-idle",
            Strategy::RoundRobin => "round-robin",
            Strategy::Linear => "linear",
            Strategy::FewestCalls => "fewest-calls",
            Strategy::LeastTalk => "least-talk",
            Strategy::LeastOccupied => "least-occupied",
            Strategy::MostSkilled => "most-skilled",
            Strategy::Random => "random",
            Strategy::WeightedRandom => "weighted-random",
            Strategy::RingAll => "ring-all",
            Strategy::Progressive => "progressive",
            Strategy::External => "external",
        }
    }

    /// Ranks single agents, so may order a ring-all, a progressive or a fallback.
    pub fn is_single(self) -> bool {
        !matches!(self, Strategy::RingAll | Strategy::Progressive | Strategy::External)
    }
}

/// When the caller's INVITE is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerMode {
    /// At once, with music.
    #[default]
    OnEntry,
    /// When an agent has answered; ringing until then.
    OnAgent,
}

/// From when an agent is idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdleSince {
    /// The agent last became ready.
    #[default]
    Ready,
    /// The last call ended, whatever breaks came between.
    LastCall,
}

/// Over which time calls and talk are counted for a strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Window {
    /// Since the agent logged in.
    #[default]
    Shift,
    /// Since midnight in the centre's zone.
    Day,
    /// Over the last so many minutes, 1-1440.
    Minutes(u32),
}

/// What becomes of an agent who let the phone ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RonaPolicy {
    /// Not ready, reason `rona`.
    #[default]
    NotReady,
    /// Ready again after the delay.
    StayReady,
}

/// What becomes of those who rang before, when the next step of a progressive offer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgressiveMode {
    /// They keep ringing.
    #[default]
    Cumulative,
    /// They stop.
    Replace,
}

/// A queue and its policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// Its name, unique in the tenant.
    pub name: String,
    /// Who is chosen.
    pub strategy: Strategy,
    /// When the caller is answered.
    pub answer: AnswerMode,
    /// How long an agent's phone rings; 0 is 15.
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
    /// For strategies that look at idle time.
    pub idle_since: IdleSince,
    /// For strategies that count.
    pub window: Window,
    /// What becomes of an agent who let the phone ring.
    pub rona: RonaPolicy,
    /// How long an agent who stays ready is left alone, at least a second.
    pub rona_delay_seconds: u32,
    /// Logged out after so many in a row; 0 is never.
    pub rona_max: u32,
    /// How fast waiting counts beside other queues' callers; 0 is 1000.
    pub ageing_permille: u32,
    /// From tier 2 on; a tier without an entry opens with the tier before it.
    pub tiers: Vec<Tier>,
    /// Every call asks these.
    pub skills: Vec<SkillDemand>,
    /// Ring-all: at most so many at once; 0 is 20.
    pub ring_max: u32,
    /// Ring-all: keep to the first tier that has somebody.
    pub ring_one_tier: bool,
    /// Progressive.
    pub steps: Vec<ProgressiveStep>,
    /// Progressive.
    pub progressive: ProgressiveMode,
    /// Who comes first among many, and the fallback of `external`. One that ranks single agents.
    pub order: Strategy,
    /// External.
    pub chooser: Option<Chooser>,
    /// Who served this caller before is preferred.
    pub sticky: Option<Sticky>,
    /// Rising by time.
    pub overflow: Vec<OverflowStep>,
    /// The first whose condition holds decides about a new caller.
    pub join: Vec<JoinRule>,
    /// When it holds, those who wait go as `leave_action` says.
    pub leave: Option<(Condition, Action)>,
    /// Business hours; empty is always open.
    pub schedule: String,
    /// For new callers out of hours; `None` hangs up.
    pub closed: Option<Action>,
    /// For those who already wait at closing time.
    pub closing: ClosingPolicy,
    /// What a waiting caller may press.
    pub keys: Vec<(char, Action)>,
    /// What a waiting caller hears over the music.
    pub announcements: Vec<Announcement>,
    /// Whether callers may be called back.
    pub callback: Option<Callback>,
    /// Who leaves within it counts as a short abandon; 0 is 5.
    pub short_abandon_seconds: u32,
    /// 0 is 20.
    pub service_level_seconds: u32,
    /// An extended wrap-up ends here; 0 is 600.
    pub wrap_up_max_seconds: u32,
    /// A change of priority or boost re-sorts those who already wait.
    pub reorder: bool,
}

/// When a tier opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tier {
    /// 2-9.
    pub tier: u32,
    /// From joining.
    pub after_seconds: u32,
}

/// A step of a progressive offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressiveStep {
    /// How many more ring.
    pub agents: u32,
    /// For how long before the next step.
    pub seconds: u32,
}

/// Someone outside who chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chooser {
    /// `http://host:port`.
    pub endpoint: String,
    /// 0 is 500, at most 5000.
    pub deadline_ms: u32,
}

/// Who served a caller before is preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sticky {
    /// 0 is 86400.
    pub window_seconds: u32,
    /// How long a busy one is waited for; 0 is not at all.
    pub wait_seconds: u32,
}

/// All that are set must hold; nothing set always holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// More callers wait than this.
    pub waiting_over: u32,
    /// At least one caller waits.
    pub some_wait: bool,
    /// The estimated wait (its upper end) is longer; an unknown one is not.
    pub estimate_over_seconds: u32,
    /// Waiting callers per 100 logged-in members; without a member it holds as soon as somebody waits.
    pub waiting_per_agent_over_percent: u32,
    /// No member is in any of these states.
    pub nobody: Option<Staff>,
    /// This schedule is closed. Empty: not asked.
    pub closed: String,
    /// This schedule is open. Empty: not asked.
    pub open: String,
}

/// States of members that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Staff {
    /// Ready and reachable.
    pub ready: bool,
    /// Not ready.
    pub not_ready: bool,
    /// In wrap-up.
    pub wrap_up: bool,
    /// Reserved, ringing.
    pub ringing: bool,
    /// Talking, holding, consulting.
    pub talking: bool,
    /// Ready without a contact.
    pub unreachable: bool,
}

/// What is done with a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Tiers up to this one are open to it.
    OpenTier(u32),
    /// Ask this skill at this level from now on; level 0 drops it.
    Relax(SkillDemand),
    /// The members of that queue may take it too.
    AddQueue(String),
    /// Leaves this queue for that one, with its wait time.
    MoveTo(String),
    /// Its class from now on.
    Priority(u32),
    /// Added.
    Boost(u32),
    /// Says that a callback may be asked for by key.
    OfferCallback,
    /// To a number, an agent, a queue or a SIP address.
    Forward(Target),
    /// Let go; an answered caller hears the prompt first, when there is one.
    HangUp {
        /// May be empty.
        prompt: String,
        /// For a caller who is not answered; 0 is 480.
        sip_status: u32,
    },
    /// A prompt, once.
    Announce(String),
    /// The caller asks to be called back.
    TakeCallback,
}

/// Whom a call may be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// An agent, with the forwarding rules of theirs.
    Agent(String),
    /// A queue.
    Queue(String),
    /// A number of ours if there is one, else over a trunk.
    Number(String),
    /// A SIP URI.
    Sip(String),
}

/// What happens to a caller who has waited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverflowStep {
    /// From joining.
    pub after_seconds: u32,
    /// Looked at again every [`crate::limits::STEP_SECONDS`] until it holds.
    pub when: Condition,
    /// What.
    pub action: Action,
}

/// What happens to a caller who would join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRule {
    /// When.
    pub when: Condition,
    /// What.
    pub action: Action,
}

/// For those who already wait at closing time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClosingPolicy {
    /// Who waits is served.
    #[default]
    Stay,
    /// Who waits goes the way of new callers.
    Go,
}

/// What an announcement says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnnouncementKind {
    /// The prompt as it is.
    #[default]
    Prompt,
    /// The prompt, then the position.
    Position,
    /// The prompt, then the estimated wait in minutes; not said while unknown.
    Estimate,
}

/// Something said over the music.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Announcement {
    /// What it says.
    pub kind: AnnouncementKind,
    /// The prompt.
    pub prompt: String,
    /// The first time, from joining.
    pub after_seconds: u32,
    /// 0 is once.
    pub every_seconds: u32,
}

/// Being called back instead of waiting on the phone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Callback {
    /// 0 is 3.
    pub attempts_max: u32,
    /// Between attempts; 0 is 300.
    pub retry_seconds: u32,
    /// 0 is 14400.
    pub expiry_seconds: u32,
    /// 0 is 30.
    pub ring_seconds: u32,
}

/// What an agent is at first sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Membership {
    /// The queue.
    pub queue: String,
    /// 1 is offered first, up to 9; 0 is 1.
    pub tier: u32,
    /// Of this queue for the agent, 1-100, more is served first; 0 is 1.
    pub weight: u32,
}

/// A skill that an agent has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SkillLevel {
    /// The skill.
    pub skill: String,
    /// 1-100.
    pub level: u32,
}

/// An agent and the policy for them. Credentials stay with the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// Calls at once; 0 is 1, up to 10.
    pub capacity: u32,
    /// What the agent can.
    pub skills: Vec<SkillLevel>,
    /// All registered contacts ring, else the newest.
    pub ring_all_contacts: bool,
    /// Shown outside; may be empty.
    pub number: String,
}

/// Business time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// A zone among the documents; empty is UTC.
    pub zone: String,
    /// By weekday.
    pub hours: Vec<Hours>,
    /// Goes before seasons and hours on these dates.
    pub dates: Vec<DateHours>,
    /// Goes before hours within these dates, every year.
    pub seasons: Vec<Season>,
}

/// A span of local time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hours {
    /// 1 = Monday .. 7 = Sunday, the day on which the span begins.
    pub weekdays: Vec<u32>,
    /// Since midnight, below 1440.
    pub from_minute: u32,
    /// At most 1440; not above `from_minute`: past midnight.
    pub to_minute: u32,
}

/// A holiday or an exception.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DateHours {
    /// 0 is every year.
    pub year: u32,
    /// 1-12.
    pub month: u32,
    /// 1-31.
    pub day: u32,
    /// Weekdays unused; none is closed all day.
    pub hours: Vec<Hours>,
}

/// Other hours within a part of the year.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Season {
    /// First month.
    pub from_month: u32,
    /// First day.
    pub from_day: u32,
    /// Last month; may lie in the next year.
    pub to_month: u32,
    /// Last day, inclusive.
    pub to_day: u32,
    /// By weekday.
    pub hours: Vec<Hours>,
}

/// A time zone as data, so that every replica computes with the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Zone {
    /// IANA name.
    pub name: String,
    /// Version of the database it was taken from.
    pub tzdb: String,
    /// Seconds east of UTC before the first change.
    pub first_offset_seconds: i32,
    /// (Unix seconds, seconds east of UTC from then on), rising.
    pub changes: Vec<(i64, i32)>,
}

/// When a forwarding rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardWhen {
    /// Always.
    Always,
    /// The agent has a call in hand or is not ready.
    Busy,
    /// No answer within the rule's time.
    NoAnswer,
    /// No contact, logged out, or the contact cannot be reached.
    Unreachable,
}

/// Where calls for a named agent go when the agent does not take them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forwarding {
    /// Its name.
    pub name: String,
    /// Whose.
    pub agent: String,
    /// The first that holds.
    pub rules: Vec<ForwardRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardRule {
    /// When.
    pub when: ForwardWhen,
    /// With `NoAnswer`; 0 is 15.
    pub after_seconds: u32,
    /// In order, with the time each rings; 0 is 20 seconds.
    pub targets: Vec<(Target, u32)>,
    /// All ring at once instead.
    pub group: bool,
}

/// Which number a party sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presentation {
    /// The caller's.
    #[default]
    Caller,
    /// The company's.
    Company,
    /// None (RFC 3325).
    Hidden,
}

/// What holds for the whole tenant. At most one document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Centre {
    /// Its name.
    pub name: String,
    /// A zone among the documents; empty is UTC.
    pub zone: String,
    /// The company's, presented outside.
    pub number: String,
    /// Of transfers and forwards to the outside.
    pub outside: Presentation,
    /// Where a failed transfer goes when the agent is not free and there is no queue.
    pub transfer_failed: Option<Target>,
    /// Forwards and transfers of one call; 0 is 5.
    pub hops_max: u32,
    /// Of a transfer or consult; 0 is 20.
    pub target_ring_seconds: u32,
    /// Star code; empty is `*8`.
    pub blind_code: String,
    /// Star code; empty is `*7`.
    pub consult_code: String,
    /// The caller hears it before being moved; empty is none.
    pub transfer_prompt: String,
    /// Fewer digits than this are no number to call back.
    pub callback_digits_min: u32,
}

/// Who may bring calls in. A shard ignores it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trunk {
    /// The name.
    pub name: String,
    /// IP addresses or CIDR blocks.
    pub addresses: Vec<String>,
}
