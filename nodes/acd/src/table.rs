//! Rows under dense keys; never hands out a key in an order that a restored replica would not repeat.
//!
//! A table can be frozen: its rows as they are then can be read in slices while the table goes on changing. A row is
//! copied only when it is written before its slice was read.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A dense key of one kind of row.
pub(crate) trait Key: Copy {
    fn from_slot(slot: u32) -> Self;
    fn slot(self) -> u32;
}

macro_rules! keys {
    ($($name:ident)*) => {$(
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(u32);
        impl Key for $name {
            fn from_slot(slot: u32) -> Self { $name(slot) }
            fn slot(self) -> u32 { self.0 }
        }
    )*};
}
keys!(QueueKey AgentKey CallKey GatewayKey);

/// Rows by key. The lowest free slot is always the next one taken, so that the keys themselves are part of the state.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, T> {
    rows: Vec<Option<T>>,
    free: BTreeSet<u32>,
    freeze: Option<Box<Freeze<T>>>,
    key: PhantomData<K>,
}

/// What has still to be read of the rows at the freeze.
#[derive(Clone, Debug)]
struct Freeze<T> {
    /// Slots to read: what was below is read, what is above came later.
    next: u32,
    end: u32,
    /// Slots among them that were written since, and their rows before; `None` where there was none.
    kept: BTreeMap<u32, Option<T>>,
}

impl<K: Key, T> Table<K, T> {
    pub(crate) fn new() -> Self {
        Table { rows: Vec::new(), free: BTreeSet::new(), freeze: None, key: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// Keys are below this.
    pub(crate) fn slots(&self) -> u32 {
        self.rows.len() as u32
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        self.rows.get(key.slot() as usize)?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.rows.iter().enumerate().filter_map(|(slot, row)| Some((K::from_slot(slot as u32), row.as_ref()?)))
    }

    pub(crate) fn keys(&self) -> Vec<K> {
        self.iter().map(|(key, _)| key).collect()
    }

    /// Puts restored rows, in rising order of slots below `slots_max`. `None` when they are not.
    pub(crate) fn from_rows(rows: impl IntoIterator<Item = (u32, T)>, slots_max: u32) -> Option<Self> {
        let mut table = Self::new();
        for (slot, row) in rows {
            if slot >= slots_max || (slot as usize) < table.rows.len() {
                return None;
            }
            while table.rows.len() < slot as usize {
                table.free.insert(table.rows.len() as u32);
                table.rows.push(None);
            }
            table.rows.push(Some(row));
        }
        Some(table)
    }
}

impl<K: Key, T: Clone> Table<K, T> {
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.keep(key.slot());
        self.rows.get_mut(key.slot() as usize)?.as_mut()
    }

    pub(crate) fn insert(&mut self, row: T) -> K {
        match self.free.pop_first() {
            Some(slot) => {
                self.keep(slot);
                self.rows[slot as usize] = Some(row);
                K::from_slot(slot)
            }
            None => {
                self.rows.push(Some(row));
                K::from_slot(self.rows.len() as u32 - 1)
            }
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> T {
        self.keep(key.slot());
        let row = self.rows[key.slot() as usize].take().expect("only a living row is removed");
        self.free.insert(key.slot());
        row
    }

    /// From here on [`Table::freeze_rows`] hands out the rows as they are at this moment. A freeze that was on is over.
    pub(crate) fn begin_freeze(&mut self) {
        self.freeze = Some(Box::new(Freeze { next: 0, end: self.rows.len() as u32, kept: BTreeMap::new() }));
    }

    /// Hands out the next rows of the freeze with their slots, rising over all slices. Looks at no more than `slots_max`
    /// slots (but at one), those without a row included. True while there is more; false when all is read, which ends
    /// the freeze, and when none is on.
    pub(crate) fn freeze_rows(&mut self, slots_max: usize, mut write: impl FnMut(u32, &T)) -> bool {
        let Some(freeze) = &mut self.freeze else { return false };
        let until = freeze.end.min(freeze.next.saturating_add(u32::try_from(slots_max.max(1)).unwrap_or(u32::MAX)));
        for slot in freeze.next..until {
            let kept = freeze.kept.remove(&slot);
            if let Some(row) = kept.as_ref().unwrap_or(&self.rows[slot as usize]) {
                write(slot, row);
            }
        }
        freeze.next = until;
        let more = until < freeze.end;
        if !more {
            self.freeze = None;
        }
        more
    }

    /// Lets go of a freeze, if one is on.
    pub(crate) fn abort_freeze(&mut self) {
        self.freeze = None;
    }

    /// To be called before a slot is written.
    #[inline]
    fn keep(&mut self, slot: u32) {
        if self.freeze.is_some() {
            self.keep_row(slot);
        }
    }

    #[cold]
    fn keep_row(&mut self, slot: u32) {
        let Some(freeze) = &mut self.freeze else { return };
        if (freeze.next..freeze.end).contains(&slot) {
            freeze.kept.entry(slot).or_insert_with(|| self.rows[slot as usize].clone());
        }
    }
}

impl<K: Key, T> Index<K> for Table<K, T> {
    type Output = T;
    fn index(&self, key: K) -> &T {
        self.get(key).expect("a key that is kept names a living row")
    }
}

impl<K: Key, T: Clone> IndexMut<K> for Table<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        self.get_mut(key).expect("a key that is kept names a living row")
    }
}

#[cfg(test)]
mod tests;
