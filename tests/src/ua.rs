//! A SIP telephone with many lines on one UDP socket and one thread: calls, is called, retransmits, and keeps what it
//! saw so that tests can compare it. Says plain literal messages; never uses a parser of ours.

mod door;
mod line;
mod words;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    patience::{PATIENCE, wait_long},
    tone::Law,
};
use door::Door;
use line::Line;

/// What happens to a call that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// 180 and 200.
    Answer,
    /// 180 and nothing more, until [`Phone::answer`].
    Ring,
    /// This final status.
    Refuse(u16),
    /// 302 to there.
    Moved(Place),
}

/// Where somebody moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A user of this name at this address.
    User(&'static str, SocketAddr),
    /// A telephone number.
    Number(&'static str),
}

impl Place {
    fn uri(self) -> String {
        match self {
            Self::User(user, at) => format!("sip:{user}@{at}"),
            Self::Number(number) => format!("tel:{number}"),
        }
    }
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Our INVITE has no final answer; 180 may have come.
    Calling,
    /// Their INVITE has no final answer of ours.
    Ringing,
    /// 200 was said.
    Up,
    /// It is over.
    Ended(End),
}

/// How a call was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// We said BYE.
    ByUs,
    /// They said BYE.
    ByThem,
    /// A final refusal, theirs or ours.
    Refused(u16),
    /// CANCEL, theirs or ours.
    Cancelled,
}

/// What a test may know of a call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its Call-ID.
    pub id: String,
    /// Calls of this phone count up from 1, in the order in which they began.
    pub order: u64,
    /// We began it.
    pub outgoing: bool,
    /// The user part of our side: the caller, or the agent that was rung.
    pub own: String,
    /// The user part of the other side: the number, or the caller that was shown.
    pub peer: String,
    /// How far it is.
    pub state: State,
    /// Where the other side wants its RTP.
    pub media: Option<SocketAddr>,
    /// The last session description of the other side.
    pub sdp: String,
    /// Answers to our requests: method and status, in order, repeats left out.
    pub answers: Vec<(String, u16)>,
    /// Requests of the other side in this dialog, repeats left out.
    pub asked: Vec<String>,
    /// Bodies of its NOTIFYs.
    pub told: Vec<String>,
    /// Our INFOs that were answered with 200.
    pub infos: u32,
    /// The last final answer, or the INVITE: all of it.
    pub text: String,
    /// Where our requests go now.
    pub target: SocketAddr,
    /// When the other side last moved the call: a re-INVITE from another address.
    pub moved: Option<Instant>,
    /// How long the answer to our last BYE took.
    pub bye_took: Option<Duration>,
}

impl Call {
    /// The answer to our last request of this method.
    #[must_use]
    pub fn answer_to(&self, method: &str) -> Option<u16> {
        self.answers.iter().rev().find(|(asked, status)| asked == method && *status >= 200).map(|(_, status)| *status)
    }
}

/// The telephone. Hangs nothing up when dropped: it is gone, as a phone that lost its power.
#[derive(Debug)]
pub struct Phone {
    /// Where it hears SIP.
    pub address: SocketAddr,
    socket: Arc<UdpSocket>,
    line: Arc<Mutex<Line>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Phone {
    /// A telephone whose sound is heard and said at `media`, with these codecs, the preferred one first.
    ///
    /// # Errors
    /// The socket does not work.
    pub fn on(socket: UdpSocket, media: SocketAddr, laws: &[Law], rule: Rule) -> anyhow::Result<Self> {
        let address = socket.local_addr()?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let socket = Arc::new(socket);
        let line = Arc::new(Mutex::new(Line::new(address, media, laws.to_vec(), rule)));
        let done = Arc::<AtomicBool>::default();
        let (own, shared, end) = (Arc::clone(&socket), Arc::clone(&line), Arc::clone(&done));
        let thread = std::thread::spawn(move || run(&own, &shared, &end));
        Ok(Self { address, socket, line, done, thread: Some(thread) })
    }

    /// What happens to calls that come from now on.
    pub fn rule(&self, rule: Rule) {
        self.line().rule = rule;
    }

    /// Calls a number; returns the Call-ID.
    pub fn call(&self, gateway: SocketAddr, number: &str, caller: &str) -> String {
        let mut line = self.line();
        let id = line.call(gateway, number, caller);
        line.flush(&self.socket);
        id
    }

    /// Answers a ringing call.
    pub fn answer(&self, id: &str) {
        self.act(|line| line.answer(id));
    }

    /// BYE.
    pub fn hang_up(&self, id: &str) {
        self.act(|line| line.hang_up(id));
    }

    /// CANCEL.
    pub fn cancel(&self, id: &str) {
        self.act(|line| line.cancel(id));
    }

    /// Re-INVITE with this direction (`sendonly` is hold) and where our sound is.
    pub fn offer_again(&self, id: &str, direction: &str, media: SocketAddr) {
        self.act(|line| line.offer_again(id, direction, media));
    }

    /// REFER to this URI.
    pub fn refer(&self, id: &str, to: &str) {
        let more = format!("Refer-To: <{to}>\r\n");
        self.act(|line| line.ask_with(id, "REFER", &more, "", ""));
    }

    /// What OPTIONS are answered with from now on; 200 before.
    pub fn options(&self, status: u16) {
        self.line().options = status;
    }

    /// Until so many more OPTIONS have come.
    ///
    /// # Errors
    /// They never do.
    pub fn wait_options(&self, more: u32) -> anyhow::Result<()> {
        let before = self.line().options_heard;
        wait_long("OPTIONS come", PATIENCE, || (self.line().options_heard >= before + more).then_some(()))
    }

    /// From now on INVITE and REGISTER must show this password.
    pub fn shut(&self, realm: &str, user: &str, password: &str) {
        self.line().door = Some(Door::of(realm, user, password));
    }

    /// Contacts that are registered here now, and how often somebody came with a wrong answer.
    #[must_use]
    pub fn door(&self) -> (Vec<String>, u32) {
        self.line().door.as_ref().map(|door| (door.contacts.clone(), door.wrong)).unwrap_or_default()
    }

    /// Some other request within the call.
    pub fn ask(&self, id: &str, method: &str, body: &str, kind: &str) {
        self.act(|line| line.ask(id, method, body, kind));
    }

    /// All calls, in the order in which they began.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.line().calls()
    }

    /// One call.
    #[must_use]
    pub fn look(&self, id: &str) -> Option<Call> {
        self.line().look(id)
    }

    /// How many calls are like this; cheaper than [`Phone::calls`].
    #[must_use]
    pub fn count(&self, like: impl Fn(&Call) -> bool) -> usize {
        self.line().count(like)
    }

    /// Until the call is as wanted.
    ///
    /// # Errors
    /// It never was; the call as it was last is in the error.
    pub fn wait(&self, id: &str, what: &str, fits: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
        self.wait_long(id, what, PATIENCE, fits)
    }

    /// The same with a patience of one's own.
    ///
    /// # Errors
    /// As [`Phone::wait`].
    pub fn wait_long(
        &self,
        id: &str,
        what: &str,
        patience: Duration,
        fits: impl Fn(&Call) -> bool,
    ) -> anyhow::Result<Call> {
        wait_long(what, patience, || self.look(id).filter(&fits)).with_context(|| format!("{:#?}", self.look(id)))
    }

    /// Until there is such a call.
    ///
    /// # Errors
    /// There never was.
    pub fn wait_any(&self, what: &str, fits: impl Fn(&Call) -> bool) -> anyhow::Result<Call> {
        wait_long(what, PATIENCE, || self.calls().into_iter().find(&fits)).with_context(|| {
            let seen: Vec<_> = self.calls().into_iter().map(|c| (c.own, c.peer, c.state, c.answers, c.asked)).collect();
            format!("{seen:?}")
        })
    }

    /// Where the sound of this user's calls goes, from the next call on.
    pub fn sound_of(&self, user: &str, media: SocketAddr) {
        self.act(|line| line.sound_of(user, media));
    }

    /// Asks for where the other side of a user's newest living call listens.
    pub fn media_of(&self) -> impl Fn(&str) -> Option<SocketAddr> + Send + 'static {
        let line = Arc::clone(&self.line);
        move |user| lock(&line).media_of(user)
    }

    /// Out of the counts: a call that was ended on purpose.
    pub fn forget(&self, id: &str) {
        self.act(|line| line.forget(id));
    }

    /// Until so many calls that are up were re-invited from elsewhere, or from a new life of where they were.
    ///
    /// # Errors
    /// They never were.
    pub fn wait_reinvited(&self, calls: usize) -> anyhow::Result<()> {
        let again = |call: &Call| call.state == State::Up && call.asked.iter().any(|asked| asked == "INVITE");
        wait_long("all calls are re-invited", PATIENCE * 2, || (self.count(again) == calls).then_some(()))
            .with_context(|| format!("{} are", self.count(again)))
    }

    fn act(&self, act: impl FnOnce(&mut Line)) {
        let mut line = self.line();
        act(&mut line);
        line.flush(&self.socket);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        lock(&self.line)
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(socket: &UdpSocket, line: &Mutex<Line>, done: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !done.load(Ordering::Relaxed) {
        // An error is a gateway that was killed: its port said so. It is heard of by silence.
        let heard = socket.recv_from(&mut buffer).ok();
        let mut line = lock(line);
        if let Some((length, from)) = heard {
            line.hear(&String::from_utf8_lossy(&buffer[..length]), from);
        }
        line.repeat(Instant::now());
        line.flush(socket);
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}
