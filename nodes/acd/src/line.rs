//! Calls in the order they are served, with their positions; never decides who is served.
//!
//! A sorted list in chunks: the head, an insertion anywhere and a position cost the same few steps at 100 waiting calls and
//! at 100,000.

use crate::rows::Place;
use crate::table::CallKey;

/// A chunk is cut in two when it has more.
const CHUNK: usize = 128;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// None is empty.
    chunks: Vec<Vec<(Place, CallKey)>>,
    len: usize,
}

impl Line {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<(Place, CallKey)> {
        self.chunks.first()?.first().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, CallKey)> + '_ {
        self.chunks.iter().flatten().copied()
    }

    /// How many stand before this place.
    pub(crate) fn before(&self, place: Place) -> usize {
        let chunk = self.chunk_of(place);
        let whole: usize = self.chunks[..chunk].iter().map(Vec::len).sum();
        whole + self.chunks.get(chunk).map_or(0, |chunk| chunk.partition_point(|(other, _)| *other < place))
    }

    pub(crate) fn insert(&mut self, place: Place, call: CallKey) {
        let index = self.chunk_of(place).min(self.chunks.len().saturating_sub(1));
        self.len += 1;
        let Some(chunk) = self.chunks.get_mut(index) else {
            self.chunks.push(vec![(place, call)]);
            return;
        };
        let at = chunk.partition_point(|(other, _)| *other < place);
        chunk.insert(at, (place, call));
        if chunk.len() > CHUNK {
            // Who joins last stands last: an even cut would leave all chunks half empty.
            let keep = if at + 1 == chunk.len() { CHUNK } else { CHUNK / 2 };
            let rest = chunk.split_off(keep);
            self.chunks.insert(index + 1, rest);
        }
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, place: Place) -> bool {
        let index = self.chunk_of(place);
        let Some(chunk) = self.chunks.get_mut(index) else { return false };
        let Ok(at) = chunk.binary_search_by(|(other, _)| other.cmp(&place)) else { return false };
        chunk.remove(at);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(index);
        }
        true
    }

    /// The first chunk whose last place is not before this one.
    fn chunk_of(&self, place: Place) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|(last, _)| *last < place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Key;
    use std::collections::BTreeMap;

    #[test]
    fn a_line_is_a_sorted_map_that_knows_positions() {
        let mut dice = fastrand::Rng::with_seed(7);
        let mut line = Line::default();
        let mut model = BTreeMap::new();
        for step in 0..20_000_u64 {
            let effective = if dice.bool() { step as i64 } else { dice.i64(0..5_000) };
            let place = Place { priority: dice.u8(4..6), effective, sequence: dice.u64(0..3) };
            if dice.u8(..) < 140 {
                if model.insert(place, CallKey::from_slot(step as u32)).is_none() {
                    line.insert(place, CallKey::from_slot(step as u32));
                } else {
                    assert!(line.remove(place));
                    line.insert(place, CallKey::from_slot(step as u32));
                }
            } else {
                let place = model.range(place..).next().map_or(place, |(place, _)| *place);
                assert_eq!(line.remove(place), model.remove(&place).is_some());
            }
            assert_eq!(line.len(), model.len());
            assert_eq!(line.first(), model.first_key_value().map(|(place, call)| (*place, *call)));
            if step % 64 == 0 {
                assert_eq!(line.before(place), model.range(..place).count());
                assert!(line.iter().eq(model.iter().map(|(place, call)| (*place, *call))));
            }
        }
        assert!(line.chunks.len() > 10, "the dice filled more than a chunk");
    }
}
