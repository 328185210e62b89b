//! Who hears whom on one media thread: legs and conferences by small index, the wheels of those that need a frame every 20 ms. Pure; what
//! a leg's line is (a socket) is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::announcement::Announcement;
use crate::api::{MediaKey, Remote};
use crate::conference::{Conference, LEGS_MAX, LEGS_MIN};
use crate::leg::{Feed, Leg};
use crate::prompt::Prompt;
use crate::wheel::Wheel;

/// The legs of a thread.
#[derive(Debug)]
pub(crate) struct Switchboard<L> {
    pub(crate) seats: Vec<Option<Seat<L>>>,
    /// Those who hear a prompt or an announcement.
    pub(crate) wheel: Wheel,
    pub(crate) conferences: Vec<Option<Conference>>,
    pub(crate) conference_wheel: Wheel,
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
        Switchboard {
            seats: Vec::new(),
            wheel: Wheel::new(),
            conferences: Vec::new(),
            conference_wheel: Wheel::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
        }
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

    /// The leg's far end hears a prompt; a join ends, an announcement over another prompt does not.
    pub(crate) fn play(&mut self, key: MediaKey, prompt: Arc<Prompt>) -> Result<(), Ignored> {
        let index = self.index_of(key)?;
        if matches!(self.seat_mut(index).ok_or(Ignored)?.leg.feed, Feed::Peer(_) | Feed::Conference(_)) {
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

    /// Exactly these legs, 2 to 8 of them, are a conference; those that are not open are left out.
    pub(crate) fn meet(&mut self, keys: &[MediaKey]) -> Result<(), Ignored> {
        let mut legs = Vec::with_capacity(LEGS_MAX);
        for index in keys.iter().filter_map(|key| self.index_of(*key).ok()) {
            if !legs.contains(&index) {
                legs.push(index);
            }
        }
        if !(LEGS_MIN..=LEGS_MAX).contains(&legs.len()) {
            return Err(Ignored);
        }
        let going_on = legs.iter().find_map(|leg| self.conference_of(*leg));
        let number = going_on.unwrap_or_else(|| self.new_conference());
        // First they come, then the others go, so that it never falls apart between.
        for leg in &legs {
            if self.conference_of(*leg) != Some(number) {
                self.detach(*leg);
                self.seat_mut(*leg).ok_or(Ignored)?.leg.feed = Feed::Conference(number);
                self.conference_mut(number).ok_or(Ignored)?.add(*leg);
            }
        }
        let conference = self.conference_mut(number).ok_or(Ignored)?;
        let leaving: Vec<u32> = (0..conference.len())
            .filter_map(|position| conference.leg(position))
            .filter(|leg| !legs.contains(leg))
            .collect();
        leaving.into_iter().for_each(|leg| self.detach(leg));
        Ok(())
    }

    /// The leg's far end hears an announcement instead of its feed.
    pub(crate) fn say(
        &mut self,
        key: MediaKey,
        number: u32,
        announcement: Option<Announcement>,
    ) -> Result<(), Ignored> {
        let index = self.index_of(key)?;
        self.seat_mut(index).ok_or(Ignored)?.leg.say(number, announcement);
        self.turn(index);
        Ok(())
    }

    /// On the wheel exactly when there are frames to be made: to be called when an announcement has begun or ended.
    pub(crate) fn turn(&mut self, index: u32) {
        match self.seat_mut(index).is_some_and(|seat| seat.leg.is_played_to()) {
            true => self.wheel.add(index),
            false => self.wheel.remove(index),
        }
    }

    pub(crate) fn conference_mut(&mut self, number: u32) -> Option<&mut Conference> {
        self.conferences.get_mut(number as usize)?.as_mut()
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

    fn conference_of(&self, index: u32) -> Option<u32> {
        match self.seats.get(index as usize)?.as_ref()?.leg.feed {
            Feed::Conference(number) => Some(number),
            Feed::Nothing | Feed::Prompt(_) | Feed::Peer(_) => None,
        }
    }

    fn new_conference(&mut self) -> u32 {
        // A thread has few at a time: the first free place is near.
        let number = self.conferences.iter().position(Option::is_none).unwrap_or_else(|| {
            self.conferences.push(None);
            self.conferences.len() - 1
        });
        self.conferences[number] = Some(Conference::default());
        self.conference_wheel.add(number as u32);
        number as u32
    }

    /// One leg leaves; who is left alone leaves too.
    fn leave(&mut self, number: u32, index: u32) {
        let Some(conference) = self.conference_mut(number) else { return };
        conference.remove(index);
        if conference.len() >= LEGS_MIN {
            return;
        }
        let alone = conference.leg(0);
        self.conference_wheel.remove(number);
        if let Some(place) = self.conferences.get_mut(number as usize) {
            *place = None;
        }
        if let Some(alone) = alone {
            self.unplug(alone);
        }
    }

    fn unplug(&mut self, index: u32) -> Feed {
        self.wheel.remove(index);
        self.seat_mut(index).map_or(Feed::Nothing, |seat| seat.leg.unplug())
    }

    /// Ends what the leg's far end hears, and what its peer's hears if they are joined.
    fn detach(&mut self, index: u32) {
        match self.unplug(index) {
            Feed::Nothing | Feed::Prompt(_) => {}
            Feed::Peer(peer) => drop(self.unplug(peer)),
            Feed::Conference(number) => self.leave(number, index),
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

    /// Peers are each other's; conferences have 2 to 8 legs that know it; exactly those who are played to are on the wheel.
    fn check(board: &Switchboard<u32>) {
        let (mut playing, mut meeting) = (0, 0);
        for (index, seat) in board.seats.iter().enumerate() {
            let Some(seat) = seat else { continue };
            assert_eq!(board.by_key.get(&seat.leg.key), Some(&(index as u32)));
            playing += usize::from(seat.leg.is_played_to());
            match &seat.leg.feed {
                Feed::Nothing | Feed::Prompt(_) => {}
                Feed::Conference(number) => {
                    meeting += 1;
                    let conference = board.conferences[*number as usize].as_ref().expect("it stands");
                    assert!(conference.has(index as u32));
                }
                Feed::Peer(peer) => {
                    let other = board.seats[*peer as usize].as_ref().expect("a peer is open");
                    assert!(matches!(other.leg.feed, Feed::Peer(back) if back == index as u32));
                }
            }
        }
        assert_eq!(board.wheel.len(), playing);
        let conferences = || board.conferences.iter().flatten();
        assert_eq!(conferences().map(Conference::len).sum::<usize>(), meeting);
        assert!(conferences().all(|conference| (LEGS_MIN..=LEGS_MAX).contains(&conference.len())));
        assert_eq!(board.conference_wheel.len(), conferences().count());
        // No more places than conferences could ever stand at once.
        assert!(board.conferences.len() <= board.seats.len());
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
            match dice.u8(..7) {
                0 if open.insert(a) => board.open(key(a), [0; 12], a),
                0 | 1 => assert_eq!(board.play(key(a), Arc::clone(&music)).is_ok(), known || open.contains(&a)),
                2 => assert_eq!(board.join(key(a), key(b)).is_ok(), both),
                3 => assert_eq!(board.silence(key(a)).is_ok(), known),
                4 => {
                    let legs: std::collections::BTreeSet<u32> = (0..dice.u8(..11)).map(|_| dice.u32(..12)).collect();
                    let keys: Vec<_> = legs.iter().chain(&legs).map(|leg| key(*leg)).collect();
                    let here = legs.iter().filter(|leg| open.contains(leg)).count();
                    assert_eq!(board.meet(&keys).is_ok(), (LEGS_MIN..=LEGS_MAX).contains(&here));
                }
                5 => {
                    let announcement = Announcement::new(vec![Arc::clone(&music); dice.usize(..2)]);
                    assert_eq!(board.say(key(a), dice.u32(..4), announcement).is_ok(), known);
                }
                _ if dice.bool() => assert_eq!(board.close(key(a)).ok(), open.remove(&a).then_some(a)),
                _ => {}
            }
            check(&board);
        }
    }

    #[test]
    fn meeting_again_with_others_keeps_those_who_stay() {
        let mut board = Switchboard::new();
        (1..=4).for_each(|leg| board.open(key(leg), [0; 12], leg));
        assert_eq!(board.meet(&[key(1), key(2), key(3)]), Ok(()));
        assert_eq!(board.meet(&[key(1), key(2), key(3)]), Ok(()));
        assert_eq!(board.meet(&[key(4), key(2), key(9)]), Ok(()));
        check(&board);
        let feeds: Vec<_> = (0..4).map(|n| board.conference_of(n)).collect();
        assert_eq!(feeds, [None, Some(0), None, Some(0)]);
        assert_eq!(board.meet(&[key(4), key(4), key(9)]), Err(Ignored));
        assert_eq!(board.close(key(2)), Ok(2));
        check(&board);
        assert_eq!(board.conference_of(3), None);
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
