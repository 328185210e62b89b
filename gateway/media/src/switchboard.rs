//! Who hears whom on one media thread: legs by small index, the wheel of those that hear a prompt. Pure; what a leg's line is (a socket)
//! is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::{MediaKey, Remote};
use crate::leg::{Feed, Leg};
use crate::prompt::Prompt;
use crate::wheel::Wheel;

/// The legs of a thread.
#[derive(Debug)]
pub(crate) struct Switchboard<L> {
    pub(crate) seats: Vec<Option<Seat<L>>>,
    pub(crate) wheel: Wheel,
    free: Vec<u32>,
    by_key: HashMap<MediaKey, u32>,
}

/// A leg and its line.
#[derive(Debug)]
pub(crate) struct Seat<L> {
    pub(crate) leg: Leg,
    pub(crate) line: L,
}

/// A command for a leg that is not open, or that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ignored;

impl<L> Switchboard<L> {
    pub(crate) fn new() -> Switchboard<L> {
        Switchboard { seats: Vec::new(), wheel: Wheel::new(), free: Vec::new(), by_key: HashMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(crate) fn seat_mut(&mut self, index: u32) -> Option<&mut Seat<L>> {
        self.seats.get_mut(index as usize)?.as_mut()
    }

    /// The index that [`Switchboard::open`] will give out next.
    pub(crate) fn next_index(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.seats.len() as u32)
    }

    /// A new leg, which hears nothing. The handle never opens a key twice.
    pub(crate) fn open(&mut self, key: MediaKey, dice: [u8; 12], line: L) {
        let seat = Some(Seat { leg: Leg::new(key, dice), line });
        let index = self.next_index();
        match self.free.pop().and_then(|free| self.seats.get_mut(free as usize)) {
            Some(place) => *place = seat,
            None => self.seats.push(seat),
        }
        self.by_key.insert(key, index);
    }

    pub(crate) fn connect(&mut self, now_ms: u64, key: MediaKey, remote: Remote) -> Result<(), Ignored> {
        let index = self.index_of(key)?;
        self.seat_mut(index).ok_or(Ignored)?.leg.connect(now_ms, remote);
        Ok(())
    }

    /// The leg's far end hears a prompt; a join ends.
    pub(crate) fn play(&mut self, key: MediaKey, prompt: Arc<Prompt>) -> Result<(), Ignored> {
        let index = self.index_of(key)?;
        if matches!(self.seat_mut(index).ok_or(Ignored)?.leg.feed, Feed::Peer(_)) {
            self.detach(index);
        }
        self.seat_mut(index).ok_or(Ignored)?.leg.feed = Feed::Prompt(prompt);
        self.wheel.add(index);
        Ok(())
    }

    /// Two far ends hear each other and nobody else; who was joined to one of them hears nothing.
    pub(crate) fn join(&mut self, a: MediaKey, b: MediaKey) -> Result<(), Ignored> {
        let (first, second) = (self.index_of(a)?, self.index_of(b)?);
        if first == second {
            return Err(Ignored);
        }
        let both = [(first, second), (second, first)];
        for (index, peer) in both {
            let feed = &self.seat_mut(index).ok_or(Ignored)?.leg.feed;
            if !matches!(feed, Feed::Peer(current) if *current == peer) {
                self.detach(index);
            }
        }
        for (index, peer) in both {
            self.seat_mut(index).ok_or(Ignored)?.leg.feed = Feed::Peer(peer);
        }
        Ok(())
    }

    /// The leg's far end hears nothing, and its peer's neither.
    pub(crate) fn silence(&mut self, key: MediaKey) -> Result<(), Ignored> {
        let index = self.index_of(key)?;
        self.detach(index);
        Ok(())
    }

    /// The leg is gone; its line is given back.
    pub(crate) fn close(&mut self, key: MediaKey) -> Result<L, Ignored> {
        let index = self.index_of(key)?;
        self.detach(index);
        self.by_key.remove(&key);
        let seat = self.seats.get_mut(index as usize).and_then(Option::take).ok_or(Ignored)?;
        self.free.push(index);
        Ok(seat.line)
    }

    fn index_of(&self, key: MediaKey) -> Result<u32, Ignored> {
        self.by_key.get(&key).copied().ok_or(Ignored)
    }

    /// Ends what the leg's far end hears, and what its peer's hears if they are joined.
    fn detach(&mut self, index: u32) {
        self.wheel.remove(index);
        let Some(seat) = self.seat_mut(index) else { return };
        match seat.leg.unplug() {
            Feed::Nothing | Feed::Prompt(_) => {}
            Feed::Peer(peer) => {
                if let Some(seat) = self.seat_mut(peer) {
                    seat.leg.unplug();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Prompts;

    fn key(leg: u32) -> MediaKey {
        MediaKey { call: 1, leg }
    }

    /// Peers are each other's; exactly those who hear a prompt are on the wheel.
    fn check(board: &Switchboard<u32>) {
        let mut playing = 0;
        for (index, seat) in board.seats.iter().enumerate() {
            let Some(seat) = seat else { continue };
            assert_eq!(board.by_key.get(&seat.leg.key), Some(&(index as u32)));
            match &seat.leg.feed {
                Feed::Nothing => {}
                Feed::Prompt(_) => playing += 1,
                Feed::Peer(peer) => {
                    let other = board.seats[*peer as usize].as_ref().expect("a peer is open");
                    assert!(matches!(other.leg.feed, Feed::Peer(back) if back == index as u32));
                }
            }
        }
        assert_eq!(board.wheel.len(), playing);
        let open = board.seats.iter().flatten().count();
        assert_eq!(open, board.by_key.len());
        assert_eq!(open + board.free.len(), board.seats.len());
    }

    #[test]
    fn whatever_is_asked_in_whatever_order_the_board_is_sound() {
        let music = Arc::clone(Prompts::load(None).0.music());
        let mut board = Switchboard::new();
        let mut dice = fastrand::Rng::with_seed(5);
        let mut open = std::collections::BTreeSet::new();
        for _ in 0..50_000 {
            let (a, b) = (dice.u32(..12), dice.u32(..12));
            let (known, both) = (open.contains(&a), open.contains(&a) && open.contains(&b) && a != b);
            match dice.u8(..5) {
                0 if open.insert(a) => board.open(key(a), [0; 12], a),
                0 | 1 => assert_eq!(board.play(key(a), Arc::clone(&music)).is_ok(), known || open.contains(&a)),
                2 => assert_eq!(board.join(key(a), key(b)).is_ok(), both),
                3 => assert_eq!(board.silence(key(a)).is_ok(), known),
                _ if dice.bool() => assert_eq!(board.close(key(a)).ok(), open.remove(&a).then_some(a)),
                _ => {}
            }
            check(&board);
        }
    }

    #[test]
    fn joining_again_is_joining_once() {
        let mut board = Switchboard::new();
        (1..=2).for_each(|leg| board.open(key(leg), [0; 12], leg));
        assert_eq!(board.join(key(1), key(2)), Ok(()));
        assert_eq!(board.join(key(2), key(1)), Ok(()));
        check(&board);
        assert_eq!(board.join(key(1), key(3)), Err(Ignored));
        assert!(matches!(board.seat_mut(0).expect("open").leg.feed, Feed::Peer(1)));
    }
}
