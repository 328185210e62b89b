//! What people there are and how they tend to behave: plain data; never a throw of the dice.

use crate::words::Target;
use crate::{Spread, Timestamp};

/// Everybody.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Id of the first call; later ones count up. Not 0.
    pub first_call: u64,
    /// Callers, by the number they dial.
    pub lines: Vec<Line>,
    /// Agents.
    pub workers: Vec<Worker>,
    /// Whoever is called outside: targets of transfers, callbacks.
    pub outside: Outside,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { first_call: 1, lines: Vec::new(), workers: Vec::new(), outside: Outside::default() }
    }
}

/// The callers of one number.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Dialled.
    pub number: String,
    /// When.
    pub arrivals: Arrivals,
    /// How they are.
    pub habits: Habits,
}

/// When calls come.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// By chance, at rates.
    Curve(Curve),
    /// As recorded, rising in time.
    List(Vec<Arrival>),
}

/// Rates of arrival; within an interval calls come by a Poisson process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// When the first interval begins.
    pub from: Timestamp,
    /// Length of an interval; 0 is no arrivals.
    pub interval_ms: u64,
    /// Mean calls in each interval.
    pub calls: Vec<f64>,
    /// How often the whole curve is gone through; 0 is once.
    pub rounds: u32,
}

/// One recorded call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Timestamp,
    /// Calling party; empty: drawn.
    pub caller: String,
    /// `None`: drawn by the line's habits.
    pub patience_ms: Option<u64>,
    /// One that is drawn is longer than this.
    pub patience_above_ms: u64,
    /// `None`: drawn by the line's habits.
    pub talk_ms: Option<u64>,
    /// Comes only because this caller's call before was not served; who was served stays away.
    pub is_repeat: bool,
}

/// How callers are.
#[derive(Clone, Debug, PartialEq)]
pub struct Habits {
    /// How long they wait before they give up, from dialling or from being sent back to music.
    pub patience: Spread,
    /// How long they talk, before the agent's pace.
    pub talk: Spread,
    /// Share of talks that the caller ends; the agent ends the others. 0-1.
    pub hangs_up_first: f64,
    /// Different callers; 0: every call has a caller of its own.
    pub population: u32,
    /// Callers with numbers of note, drawn evenly.
    pub vips: Vec<String>,
    /// Share of calls that come from them. 0-1.
    pub vip_share: f64,
    /// Whether those who were not served ring again.
    pub repeat: Repeat,
    /// Keys they press while they wait.
    pub presses: Vec<Press>,
}

impl Default for Habits {
    fn default() -> Self {
        Habits {
            patience: Spread::Never,
            talk: Spread::Exponential { mean_ms: 180_000 },
            hangs_up_first: 0.5,
            population: 0,
            vips: Vec::new(),
            vip_share: 0.0,
            repeat: Repeat::default(),
            presses: Vec::new(),
        }
    }
}

/// Ringing again after no success.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    /// After having given up. 0-1.
    pub abandoned: f64,
    /// After having been refused. 0-1.
    pub refused: f64,
    /// After so long.
    pub after: Spread,
    /// At most so many further calls.
    pub most: u32,
}

impl Default for Repeat {
    fn default() -> Self {
        Repeat { abandoned: 0.0, refused: 0.0, after: Spread::Exponential { mean_ms: 300_000 }, most: 3 }
    }
}

/// A key that some callers press while they wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Press {
    /// What.
    pub digits: String,
    /// Share of callers who do. 0-1.
    pub share: f64,
    /// So long after dialling, if they still wait.
    pub after: Spread,
}

/// An agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// The agent's name.
    pub name: String,
    /// When at work, rising, without overlap.
    pub shifts: Vec<Shift>,
    /// Talks take so much of the usual; 1 is usual.
    pub pace: f64,
    /// How they work.
    pub manners: Manners,
}

/// From log-in to log-out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Logs in and is ready.
    pub from: Timestamp,
    /// Logs out, after the call if there is one.
    pub until: Timestamp,
    /// Rising, within the shift.
    pub breaks: Vec<Break>,
}

/// Takes no calls for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Break {
    /// Not ready, after the call if there is one.
    pub at: Timestamp,
    /// From then, or from the end of that call.
    pub length_ms: u64,
    /// Told to the shard.
    pub reason: String,
}

/// How an agent works. All shares are 0-1.
#[derive(Clone, Debug, PartialEq)]
pub struct Manners {
    /// How long the phone rings before they pick up.
    pub answer: Spread,
    /// Share of rings they let ring.
    pub ignores: f64,
    /// After the ringing stopped they ask for calls again.
    pub returns: Spread,
    /// Share of rings they refuse as busy.
    pub busy: f64,
    /// Share of rings they reject.
    pub rejects: f64,
    /// Share of talks in which the caller is put on hold once.
    pub holds: f64,
    /// For how long.
    pub hold: Spread,
    /// Share of talks that end in a blind transfer.
    pub transfers: f64,
    /// Share of talks with a consultation.
    pub consults: f64,
    /// How long they talk to the target before they decide.
    pub consult: Spread,
    /// Share of consultations that end with the caller handed over; the others take the caller back.
    pub completes: f64,
    /// Share of consultations in which all three talk first.
    pub conferences: f64,
    /// Drawn evenly among those that fit: nobody sends a caller to themselves, nobody consults a queue. Without any, no
    /// transfer and no consultation.
    pub targets: Vec<Target>,
    /// After a talk they ask for calls after so long, ending the wrap-up; `None`: they wait for its end.
    pub wrap_up: Option<Spread>,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            answer: Spread::Uniform { from_ms: 1_000, to_ms: 5_000 },
            ignores: 0.0,
            returns: Spread::Exponential { mean_ms: 30_000 },
            busy: 0.0,
            rejects: 0.0,
            holds: 0.0,
            hold: Spread::Exponential { mean_ms: 20_000 },
            transfers: 0.0,
            consults: 0.0,
            consult: Spread::Exponential { mean_ms: 20_000 },
            completes: 0.7,
            conferences: 0.0,
            targets: Vec::new(),
            wrap_up: None,
        }
    }
}

/// Those who are called.
#[derive(Clone, Debug, PartialEq)]
pub struct Outside {
    /// How long their phone rings before they pick up.
    pub answer: Spread,
    /// Share who let it ring. 0-1.
    pub ignores: f64,
    /// Share who are busy. 0-1.
    pub busy: f64,
    /// How long they talk.
    pub talk: Spread,
}

impl Default for Outside {
    fn default() -> Self {
        Outside {
            answer: Spread::Uniform { from_ms: 3_000, to_ms: 12_000 },
            ignores: 0.0,
            busy: 0.0,
            talk: Spread::Exponential { mean_ms: 120_000 },
        }
    }
}
