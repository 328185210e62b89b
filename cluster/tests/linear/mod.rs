//! Whether a history of calls could have happened one after the other, each at some moment between its beginning and its
//! end (linearizability). Wing and Gong's search with Lowe's memory of what was tried. Knows no cluster, no clock, no IO and
//! nothing but `std`, so that other suites include it by path.

#![allow(unreachable_pub, dead_code, reason = "a module of several suites, of which each uses a part")]

pub mod register;

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

/// What calls mean when they come one after the other.
pub trait Model {
    /// Everything that calls can see.
    type State: Clone + Eq + Hash;
    /// What is asked.
    type Call;
    /// What is answered.
    type Answer: PartialEq;
    /// Before the first call.
    fn begin(&self) -> Self::State;
    /// One call.
    fn call(&self, state: &Self::State, call: &Self::Call) -> (Self::State, Self::Answer);
}

/// A call as its caller saw it. Moments are numbers of one clock; two that are equal are taken for concurrent.
#[derive(Debug, Clone)]
pub struct Seen<C, A> {
    /// What was asked.
    pub call: C,
    /// When.
    pub began: u64,
    /// When it was answered and what; `None` when that is not known: it may have happened at any time since, or never.
    pub ended: Option<(u64, A)>,
}

/// Why a history is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No order explains it. So many calls could be put into an order; of those left, this one (its place in the history)
    /// had to be next and cannot be.
    NotLinearizable {
        /// The call that no order explains.
        call: usize,
        /// How many were explained.
        explained: usize,
    },
    /// Not decided within so many steps.
    TooHard {
        /// The steps taken.
        steps: u64,
    },
}

/// One moment of the history, in a list that calls are taken out of and put back into.
struct Moment {
    call: usize,
    is_end: bool,
    before: usize,
    after: usize,
}

/// The list's own place before the first moment; its number stands for "none" after the last.
const HEAD: usize = 0;

struct Moments {
    list: Vec<Moment>,
    /// Per call: places of its beginning and its end.
    places: Vec<(usize, Option<usize>)>,
}

impl Moments {
    fn of<C, A>(history: &[Seen<C, A>]) -> Self {
        let mut order: Vec<(u64, bool, usize)> = Vec::with_capacity(history.len() * 2);
        for (at, seen) in history.iter().enumerate() {
            order.push((seen.began, false, at));
            // An end before its beginning would be the caller's mistake; it is taken for the same moment.
            order.extend(seen.ended.as_ref().map(|(ended, _)| ((*ended).max(seen.began), true, at)));
        }
        order.sort_unstable();
        let mut list = vec![Moment { call: usize::MAX, is_end: false, before: order.len(), after: HEAD }];
        let mut places = vec![(HEAD, None); history.len()];
        for (_, is_end, call) in order {
            let place = list.len();
            list.push(Moment { call, is_end, before: place - 1, after: HEAD });
            list[place - 1].after = place;
            if is_end { places[call].1 = Some(place) } else { places[call].0 = place }
        }
        Self { list, places }
    }

    fn unlink(&mut self, place: usize) {
        let (before, after) = (self.list[place].before, self.list[place].after);
        self.list[before].after = after;
        self.list[after].before = before;
    }

    fn relink(&mut self, place: usize) {
        let (before, after) = (self.list[place].before, self.list[place].after);
        self.list[before].after = place;
        self.list[after].before = place;
    }

    fn take_out(&mut self, call: usize) {
        let (begin, end) = self.places[call];
        self.unlink(begin);
        if let Some(end) = end {
            self.unlink(end);
        }
    }

    /// In the reverse order of taking out.
    fn put_back(&mut self, call: usize) {
        let (begin, end) = self.places[call];
        if let Some(end) = end {
            self.relink(end);
        }
        self.relink(begin);
    }
}

/// Whether some order explains the history, tried in at most `steps_max` steps.
///
/// # Errors
/// [`Fault`].
pub fn check<M: Model>(model: &M, history: &[Seen<M::Call, M::Answer>], steps_max: u64) -> Result<(), Fault> {
    let mut moments = Moments::of(history);
    let mut state = model.begin();
    let mut explained = vec![0u64; history.len().div_ceil(64)];
    let mut tried: HashSet<(Vec<u64>, M::State)> = HashSet::new();
    let mut path: Vec<(usize, M::State)> = Vec::new();
    let mut worst = (0, 0);
    let mut place = moments.list[HEAD].after;
    for _ in 0..steps_max {
        if place == HEAD {
            // No end is left in the list: all that is known is explained.
            return Ok(());
        }
        let call = moments.list[place].call;
        if moments.list[place].is_end {
            // Whatever is taken next, it begins after this has ended: the last choice was wrong.
            if path.len() >= worst.1 {
                worst = (call, path.len());
            }
            let Some((undone, before)) = path.pop() else {
                return Err(Fault::NotLinearizable { call: worst.0, explained: worst.1 });
            };
            explained[undone / 64] &= !(1 << (undone % 64));
            state = before;
            moments.put_back(undone);
            place = moments.list[moments.places[undone].0].after;
            continue;
        }
        let seen = &history[call];
        let (next, answer) = model.call(&state, &seen.call);
        if seen.ended.as_ref().is_none_or(|(_, known)| *known == answer) {
            explained[call / 64] |= 1 << (call % 64);
            if tried.insert((explained.clone(), next.clone())) {
                path.push((call, std::mem::replace(&mut state, next)));
                moments.take_out(call);
                place = moments.list[HEAD].after;
                continue;
            }
            explained[call / 64] &= !(1 << (call % 64));
        }
        place = moments.list[place].after;
    }
    Err(Fault::TooHard { steps: steps_max })
}

/// Histories of things that do not touch each other are checked apart, which is what makes long ones possible.
pub fn by_key<C, A, K: Ord>(
    history: impl IntoIterator<Item = Seen<C, A>>,
    key: impl Fn(&C) -> K,
) -> BTreeMap<K, Vec<Seen<C, A>>> {
    let mut parts: BTreeMap<K, Vec<Seen<C, A>>> = BTreeMap::new();
    for seen in history {
        parts.entry(key(&seen.call)).or_default().push(seen);
    }
    parts
}
