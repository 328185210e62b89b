//! The handle: opens sockets on the asker's thread and hands commands to the media threads. Touches no packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mio::{Poll, Waker};

use crate::announcement::{Announcement, prompts_of};
use crate::api::{Media, MediaEvents, MediaKey, Remote};
use crate::config::MediaConfig;
use crate::counters::{Count, Counters};
use crate::error::MediaError;
use crate::poller::{Command, Outfit, Poller, WAKER};
use crate::ports::{self, Opened, Ports};
use crate::prompt::Prompts;

/// Commands that may wait for one thread; the asker waits when they are more.
const COMMANDS_WAITING_MAX: usize = 4_096;

/// The die that makes the upper half of the first sequence number.
const SEQUENCE_DICE: usize = 8;

/// The most media threads.
pub const THREADS_MAX: usize = 64;

/// A cheap handle to the running media plane. The threads end when the last handle is gone.
///
/// Commands for one leg take effect in the order in which one thread gave them; those for legs that are not open are counted and
/// ignored. None of them fails for what the network does.
#[derive(Clone)]
pub struct MediaPlane {
    shared: Arc<Shared>,
}

struct Shared {
    lanes: Vec<Lane>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    ports: Arc<Ports>,
    prompts: Prompts,
    warnings: Vec<String>,
}

/// The way to one thread.
struct Lane {
    commands: SyncSender<Command>,
    waker: Waker,
    woken: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl MediaPlane {
    /// Loads the prompts, starts the threads. No port is bound yet.
    ///
    /// # Errors
    /// A configuration that makes no sense, or a system that gives no thread or poller. Prompts that cannot be used and ports that are
    /// badly chosen are [`MediaPlane::warnings`], not errors.
    pub fn start(config: MediaConfig) -> Result<(MediaPlane, MediaEvents), MediaError> {
        let MediaConfig { ip, ports: range, threads, prompts: folder, silent_ms, events_max, receive_buffer_bytes } =
            config;
        if threads == 0 || threads > THREADS_MAX {
            return Err(MediaError::Config("threads must be 1 to 64"));
        }
        if range.is_empty() || *range.start() == 0 {
            return Err(MediaError::Config("the port range must not be empty nor begin at 0"));
        }
        let (prompts, faults) = Prompts::load(folder.as_deref());
        let mut warnings = ports::warnings(&range);
        warnings.extend(faults.iter().map(ToString::to_string));
        let ports = Arc::new(Ports::new(ip, range, receive_buffer_bytes));
        let (events, receiver) = tokio::sync::mpsc::channel(events_max.max(1));
        let mut shared =
            Shared { lanes: Vec::new(), threads: Vec::new(), stop: Arc::default(), ports, prompts, warnings };
        let start = Instant::now();
        let unix_ms_at_start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        for number in 0..threads {
            let poll = Poll::new().map_err(MediaError::Start)?;
            let waker = Waker::new(poll.registry(), WAKER).map_err(MediaError::Start)?;
            let (commands, asked) = sync_channel(COMMANDS_WAITING_MAX);
            let lane = Lane { commands, waker, woken: Arc::default(), counters: Arc::default() };
            let outfit = Outfit {
                poll,
                commands: asked,
                woken: Arc::clone(&lane.woken),
                stop: Arc::clone(&shared.stop),
                events: events.clone(),
                ports: Arc::clone(&shared.ports),
                counters: Arc::clone(&lane.counters),
                silent_ms,
                unix_ms_at_start,
                start,
            };
            shared.lanes.push(lane);
            let thread = std::thread::Builder::new().name(format!("media-{number}"));
            shared.threads.push(thread.spawn(move || Poller::new(outfit).run()).map_err(MediaError::Start)?);
        }
        Ok((MediaPlane { shared: Arc::new(shared) }, receiver))
    }

    /// What the operator should be told at start: ports that the kernel may give to others, too few open files, prompts left out.
    pub fn warnings(&self) -> &[String] {
        &self.shared.warnings
    }

    /// A count since start, over all threads.
    pub fn count(&self, count: Count) -> u64 {
        self.shared.lanes.iter().map(|lane| lane.counters.get(count)).sum()
    }

    /// How many legs are open.
    pub fn open_legs(&self) -> usize {
        self.shared.ports.open_legs()
    }

    /// Whether a prompt of that name can be played; [`MediaPlane::play`] of another plays the music.
    pub fn has_prompt(&self, name: &str) -> bool {
        self.shared.prompts.find(name).is_some()
    }

    /// Reserves a port for a leg and binds it. Asked again for an open leg it says the same port.
    ///
    /// # Errors
    /// [`MediaError::NoPort`], [`MediaError::OpenFiles`], or what else the system says.
    pub fn open(&self, key: MediaKey) -> Result<u16, MediaError> {
        let mut dice = [0; 12];
        getrandom::fill(&mut dice).map_err(|error| MediaError::Start(std::io::Error::other(error.to_string())))?;
        // RFC 3711 wants the beginning below the half, so that a lost packet never hides a rollover.
        dice[SEQUENCE_DICE] &= 0x7F;
        match self.shared.ports.open(key)? {
            Opened::Already(port) => Ok(port),
            Opened::Fresh(port, socket) => {
                if self.shared.lane(key).send(Command::Open { key, port, socket, dice }) {
                    return Ok(port);
                }
                self.shared.ports.forget(key);
                self.shared.ports.release(port);
                Err(MediaError::Stopped)
            }
        }
    }

    /// Tells where the far end is, or what has changed about it. The same again changes nothing; any change makes the leg look anew
    /// for the source of its packets.
    pub fn connect(&self, key: MediaKey, remote: Remote) {
        self.shared.lane(key).send(Command::Connect { key, remote });
    }

    /// Plays a prompt in a loop until told otherwise; ends a join. Everyone hears a loop at the position of a common clock (Unix
    /// time), whenever they came and on whichever gateway, so a take-over goes on with the tune. Sends once `connect` has told where
    /// to. An unknown name plays the built-in music: a caller should not wait in silence.
    pub fn play(&self, key: MediaKey, prompt: &str) {
        let prompts = &self.shared.prompts;
        let found = prompts.find(prompt).unwrap_or_else(|| {
            tracing::warn!(prompt, "no such prompt; the music is played instead");
            prompts.music()
        });
        self.shared.lane(key).send(Command::Play { key, prompt: Arc::clone(found) });
    }

    /// Bridges two legs both ways; ends what they heard before. Both must belong to one call, or there must be one thread.
    pub fn join(&self, a: MediaKey, b: MediaKey) {
        let lane = self.shared.lane(a);
        if !std::ptr::eq(lane, self.shared.lane(b)) {
            tracing::warn!("legs of calls on two media threads cannot be joined");
        }
        lane.send(Command::Join { a, b });
    }

    /// A conference of exactly these legs, 2 to 8 of one call: each far end hears the sum of the others, mixed every 20 ms. Asked again
    /// with other legs, those who stay hear no break, those who are not named hear nothing. Legs that are not open are left out; with
    /// fewer than two nothing is done. Keys that are pressed are reported and not passed on.
    pub fn meet(&self, legs: &[MediaKey]) {
        let Some(first) = legs.first() else { return };
        let lane = self.shared.lane(*first);
        if legs.iter().any(|leg| !std::ptr::eq(lane, self.shared.lane(*leg))) {
            tracing::warn!("legs of calls on two media threads cannot meet");
        }
        lane.send(Command::Meet { legs: legs.to_vec() });
    }

    /// Says an announcement once: the far end hears it *instead of* its music, peer or conference, which go on meanwhile and are heard
    /// again after it (music is then where the common clock is; others go on hearing this far end). It waits until the far end is known
    /// and listens; another number replaces it, as do a join, a meeting and silence; the same number again is nothing.
    ///
    /// A part is a prompt's name, or `#` and a number: `#12` is the prompt `number-12` when there is one, else `digit-1`, `digit-2`. Parts
    /// that have no prompt are counted and left out; when none has, a built-in chime is heard. No parts: ends what is said.
    pub fn say(&self, key: MediaKey, number: u32, parts: &[String]) {
        let (prompts, missing) = prompts_of(&self.shared.prompts, parts);
        self.shared.lane(key).send(Command::Say { key, number, announcement: Announcement::new(prompts), missing });
    }

    /// Neither plays nor is joined (a peer falls silent too); digits are still heard.
    pub fn silence(&self, key: MediaKey) {
        self.shared.lane(key).send(Command::Silence { key });
    }

    /// Frees the leg; its port is free again a moment later. Not open: nothing.
    pub fn close(&self, key: MediaKey) {
        if self.shared.ports.forget(key) {
            self.shared.lane(key).send(Command::Close { key });
        }
    }
}

impl Media for MediaPlane {
    fn open(&self, key: MediaKey) -> Result<u16, MediaError> {
        self.open(key)
    }

    fn connect(&self, key: MediaKey, remote: Remote) {
        self.connect(key, remote);
    }

    fn play(&self, key: MediaKey, prompt: &str) {
        self.play(key, prompt);
    }

    fn join(&self, a: MediaKey, b: MediaKey) {
        self.join(a, b);
    }

    fn meet(&self, legs: &[MediaKey]) {
        self.meet(legs);
    }

    fn say(&self, key: MediaKey, number: u32, parts: &[String]) {
        self.say(key, number, parts);
    }

    fn silence(&self, key: MediaKey) {
        self.silence(key);
    }

    fn close(&self, key: MediaKey) {
        self.close(key);
    }
}

impl Shared {
    /// All legs of a call are on one thread.
    fn lane(&self, key: MediaKey) -> &Lane {
        // Call ids are keyed hashes already; any of their bits will do.
        &self.lanes[(key.call % self.lanes.len() as u64) as usize]
    }
}

impl Lane {
    /// False: the thread has ended.
    fn send(&self, command: Command) -> bool {
        if self.commands.send(command).is_err() {
            return false;
        }
        if !self.woken.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a media thread cannot be woken");
        }
        true
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for lane in &self.lanes {
            // A thread that cannot be woken ends with its next packet or tick.
            if let Err(error) = lane.waker.wake() {
                tracing::error!(%error, "a media thread cannot be woken");
                return;
            }
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a media thread has panicked");
            }
        }
    }
}
