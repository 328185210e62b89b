//! Rows under dense keys; never hands out a key in an order that a restored replica would not repeat.

use std::collections::BTreeSet;
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
    key: PhantomData<K>,
}

impl<K: Key, T> Table<K, T> {
    pub(crate) fn new() -> Self {
        Table { rows: Vec::new(), free: BTreeSet::new(), key: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        self.rows.get(key.slot() as usize)?.as_ref()
    }

    pub(crate) fn insert(&mut self, row: T) -> K {
        match self.free.pop_first() {
            Some(slot) => {
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
        let row = self.rows[key.slot() as usize].take().expect("only a living row is removed");
        self.free.insert(key.slot());
        row
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

impl<K: Key, T> Index<K> for Table<K, T> {
    type Output = T;
    fn index(&self, key: K) -> &T {
        self.get(key).expect("a key that is kept names a living row")
    }
}

impl<K: Key, T> IndexMut<K> for Table<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        self.rows.get_mut(key.slot() as usize).and_then(Option::as_mut).expect("a key that is kept names a living row")
    }
}
