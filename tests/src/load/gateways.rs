//! A gateway under a thousand talking and a thousand waiting calls is killed, or drained: how many are lost, how soon the others are
//! anchored elsewhere, how long the sound is gone, how soon a BYE is answered afterwards.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use super::{
    Plan,
    figures::{percentile, round},
    site::{Answer, Site},
};
use crate::{
    tone::Law,
    ua::{Call, End, Phone, Rule, State},
};

const GATEWAYS: u16 = 2;
/// The gateway that goes.
const GOES: &str = "g1";
const RATE_PER_S: u64 = 80;
/// Talking and waiting calls whose sound is measured.
const SAMPLED: usize = 20;
const PACKET: Duration = Duration::from_millis(20);
const SETTLE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(60);
/// Calls that are hung up through the gateway that is left.
const HUNG_UP: usize = 200;
/// Calls that ring when the gateway goes.
const RINGING: u32 = 100;

/// How the gateway goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Going {
    Killed,
    Drained,
}

pub(super) fn killed(plan: &Plan) -> anyhow::Result<Value> {
    established(plan, Going::Killed)
}

pub(super) fn drained(plan: &Plan) -> anyhow::Result<Value> {
    established(plan, Going::Drained)
}

fn established(plan: &Plan, going: Going) -> anyhow::Result<Value> {
    let talking = plan.talking as usize;
    let calls = talking + plan.talking as usize;
    let (site, agents_port) = Site::with_gateways(plan, Answer::OnEntry, plan.talking, GATEWAYS)?;
    let sound = site.ports.socket()?.local_addr()?;
    let agents = Phone::on(UdpSocket::bind(("127.0.0.1", agents_port))?, sound, &[Law::Mu], Rule::Answer)?;
    let callers = Phone::on(site.ports.socket()?, sound, &[Law::Mu], Rule::Refuse(603))?;
    let ears = Ears::open(&site, &callers, &agents, talking)?;
    let ids = fill(&site, &callers, &agents, calls, talking)?;
    ears.listen(&callers, &agents, &ids);
    std::thread::sleep(SETTLE);
    let line = waiting(&site)?;
    ears.forget();

    let began = Instant::now();
    let empty_after = match going {
        Going::Killed => {
            kill(Pid::from_raw(i32::try_from(site.pid(GOES)?)?), Signal::SIGKILL)?;
            None
        }
        Going::Drained => {
            let out = site.cordctl(&["gateway", "drain", GOES, "--deadline", "30s"])?;
            ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            Some(began.elapsed())
        }
    };
    let old = site.sip;
    let at_old = |call: &Call| call.state == State::Up && call.target == old;
    while callers.count(at_old) + agents.count(at_old) > 0 && began.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(SETTLE);
    let moves: Vec<u64> = [&callers, &agents]
        .into_iter()
        .flat_map(|phone| phone.calls())
        .filter_map(|call| call.moved.map(|moved| moved.duration_since(began).as_micros() as u64))
        .collect();
    let lost = callers.count(|call| call.state != State::Up) + agents.count(|call| call.state != State::Up);
    let stranded = callers.count(at_old) + agents.count(at_old);
    let gaps = ears.gaps();
    let line_after = waiting(&site)?;
    let bye = hang_up(&callers, &agents)?;
    let twice = rung_twice(&agents);
    let ms = |us: &[u64]| json!({ "p50": round(percentile(us, 50.0) / 1e3), "p99": round(percentile(us, 99.0) / 1e3), "max": round(percentile(us, 100.0) / 1e3) });
    Ok(json!({
        "talking": talking,
        "waiting": line.len(),
        "lost": lost,
        "still_at_the_old_gateway": stranded,
        "dialogs_moved": moves.len(),
        "moved_after_ms": ms(&moves),
        "sound_gap_talking_ms": ms(&gaps.talking),
        "sound_gap_waiting_ms": ms(&gaps.waiting),
        "line_unchanged": line == line_after,
        "empty_after_ms": empty_after.map(|took| round(took.as_secs_f64() * 1e3)),
        "bye_answered_ms": ms(&bye),
        "rung_twice": twice,
    }))
}

/// Calls in set-up at the kill: agents ring, and answer a second later.
pub(super) fn setting_up(plan: &Plan) -> anyhow::Result<Value> {
    let (site, agents_port) = Site::with_gateways(plan, Answer::OnAgent, RINGING, GATEWAYS)?;
    let sound = site.ports.socket()?.local_addr()?;
    let agents = Phone::on(UdpSocket::bind(("127.0.0.1", agents_port))?, sound, &[Law::Mu], Rule::Ring)?;
    let callers = Phone::on(site.ports.socket()?, sound, &[Law::Mu], Rule::Refuse(603))?;
    for number in 0..RINGING {
        callers.call(site.sip, "5000", &format!("{}", 200_000 + number));
        std::thread::sleep(Duration::from_millis(2));
    }
    let began = Instant::now();
    while agents.count(|call| call.state == State::Ringing) < (RINGING / 2) as usize && began.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(1));
    }
    kill(Pid::from_raw(i32::try_from(site.pid(GOES)?)?), Signal::SIGKILL)?;
    let killed = Instant::now();
    agents.rule(Rule::Answer);
    let over = |call: &Call| !matches!(call.state, State::Calling);
    while callers.count(over) < RINGING as usize && killed.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = killed.elapsed();
    std::thread::sleep(SETTLE);
    let up = callers.count(|call| call.state == State::Up);
    let refused = callers.count(|call| matches!(call.state, State::Ended(End::Refused(_))));
    let talking = agents.count(|call| call.state == State::Up);
    Ok(json!({
        "in_set_up": RINGING,
        "connected": up,
        "refused": refused,
        "hanging": callers.count(|call| call.state == State::Calling),
        // Of those: only 100, so that nobody but the gateway can have known of them.
        "hanging_after_100": callers.count(|call| {
            call.state == State::Calling && call.answers.iter().all(|(_, status)| *status == 100)
        }),
        "agents_talking": talking,
        "all_decided_after_ms": round(took.as_secs_f64() * 1e3),
    }))
}

/// All calls over the gateway that will go.
fn fill(site: &Site, callers: &Phone, agents: &Phone, calls: usize, talking: usize) -> anyhow::Result<Vec<String>> {
    let began = Instant::now();
    let mut ids = Vec::with_capacity(calls);
    for number in 0..calls {
        let due = began + Duration::from_micros(number as u64 * 1_000_000 / RATE_PER_S);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        ids.push(callers.call(site.sip, "5000", &caller(number)));
    }
    let up = |call: &Call| call.state == State::Up;
    while callers.count(up) < calls || agents.count(up) < talking {
        ensure!(
            began.elapsed() < LIMIT * 3,
            "only {} of {calls} callers and {} of {talking} agents are up",
            callers.count(up),
            agents.count(up)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(ids)
}

fn caller(number: usize) -> String {
    format!("{}", 100_000 + number)
}

fn waiting(site: &Site) -> anyhow::Result<Vec<String>> {
    let out = site.cordctl(&["-o", "json", "queue", "show", "load"])?;
    let shown: Value = serde_json::from_slice(&out.stdout).context("queue show printed no JSON")?;
    let rows = shown["waiting"].as_array().context("`waiting` is a list")?;
    Ok(rows.iter().filter_map(|row| row["caller"].as_str().map(ToOwned::to_owned)).collect())
}

/// Some agents and some callers hang up; how long the answers took.
fn hang_up(callers: &Phone, agents: &Phone) -> anyhow::Result<Vec<u64>> {
    let up = |phone: &Phone| phone.calls().into_iter().filter(|call| call.state == State::Up).collect::<Vec<_>>();
    let (first, second) = (up(agents), up(callers));
    // From the two ends of the lists, so that nobody hangs up on somebody who does.
    let sides = first
        .iter()
        .take(HUNG_UP / 2)
        .map(|call| (agents, call))
        .chain(second.iter().rev().take(HUNG_UP / 2).map(|call| (callers, call)));
    let said: Vec<(&Phone, &Call)> = sides.collect();
    for (phone, call) in &said {
        phone.hang_up(&call.id);
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(SETTLE);
    let took = said.iter().map(|(phone, call)| phone.look(&call.id).and_then(|call| call.bye_took));
    Ok(took.map(|took| took.map_or(u64::MAX / 2, |took| took.as_micros() as u64)).collect())
}

/// Callers for whom more than one agent was rung.
fn rung_twice(agents: &Phone) -> usize {
    let mut rung = BTreeMap::<String, usize>::new();
    agents.calls().into_iter().for_each(|call| *rung.entry(call.peer).or_default() += 1);
    rung.values().filter(|times| **times > 1).count()
}

/// Where the sound of some calls is said and heard: a socket for each side.
struct Ears {
    sides: Arc<Mutex<Vec<Side>>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Side {
    user: String,
    talks: bool,
    socket: UdpSocket,
    to: Option<SocketAddr>,
    heard: Option<Instant>,
    gap_us: u64,
    sequence: u16,
}

/// The longest silence of each sampled leg.
struct Gaps {
    talking: Vec<u64>,
    waiting: Vec<u64>,
}

impl Ears {
    fn open(site: &Site, callers: &Phone, agents: &Phone, talking: usize) -> anyhow::Result<Self> {
        let mut sides = Vec::new();
        for number in 0..SAMPLED {
            for (user, phone, talks) in [
                (caller(number), callers, true),
                (caller(talking + number), callers, false),
                (format!("agent{:04}", number + 1), agents, true),
            ] {
                let socket = site.ports.socket()?;
                socket.set_nonblocking(true)?;
                phone.sound_of(&user, socket.local_addr()?);
                sides.push(Side { user, talks, socket, to: None, heard: None, gap_us: 0, sequence: 0 });
            }
        }
        let (sides, done) = (Arc::new(Mutex::new(sides)), Arc::<AtomicBool>::default());
        let (shared, end) = (Arc::clone(&sides), Arc::clone(&done));
        let thread = std::thread::spawn(move || {
            let mut due = Instant::now();
            while !end.load(Ordering::Relaxed) {
                let mut sides = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let speak = Instant::now() >= due;
                if speak {
                    due += PACKET;
                }
                sides.iter_mut().for_each(|side| side.turn(speak));
                drop(sides);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Ok(Self { sides, done, thread: Some(thread) })
    }

    /// Everybody says something to where the other side listens.
    fn listen(&self, callers: &Phone, agents: &Phone, _ids: &[String]) {
        let media: BTreeMap<String, SocketAddr> = [callers, agents]
            .into_iter()
            .flat_map(|phone| phone.calls())
            .filter_map(|call| call.media.map(|media| (call.own, media)))
            .collect();
        for side in self.sides.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            side.to = media.get(&side.user).copied();
        }
        let (shared, callers, agents) = (Arc::clone(&self.sides), callers.media_of(), agents.media_of());
        let end = Arc::clone(&self.done);
        // Where to speak changes with a re-INVITE.
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let mut sides = shared.lock().unwrap_or_else(PoisonError::into_inner);
                for side in sides.iter_mut() {
                    side.to = callers(&side.user).or_else(|| agents(&side.user)).or(side.to);
                }
                drop(sides);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }

    fn forget(&self) {
        for side in self.sides.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            side.gap_us = 0;
        }
    }

    fn gaps(&self) -> Gaps {
        let sides = self.sides.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |talks: bool| {
            let these = sides.iter().filter(move |side| side.talks == talks);
            // Silence that still lasts counts as well.
            these.map(|side| {
                side.gap_us.max(side.heard.map_or(u64::MAX / 2, |heard| heard.elapsed().as_micros() as u64))
            })
        };
        Gaps { talking: of(true).collect(), waiting: of(false).collect() }
    }
}

impl Side {
    fn turn(&mut self, speak: bool) {
        let mut buffer = [0; 2_048];
        while self.socket.recv_from(&mut buffer).is_ok() {
            let now = Instant::now();
            if let Some(heard) = self.heard.replace(now) {
                self.gap_us = self.gap_us.max(now.duration_since(heard).as_micros() as u64);
            }
        }
        if let Some(to) = self.to.filter(|_| speak) {
            self.sequence = self.sequence.wrapping_add(1);
            let mut packet = vec![0x80, 0];
            packet.extend_from_slice(&self.sequence.to_be_bytes());
            packet.extend_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
            packet.extend_from_slice(&7u32.to_be_bytes());
            packet.extend_from_slice(&[0xff; 160]);
            let _ = self.socket.send_to(&packet, to);
        }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Site {
    fn cordctl(&self, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
        let program = self.cordboard.with_file_name("cordctl");
        Ok(Command::new(program).arg("--dev").arg(self.directory()).args(arguments).env("NO_COLOR", "1").output()?)
    }
}
