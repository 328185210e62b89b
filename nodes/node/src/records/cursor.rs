//! Where a reader of the records is: of each shard the key of the last record that was kept. Text for consumers, who must
//! not look into it. The keys are those of the log, so a cursor is right at every node.

use std::{collections::BTreeMap, fmt, str::FromStr};

use cluster::RecordKey;

/// In front of every cursor; another one is of another release.
const VERSION: &str = "c1";
/// Shards in one cursor.
const SHARDS_MAX: usize = 10_000;

/// The last record of each shard; a shard that is not named is at its beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<u32, (u64, u32)>);

/// A text that is no cursor of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor: it is the text that came with a batch, unchanged")]
pub struct CursorError;

impl Cursor {
    /// The index and position of the last record of a shard.
    #[must_use]
    pub fn last(&self, shard: u32) -> Option<(u64, u32)> {
        self.0.get(&shard).copied()
    }

    /// The first key that may follow.
    #[must_use]
    pub fn next(&self, shard: u32) -> RecordKey {
        let (index, position) = match self.last(shard) {
            None => (0, 0),
            Some((index, u32::MAX)) => (index.saturating_add(1), 0),
            Some((index, position)) => (index, position + 1),
        };
        RecordKey { shard, index, position }
    }

    /// This record was kept.
    pub fn pass(&mut self, key: RecordKey) {
        self.0.insert(key.shard, (key.index, key.position));
    }

    /// The place in one shard is that of another cursor.
    pub fn take(&mut self, shard: u32, other: &Self) {
        match other.last(shard) {
            Some(place) => drop(self.0.insert(shard, place)),
            None => drop(self.0.remove(&shard)),
        }
    }

    /// The shards that it names.
    pub fn shards(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)?;
        self.0.iter().try_for_each(|(shard, (index, position))| write!(f, "-{shard:x}.{index:x}.{position:x}"))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let places = text.strip_prefix(VERSION).ok_or(CursorError)?;
        let mut cursor = Self::default();
        for place in places.split('-').skip(1).take(SHARDS_MAX) {
            let mut numbers = place.split('.').map(|number| u64::from_str_radix(number, 16));
            let (Some(Ok(shard)), Some(Ok(index)), Some(Ok(position)), None) =
                (numbers.next(), numbers.next(), numbers.next(), numbers.next())
            else {
                return Err(CursorError);
            };
            let narrow = |number: u64| u32::try_from(number).map_err(|_| CursorError);
            cursor.0.insert(narrow(shard)?, (index, narrow(position)?));
        }
        // Whatever was left out, doubled or spelt in another way is not what we wrote.
        if cursor.to_string() == text { Ok(cursor) } else { Err(CursorError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let mut cursor = Cursor::default();
        assert_eq!("c1".parse(), Ok(cursor.clone()));
        for (shard, index, position) in [(2, 17, 0), (1, u64::MAX, u32::MAX), (2, 18, 3)] {
            cursor.pass(RecordKey { shard, index, position });
        }
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        assert_eq!(cursor.next(2), RecordKey { shard: 2, index: 18, position: 4 });
        assert_eq!(cursor.next(3), RecordKey { shard: 3, index: 0, position: 0 });
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let wrong = [
            "",
            "c",
            "c2",
            "c1-",
            "c1x",
            "c1-1",
            "c1-1.2",
            "c1-1.2.3.4",
            "c1-1.2.3-1.2.4",
            "c1-2.1.1-1.1.1",
            "c1-01.2.3",
            "c1-1.2.+3",
            "c1-1.2.-3",
            "c1-1.2.A",
            "c1-100000000.1.1",
            "c1-1.10000000000000000.1",
            "c1-1.1.100000000",
            "c1-1.2.3 ",
            "c1-ü.2.3",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text:?}");
        }
    }
}
