//! One lane: a thread that owns one board and turns what arrives into calls on it. Each handler is short: translate,
//! call, carry out. Never waits for anything but its own letterbox, socket and timer.

use std::{collections::BTreeSet, future::pending, net::SocketAddr, sync::Arc, time::Instant as Moment};

use bytes::Bytes;
use media::Media;
use sip::{
    Endpoint, EndpointConfig, Flow, Route, Transport,
    relay::{Passage, Relay},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    admission::{Admission, AdmissionLimits, Verdict},
    board::{Board, BoardConfig, Stray, Wires},
    clock::Clock,
    config::GatewayConfig,
    directory::{Directory, View},
    doors::{Doors, Letterbox, Mail, Told},
    link::{Ask, Link, Whereabouts},
    process::Links,
    refuse::{refuse, refuse_for},
    tcp::TcpPort,
    telemetry::metrics::Metrics,
    udp::{Inbox, UdpPort},
};

/// Datagrams and letters handled before the timer is looked at again.
const BURST_MAX: usize = 128;
/// Stray messages whose call is being looked for; more are lost, and their senders repeat them.
const LOCATING_MAX: usize = 512;
/// When nothing is due.
const FAR_MS: u64 = 60_000;

/// What a lane is born with.
pub(crate) struct LaneConfig {
    pub(crate) gateway: GatewayConfig,
    /// Host and port in Via and Contact.
    pub(crate) advertised: (String, u16),
    /// Where TLS is heard, when it is.
    pub(crate) tls_port: Option<u16>,
    pub(crate) board: BoardConfig,
    pub(crate) directory: Directory,
    pub(crate) doors: Doors,
    pub(crate) links: Links,
    pub(crate) media: Arc<dyn Media>,
    pub(crate) udp: Arc<UdpPort>,
    pub(crate) tcp: TcpPort,
    pub(crate) clock: Clock,
}

/// A lane and its place in the process.
pub(crate) struct Lane {
    config: LaneConfig,
    letterbox: Letterbox,
    /// Whether this lane reads the UDP port.
    reads_udp: bool,
    board: Option<Board>,
    /// What passes through to other gateways and to phones that only this one reaches.
    relay: Option<Relay>,
    /// The process stops.
    stopping: bool,
    /// Shards that want this gateway empty.
    drained_by: BTreeSet<u32>,
    /// For what is said without the board.
    wires: LaneWires,
    /// Whether what is new is let in.
    admission: Admission,
    /// Its rate as metrics know it.
    told_rate: u32,
    inbox: Inbox,
}

impl Lane {
    pub(crate) fn new(config: LaneConfig, letterbox: Letterbox) -> Self {
        let reads_udp = config.board.lane == 0;
        let inbox = if reads_udp { Inbox::new(config.gateway.limits.message_bytes_max) } else { Inbox::default() };
        let lanes = u32::try_from(config.doors.count()).unwrap_or(u32::MAX);
        let limits = AdmissionLimits { lanes, ..config.gateway.limits.admission };
        // Different for each life, so that nobody outside can choose whom it takes for whom.
        let seed = config.board.incarnation ^ config.board.lane as u64;
        let admission = Admission::new(limits, seed, config.clock.now_us());
        Self {
            wires: config.wires(),
            config,
            letterbox,
            reads_udp,
            board: None,
            relay: None,
            stopping: false,
            drained_by: BTreeSet::new(),
            admission,
            told_rate: 0,
            inbox,
        }
    }

    /// Until it is told to stop.
    pub(crate) async fn run(mut self) {
        let mut armed = Instant::now();
        let timer: Sleep = sleep_until(armed);
        tokio::pin!(timer);
        loop {
            let due = self.do_what_is_due();
            if due != armed {
                armed = due;
                timer.as_mut().reset(due);
            }
            tokio::select! {
                biased;
                Some(mail) = self.letterbox.mail.recv() => {
                    if !self.open(mail) {
                        return;
                    }
                }
                () = readable(&self.config.udp, self.reads_udp) => self.read_udp(),
                Some(mail) = self.letterbox.network.recv() => {
                    self.handle(mail);
                    for _ in 0..BURST_MAX {
                        let Ok(mail) = self.letterbox.network.try_recv() else { break };
                        self.handle(mail);
                    }
                }
                () = &mut timer => armed = Instant::now(),
            }
        }
    }

    /// Handles one letter and those behind it; false when the lane must stop.
    fn open(&mut self, first: Mail) -> bool {
        let mut next = Some(first);
        for _ in 0..BURST_MAX {
            match next {
                Some(Mail::Stop) => return false,
                Some(mail) => self.handle(mail),
                None => break,
            }
            next = self.letterbox.mail.try_recv().ok();
        }
        // The burst may have been cut between taking a letter and handling it.
        match next {
            Some(Mail::Stop) => return false,
            Some(mail) => self.handle(mail),
            None => {}
        }
        true
    }

    fn do_what_is_due(&mut self) -> Instant {
        let now_ms = self.config.clock.now_ms();
        self.look_at_leases(now_ms);
        let Some(board) = self.board.as_mut() else { return self.config.clock.instant_of(now_ms + FAR_MS) };
        if board.next_timeout_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            board.timeout(now_ms);
        }
        // Something that stays due is looked at again in a millisecond, not in a spin.
        let due_ms = board.next_timeout_ms().unwrap_or(now_ms + FAR_MS).clamp(now_ms + 1, now_ms + FAR_MS);
        self.config.clock.instant_of(due_ms)
    }

    fn handle(&mut self, mail: Mail) {
        let now_ms = self.config.clock.now_ms();
        match mail {
            Mail::Message { flow, bytes, arrived } => return self.message(now_ms, flow, &bytes, arrived),
            Mail::DirectoryChanged => return self.directory_changed(),
            Mail::Drain => self.stopping = true,
            Mail::Told { shard, told: Told::Draining(true), .. } => drop(self.drained_by.insert(shard)),
            Mail::Told { shard, told: Told::Draining(false), .. } => drop(self.drained_by.remove(&shard)),
            Mail::Located { stray, holder } => return self.located(now_ms, &stray, holder),
            _ => {}
        }
        let draining = self.draining();
        self.look_at_leases(now_ms);
        let Some(board) = self.board.as_mut() else { return };
        match mail {
            Mail::Message { .. } | Mail::DirectoryChanged | Mail::Located { .. } | Mail::Stop => {}
            Mail::FlowFailed(flow) => board.flow_failed(now_ms, flow),
            Mail::Outcome { ticket, verdict } => board.outcome(now_ms, ticket, verdict),
            Mail::Told { shard, told, place: _kept_until_heard } => match told {
                Told::Watching => board.watching(shard),
                Told::Orders(orders) => board.orders(now_ms, shard, orders),
                Told::InSync => board.in_sync(now_ms, shard),
                Told::Draining(_) => board.drain(draining),
            },
            Mail::Media(event) => board.media_event(now_ms, event),
            Mail::Drain => board.drain(draining),
            Mail::EndAll => board.end_all(now_ms),
        }
    }

    fn directory_changed(&mut self) {
        let Some(view) = self.config.directory.load_full() else { return };
        self.admission.set_view(&view);
        match self.board.as_mut() {
            Some(board) => board.set_view(view),
            None => {
                self.relay = Some(Relay::new(&self.config.endpoint(&view)));
                self.board = Some(self.config.board(view));
            }
        }
    }

    fn message(&mut self, now_ms: u64, flow: Flow, bytes: &[u8], arrived: Moment) {
        self.config.board.metrics.sip_in(bytes);
        let draining = self.draining();
        self.look_at_leases(now_ms);
        let Some(board) = self.board.as_ref() else { return self.refuse(flow, refuse(bytes)) };
        if draining && is_new(bytes) && !board.knows_of(bytes) {
            return self.refuse(flow, refuse(bytes));
        }
        // What only passes through is another gateway's, which has let it in.
        match self.relay.as_ref().map_or(Passage::Here, |relay| relay.sort(flow, bytes)) {
            Passage::Here => {}
            passage => return self.pass(passage),
        }
        match self.judge(flow, bytes, arrived) {
            Verdict::Pass => {
                if let Some(board) = self.board.as_mut() {
                    board.receive(now_ms, flow, bytes);
                }
            }
            Verdict::Refuse { retry_after_seconds } => self.refuse(flow, refuse_for(bytes, retry_after_seconds)),
            Verdict::Drop => {}
        }
    }

    /// Whether a message may cost anything: before it is parsed.
    fn judge(&mut self, flow: Flow, bytes: &[u8], arrived: Moment) -> Verdict {
        let delay_us = u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Without a leader commands wait, and calls may wait with them; only who answers can be asked too much.
        let links = self.config.links.load();
        let pending = links.values().filter(|link| link.in_sync()).map(Link::pending).sum();
        let before = self.admission.counts();
        let verdict = self.admission.judge(self.config.clock.now_us(), flow.remote.ip(), bytes, pending, delay_us);
        let (metrics, rate) = (&self.config.board.metrics, self.admission.rate());
        metrics.admission(&before, &self.admission.counts());
        if rate != self.told_rate {
            metrics.admission_rate.inc_by(i64::from(rate) - i64::from(self.told_rate));
            self.told_rate = rate;
        }
        verdict
    }

    /// Says an answer for which nothing is kept.
    fn refuse(&mut self, flow: Flow, refusal: Option<Bytes>) {
        if let Some(refusal) = refusal {
            self.config.board.metrics.sip_out(&refusal);
            self.wires.send(flow, refusal);
        }
    }

    /// Sends what is not for the board.
    fn pass(&mut self, passage: Passage) {
        if let Passage::Forward { flow, bytes } | Passage::Answer { flow, bytes } = passage {
            self.config.board.metrics.relayed.inc();
            self.wires.send(flow, bytes);
        }
    }

    fn draining(&self) -> bool {
        self.stopping || !self.drained_by.is_empty()
    }

    /// Before anything is done: this process may have been asleep, and its legs may be another gateway's.
    fn look_at_leases(&mut self, now_ms: u64) {
        let Some(board) = self.board.as_mut() else { return };
        for (shard, link) in self.config.links.load().iter() {
            board.set_doubt(*shard, link.in_doubt(now_ms));
        }
    }

    /// A stray message goes to the gateway that holds its call, as a stateless proxy passes it on (RFC 3261 16.11).
    fn located(&mut self, now_ms: u64, stray: &Stray, holder: Whereabouts) {
        let Some(board) = self.board.as_mut() else { return };
        match holder {
            Whereabouts::Nobody => board.nobody_has(now_ms, stray.flow, &stray.bytes),
            // 481 would end a call of which nothing is known: the far end repeats itself until there is a leader.
            Whereabouts::Unknown => {}
            // It is ours, and on its way to this board: the far end repeats itself.
            Whereabouts::Held { gateway, .. } if gateway == self.config.gateway.id => {}
            Whereabouts::Held { sip, .. } => {
                let Ok(remote) = sip.parse::<SocketAddr>() else { return };
                let flow = Flow { transport: Transport::Udp, remote, connection: 0 };
                if let Some(passage) = self.relay.as_ref().map(|relay| relay.forward(&stray.bytes, stray.flow, flow)) {
                    self.pass(passage);
                }
            }
        }
    }

    fn read_udp(&mut self) {
        for remote in self.config.udp.failures() {
            let flow = Flow { transport: Transport::Udp, remote, connection: 0 };
            let lost = self.config.doors.bring_all(|| Mail::FlowFailed(flow));
            self.config.board.metrics.datagrams_dropped.inc_by(lost);
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        for _ in 0..BURST_MAX {
            let Some(received) = self.config.udp.receive(&mut inbox) else { break };
            let flow = Flow { transport: Transport::Udp, remote: received.from, connection: 0 };
            self.datagram(flow, inbox.datagram(received.length), received.arrived);
        }
        self.inbox = inbox;
    }

    /// To the lane of its call: most often, and always when there is one lane, this one.
    fn datagram(&mut self, flow: Flow, bytes: &[u8], arrived: Moment) {
        let view = self.config.directory.load();
        let lane = match view.as_ref().filter(|_| self.config.doors.count() > 1) {
            Some(view) => match sip::peek(&view.keys, bytes) {
                Route::Call(call) => self.config.doors.lane_of(call),
                Route::Nowhere => 0,
            },
            None => 0,
        };
        if lane == self.config.board.lane {
            self.message(self.config.clock.now_ms(), flow, bytes, arrived);
            return;
        }
        let message = Mail::Message { flow, bytes: Bytes::copy_from_slice(bytes), arrived };
        if !self.config.doors.bring(lane, message) {
            self.config.board.metrics.datagrams_dropped.inc();
        }
    }
}

impl LaneConfig {
    fn board(&self, view: Arc<View>) -> Board {
        let endpoint = self.endpoint(&view);
        let wires = Box::new(self.wires());
        Board::new(self.board.clone(), Endpoint::new(endpoint), Arc::clone(&self.media), wires, view)
    }

    fn endpoint(&self, view: &View) -> EndpointConfig {
        let (host, port) = &self.advertised;
        let mut endpoint = EndpointConfig::new(view.secret, &view.realm, host, *port);
        endpoint.tls_port = self.tls_port.unwrap_or(*port);
        endpoint.names = view.names();
        endpoint.incarnation = self.board.incarnation;
        endpoint.setup_wait_ms = self.gateway.setup_wait_ms;
        endpoint.limits.legs_max = self.gateway.limits.legs_max;
        endpoint.limits.message_bytes_max = self.gateway.limits.message_bytes_max;
        endpoint
    }

    fn wires(&self) -> LaneWires {
        LaneWires {
            udp: Arc::clone(&self.udp),
            tcp: self.tcp.clone(),
            links: Arc::clone(&self.links),
            metrics: Arc::clone(&self.board.metrics),
            doors: self.doors.clone(),
            lane: self.board.lane,
            locating: Arc::new(Semaphore::new(LOCATING_MAX)),
        }
    }
}

/// The wires of a running process.
struct LaneWires {
    udp: Arc<UdpPort>,
    tcp: TcpPort,
    links: Links,
    metrics: Arc<Metrics>,
    doors: Doors,
    lane: usize,
    /// Messages whose call is being looked for.
    locating: Arc<Semaphore>,
}

impl Wires for LaneWires {
    fn send(&mut self, flow: Flow, bytes: Bytes) {
        let sent = match flow.transport {
            Transport::Udp => self.udp.send(&bytes, flow.remote),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => self.tcp.send(flow, bytes),
        };
        if !sent {
            self.metrics.datagrams_dropped.inc();
        }
    }

    fn key(&mut self) -> Option<[u8; 30]> {
        let mut key = [0; 30];
        getrandom::fill(&mut key).ok().map(|()| key)
    }

    fn locate(&mut self, stray: Stray) {
        let Ok(permit) = Arc::clone(&self.locating).try_acquire_owned() else {
            self.metrics.datagrams_dropped.inc();
            return;
        };
        let links = self.links.load_full();
        let (doors, lane) = (self.doors.clone(), self.lane);
        tokio::spawn(async move {
            let mut holder = Whereabouts::Nobody;
            for (_, link) in links.iter().filter(|(shard, _)| stray.shard.is_none_or(|wanted| wanted == **shard)) {
                holder = holder.or(link.locate(stray.call).await);
            }
            drop(permit);
            doors.hand(lane, Mail::Located { stray, holder });
        });
    }

    fn has_room(&self, shard: u32) -> bool {
        self.links.load().get(&shard).is_some_and(Link::has_room)
    }

    fn ask(&mut self, shard: u32, ask: Ask) -> bool {
        match self.links.load().get(&shard) {
            Some(link) => link.ask(ask),
            None => false,
        }
    }
}

async fn readable(udp: &UdpPort, reads_udp: bool) {
    if !reads_udp || udp.ready().await.is_err() {
        pending().await
    }
}

/// Whether it could begin something.
fn is_new(bytes: &[u8]) -> bool {
    bytes.starts_with(b"INVITE ") || bytes.starts_with(b"OPTIONS ")
}
