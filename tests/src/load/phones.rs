//! Telephones of the load: many callers on one socket, many agents on another, a thread each. They note when what came
//! over the wire. Simple on purpose: what they cost is not charged to the cluster, but it shares the machine.

use std::{
    collections::{BTreeMap, HashMap},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::words::{answer, body, header, sdp, status, uri, user};

/// RFC 3261's T1.
const REPEAT_AFTER: Duration = Duration::from_millis(500);
const REPEATS_MAX: u32 = 7;
/// Callers are told apart by this and their number.
const CALLER_FIRST: u64 = 100_000;

/// A thread that ends when dropped.
struct Running {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let done = Arc::<AtomicBool>::default();
        let end = Arc::clone(&done);
        Self { done, thread: Some(std::thread::spawn(move || work(&end))) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What callers do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callers {
    pub(super) to: SocketAddr,
    pub(super) count: u32,
    pub(super) rate: u32,
    /// They hang up after so long; without it they stay until they are hung up on.
    pub(super) talk: Option<Duration>,
    /// Where they want to hear.
    pub(super) rtp_port: u16,
}

/// What callers saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Called {
    pub(super) began: u32,
    /// 180 or 200 came.
    pub(super) in_line: u32,
    pub(super) answered: u32,
    pub(super) ended: u32,
    /// Refused, or nothing came at all.
    pub(super) failed: u32,
    pub(super) repeated: u32,
    /// INVITE -> 200 in microseconds.
    pub(super) setup_us: Vec<u64>,
}

/// Callers at work.
pub(super) struct CallersAtWork {
    seen: Arc<Mutex<Called>>,
    _running: Running,
}

impl CallersAtWork {
    pub(super) fn start(socket: UdpSocket, callers: Callers) -> anyhow::Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        let own = socket.local_addr()?;
        let seen = Arc::<Mutex<Called>>::default();
        let shared = Arc::clone(&seen);
        let running = Running::start(move |done| {
            let mut house =
                House { socket, own, callers, seen: shared, calls: HashMap::new(), due: BTreeMap::new(), turn: 0 };
            house.run(done);
        });
        Ok(Self { seen, _running: running })
    }

    pub(super) fn seen(&self) -> Called {
        lock(&self.seen).clone()
    }
}

/// One call as its caller has it.
struct Call {
    invite: String,
    sent: Instant,
    repeats: u32,
    state: Stage,
    hangs_up: Option<Instant>,
    bye: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    InLine,
    Up,
    HangingUp,
    Over,
}

/// All callers of one socket.
struct House {
    socket: UdpSocket,
    own: SocketAddr,
    callers: Callers,
    seen: Arc<Mutex<Called>>,
    calls: HashMap<String, Call>,
    /// What is to be looked at again, and when.
    due: BTreeMap<(Instant, u64), String>,
    turn: u64,
}

impl House {
    fn run(&mut self, done: &AtomicBool) {
        let (start, mut buffer, mut begun) = (Instant::now(), vec![0; 65_536], 0);
        while !done.load(Ordering::Relaxed) {
            if let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                self.hear(&text);
            }
            let now = Instant::now();
            while begun < self.callers.count
                && start + Duration::from_micros(u64::from(begun) * 1_000_000 / u64::from(self.callers.rate)) <= now
            {
                self.begin(begun);
                begun += 1;
            }
            while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) {
                let id = first.remove();
                self.look(&id);
            }
        }
    }

    fn begin(&mut self, number: u32) {
        let (own, to) = (self.own, self.callers.to);
        let id = format!("{number}-{}@load", own.port());
        let caller = CALLER_FIRST + u64::from(number);
        let invite = format!(
            "INVITE sip:5000@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKi{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:{caller}@{own}>;tag=c{number}\r\nTo: <sip:5000@{to}>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:{caller}@{own}>\r\n{}",
            body(&sdp(self.callers.rtp_port))
        );
        let _ = self.socket.send_to(invite.as_bytes(), to);
        let call =
            Call { invite, sent: Instant::now(), repeats: 0, state: Stage::Asked, hangs_up: None, bye: String::new() };
        self.calls.insert(id.clone(), call);
        self.look_after(REPEAT_AFTER, id);
        lock(&self.seen).began += 1;
    }

    fn look_after(&mut self, wait: Duration, id: String) {
        self.turn += 1;
        self.due.insert((Instant::now() + wait, self.turn), id);
    }

    /// A time has come: to repeat, or to hang up.
    fn look(&mut self, id: &str) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let again = match call.state {
            Stage::Asked => &call.invite,
            Stage::Up if call.hangs_up.is_some_and(|at| at <= Instant::now()) => {
                call.state = Stage::HangingUp;
                call.repeats = 0;
                &call.bye
            }
            Stage::HangingUp => &call.bye,
            Stage::InLine | Stage::Up | Stage::Over => return,
        };
        let _ = self.socket.send_to(again.as_bytes(), self.callers.to);
        call.repeats += 1;
        let (repeats, asked) = (call.repeats, call.state == Stage::Asked);
        if asked || repeats > 1 {
            lock(&self.seen).repeated += 1;
        }
        if repeats > REPEATS_MAX {
            call.state = Stage::Over;
            lock(&self.seen).failed += 1;
        } else {
            self.look_after(REPEAT_AFTER * repeats, id.to_owned());
        }
    }

    fn hear(&mut self, text: &str) {
        let id = header(text, "Call-ID").to_owned();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(status) = status(text) else {
            if text.starts_with("BYE ") {
                let _ = self.socket.send_to(answer(text, "200 OK", "", "", "").as_bytes(), self.callers.to);
                if call.state != Stage::Over {
                    call.state = Stage::Over;
                    lock(&self.seen).ended += 1;
                }
            }
            return;
        };
        let invite = header(text, "CSeq").ends_with("INVITE");
        match (call.state, invite, status) {
            (Stage::Asked, true, 180) => {
                call.state = Stage::InLine;
                lock(&self.seen).in_line += 1;
            }
            (Stage::Asked | Stage::InLine, true, 200) => {
                let took = call.sent.elapsed();
                let mut seen = lock(&self.seen);
                seen.in_line += u32::from(call.state == Stage::Asked);
                seen.answered += 1;
                seen.setup_us.push(took.as_micros() as u64);
                drop(seen);
                call.state = Stage::Up;
                call.bye = within(text, "BYE", 2, self.own);
                let _ = self.socket.send_to(within(text, "ACK", 1, self.own).as_bytes(), self.callers.to);
                if let Some(talk) = self.callers.talk {
                    call.hangs_up = Some(Instant::now() + talk);
                    self.look_after(talk, id);
                }
            }
            // It has not heard our ACK.
            (Stage::Up, true, 200) => {
                let _ = self.socket.send_to(within(text, "ACK", 1, self.own).as_bytes(), self.callers.to);
            }
            (Stage::Asked | Stage::InLine, true, 300..) => {
                call.state = Stage::Over;
                let to = self.callers.to;
                let via = call.invite.lines().find(|line| line.starts_with("Via:")).unwrap_or("");
                let ack = format!(
                    "ACK sip:5000@{to} SIP/2.0\r\n{via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {id}\r\n\
                     CSeq: 1 ACK\r\n{}",
                    header(text, "From"),
                    header(text, "To"),
                    body("")
                );
                let _ = self.socket.send_to(ack.as_bytes(), to);
                lock(&self.seen).failed += 1;
            }
            (Stage::HangingUp, false, 200..) => {
                call.state = Stage::Over;
                let mut seen = lock(&self.seen);
                seen.ended += 1;
                seen.failed += u32::from(status != 200);
            }
            _ => {}
        }
    }
}

/// What agents saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    /// Numbers of callers in the order in which agents were rung.
    pub(super) order: Vec<u64>,
    /// BYE's 200 at the agent -> the next INVITE to the same agent, microseconds.
    pub(super) freed_us: Vec<u64>,
    /// BYE's leaving -> the next INVITE.
    pub(super) bye_us: Vec<u64>,
    pub(super) repeated: u32,
}

/// Agents who answer at once, talk 3.5 to 6.5 s and hang up.
pub(super) struct AgentsAtWork {
    seen: Arc<Mutex<Served>>,
    _running: Running,
}

impl AgentsAtWork {
    pub(super) fn start(socket: UdpSocket, gateway: SocketAddr) -> anyhow::Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        let own = socket.local_addr()?;
        let seen = Arc::<Mutex<Served>>::default();
        let shared = Arc::clone(&seen);
        let running = Running::start(move |done| {
            let mut room = Room {
                socket,
                own,
                gateway,
                seen: shared,
                calls: HashMap::new(),
                agents: HashMap::new(),
                due: BTreeMap::new(),
                dice: 0x9e37_79b9_7f4a_7c15,
            };
            room.run(done);
        });
        Ok(Self { seen, _running: running })
    }

    pub(super) fn seen(&self) -> Served {
        lock(&self.seen).clone()
    }

    /// Forgets the times, not the order.
    pub(super) fn forget_times(&self) {
        let mut seen = lock(&self.seen);
        seen.freed_us.clear();
        seen.bye_us.clear();
    }
}

struct AgentCall {
    agent: String,
    answer: String,
    bye: String,
    bye_sent: Option<Instant>,
}

/// All agents of one socket.
struct Room {
    socket: UdpSocket,
    own: SocketAddr,
    gateway: SocketAddr,
    seen: Arc<Mutex<Served>>,
    calls: HashMap<String, AgentCall>,
    /// When an agent's BYE left and when it was answered.
    agents: HashMap<String, (Instant, Instant)>,
    due: BTreeMap<(Instant, String), ()>,
    dice: u64,
}

impl Room {
    fn run(&mut self, done: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        while !done.load(Ordering::Relaxed) {
            if let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                self.hear(Instant::now(), &text);
            }
            let now = Instant::now();
            while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) {
                let ((_, id), ()) = first.remove_entry();
                self.hang_up(id);
            }
        }
    }

    fn hear(&mut self, now: Instant, text: &str) {
        let id = header(text, "Call-ID").to_owned();
        if text.starts_with("INVITE ") {
            self.rung(now, id, text);
        } else if text.starts_with("ACK ") {
            if self.calls.contains_key(&id) && !self.due.keys().any(|(_, other)| *other == id) {
                let talk = Duration::from_micros(3_500_000 + self.roll() % 3_000_000);
                self.due.insert((now + talk, id), ());
            }
        } else if text.starts_with("BYE ") || text.starts_with("CANCEL ") {
            let _ = self.socket.send_to(answer(text, "200 OK", "", "", "").as_bytes(), self.gateway);
            self.calls.remove(&id);
        } else if status(text).is_some_and(|status| status >= 200)
            && header(text, "CSeq").ends_with("BYE")
            && let Some(AgentCall { agent, bye_sent: Some(sent), .. }) = self.calls.remove(&id)
        {
            self.agents.insert(agent, (sent, now));
        }
    }

    fn rung(&mut self, now: Instant, id: String, text: &str) {
        if let Some(call) = self.calls.get(&id) {
            let _ = self.socket.send_to(call.answer.as_bytes(), self.gateway);
            lock(&self.seen).repeated += 1;
            return;
        }
        let agent = user(text.lines().next().unwrap_or("")).to_owned();
        let mut seen = lock(&self.seen);
        seen.order.push(user(header(text, "From")).parse::<u64>().map_or(0, |caller| caller - CALLER_FIRST));
        if let Some((sent, freed)) = self.agents.remove(&agent) {
            seen.freed_us.push((now - freed).as_micros() as u64);
            seen.bye_us.push((now - sent).as_micros() as u64);
        }
        drop(seen);
        let (tag, contact) = (format!("a{}", self.roll()), format!("sip:{agent}@{}", self.own));
        let ringing = answer(text, "180 Ringing", &tag, &contact, "");
        let answered = answer(text, "200 OK", &tag, &contact, &sdp(9));
        let _ = self.socket.send_to(ringing.as_bytes(), self.gateway);
        let _ = self.socket.send_to(answered.as_bytes(), self.gateway);
        // In our direction their From is the To, and our tag goes with our From.
        let branch = self.roll();
        let bye = format!(
            "BYE {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKb{branch}\r\nMax-Forwards: 70\r\n\
             From: {};tag={tag}\r\nTo: {}\r\nCall-ID: {id}\r\nCSeq: 1 BYE\r\n{}",
            uri(header(text, "Contact")),
            self.own,
            header(text, "To"),
            header(text, "From"),
            body("")
        );
        self.calls.insert(id, AgentCall { agent, answer: answered, bye, bye_sent: None });
    }

    fn hang_up(&mut self, id: String) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.bye_sent.is_some() {
            lock(&self.seen).repeated += 1;
        }
        call.bye_sent.get_or_insert_with(Instant::now);
        let _ = self.socket.send_to(call.bye.as_bytes(), self.gateway);
        self.due.insert((Instant::now() + REPEAT_AFTER, id), ());
    }

    /// Marsaglia's xorshift: the same talks in every run.
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice
    }
}

/// A request within the dialog that this 200 has made.
fn within(answered: &str, method: &str, cseq: u32, own: SocketAddr) -> String {
    let id = header(answered, "Call-ID");
    let number = id.split('@').next().unwrap_or("");
    format!(
        "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\nFrom: {}\r\n\
         To: {}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\n{}",
        uri(header(answered, "Contact")),
        header(answered, "From"),
        header(answered, "To"),
        body("")
    )
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
