//! The process: everything is started here, in order, and stopped here, in order. No call passes through this file.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use media::{Count, MediaConfig, MediaEvents, MediaPlane};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proto::v1::{Command, DrainGateway, command::Kind};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};
use trust::{Channels, Role};

use crate::{
    board::BoardConfig,
    clock::Clock,
    config::GatewayConfig,
    dial,
    directory::{Directory, View},
    doors::{Doors, Letterbox, Mail},
    egress::Own,
    follow::follow,
    lane::{Lane, LaneConfig},
    link::{Ask, Identity, Link, LinkConfig, Urgency},
    probe::{Pace, Probe, Target},
    resolve::{Name, Resolver, keep},
    tcp::{self, Listener},
    telemetry::{http, metrics::Metrics, trace::Tracing},
    tls::Tls,
    trunks::{SharedTrunks, lock},
    udp::{self, UdpPort},
};

/// A stopping gateway waits no longer than this for another one that could take its calls over.
const TAKERS_MS_MAX: u64 = 1_000;
/// After its calls were ended, how long a stopping gateway waits for shards to take note.
const END_MS_MAX: u64 = 2_000;
/// The last answers leave the sockets.
const LAST_WORDS_MS: u64 = 100;
const LOOK_MS: u64 = 10;
/// Ports tried until UDP and TCP are both free on one, when any port will do.
const PORT_TRIES: usize = 16;
/// The directory itself: gateways follow it, they do not submit to it.
const DIRECTORY_SHARD: u32 = 0;

/// The links by shard, as lanes read them.
pub(crate) type Links = Arc<ArcSwap<BTreeMap<u32, Link>>>;

/// What the outside may ask about.
pub(crate) struct Shared {
    pub(crate) metrics: Arc<Metrics>,
    directory: Directory,
    links: Links,
    legs_held: Arc<AtomicUsize>,
    media: MediaPlane,
    probe: Arc<Probe>,
    trunks: SharedTrunks,
    clock: Clock,
}

impl Shared {
    /// What keeps this gateway from taking calls.
    pub(crate) fn missing(&self) -> Vec<String> {
        let deaf = self.probe.missing();
        let view = self.directory.load();
        let Some(view) = view.as_ref() else { return deaf.chain(["no directory view yet".to_owned()]).collect() };
        let links = self.links.load();
        // The view names the shards: a moment after it has come, not every link has been made.
        let led = |shard: u32| links.get(&shard).is_some_and(Link::in_sync);
        let shards = view.shards.iter().map(|place| place.shard).filter(|shard| *shard != DIRECTORY_SHARD);
        let leaderless = shards.filter(|shard| !led(*shard)).map(|shard| format!("shard {shard} has no leader"));
        let drained = links.iter().filter(|(_, link)| link.is_draining());
        let drained = drained.map(|(shard, _)| format!("drained: shard {shard} gives it no calls"));
        deaf.chain(leaderless).chain(drained).collect()
    }

    /// Brings the gauges up to date that nobody keeps.
    pub(crate) fn gauge(&self) {
        let pending: usize = self.links.load().values().map(Link::pending).sum();
        self.metrics.commands_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.metrics.trunks(&lock(&self.trunks).standings(self.clock.now_ms()));
        self.metrics.media("open_legs", u64::try_from(self.media.open_legs()).unwrap_or(u64::MAX));
        Count::ALL.iter().for_each(|count| self.metrics.media(count.name(), self.media.count(*count)));
    }
}

/// A running gateway.
pub struct Gateway {
    sip: SocketAddr,
    transports: Vec<(sip::Transport, SocketAddr)>,
    http: Option<SocketAddr>,
    grpc: SocketAddr,
    drain_ms: u64,
    identity: Identity,
    shared: Arc<Shared>,
    doors: Doors,
    lanes: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
    tracing: Tracing,
}

/// Runs a gateway until `shutdown` is done, then stops it within a bounded time.
pub async fn run(config: GatewayConfig, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let gateway = Gateway::start(config).await?;
    shutdown.await;
    gateway.stop().await;
    Ok(())
}

impl Gateway {
    /// Binds everything and starts; calls are taken as soon as the directory has been heard.
    pub async fn start(config: GatewayConfig) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !config.rtp_ip.is_unspecified(),
            "rtp_ip is {}: far ends are told to send there, so it must be an address that they can reach",
            config.rtp_ip
        );
        check_certificate(&config)?;
        raise_open_files();
        let clock = Clock::start();
        let metrics = Arc::new(Metrics::new());
        let tracing = Tracing::start(&config.id, config.otlp.as_deref()).context("OTLP exporter")?;
        let (udp_socket, tcp_listener) = bind_sip(config.sip).await?;
        let sip = udp_socket.local_addr()?;
        let grpc_listener = TcpListener::bind(config.grpc).await.with_context(|| format!("gRPC on {}", config.grpc))?;
        let grpc = grpc_listener.local_addr()?;
        let http_listener = match config.http {
            Some(http) => Some(TcpListener::bind(http).await.with_context(|| format!("HTTP on {http}"))?),
            None => None,
        };
        let http = http_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let tls = config.tls.clone().map(Tls::load).transpose()?;
        let listeners = bind_connections(&config, tcp_listener).await?;
        let transports = listeners
            .iter()
            .map(|listener| anyhow::Ok((listener.transport, listener.socket.local_addr()?)))
            .collect::<Result<Vec<_>, _>>()?;
        let probe = Probe::new(
            Pace { every_ms: config.limits.probe_ms, misses_max: config.limits.probe_misses_max },
            targets(&config, sip, &transports, tls.as_ref()),
        );
        let (media, media_events) = start_media(&config)?;

        let runtimes = (0..config.lane_count())
            .map(|_| Builder::new_current_thread().enable_all().build())
            .collect::<Result<Vec<_>, _>>()?;
        let handles: Vec<Handle> = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
        let (doors, letterboxes) = Doors::new(runtimes.len(), config.limits.datagrams_queued_max);
        let trunks = SharedTrunks::default();
        let shared = Arc::new(Shared {
            metrics: Arc::clone(&metrics),
            directory: Arc::new(ArcSwapOption::empty()),
            links: Arc::new(ArcSwap::from_pointee(BTreeMap::new())),
            legs_held: Arc::new(AtomicUsize::new(0)),
            media: media.clone(),
            probe: Arc::clone(&probe),
            trunks: Arc::clone(&trunks),
            clock,
        });
        let reachable_ip = if sip.ip().is_unspecified() { config.rtp_ip } else { sip.ip() };
        let advertised = config.advertised.clone().unwrap_or_else(|| (reachable_ip.to_string(), sip.port()));
        let identity = Identity {
            gateway: config.id.clone(),
            incarnation: getrandom::u64()?,
            sip: SocketAddr::new(reachable_ip, sip.port()).to_string(),
        };
        let udp = {
            let _runtime = handles[0].enter();
            Arc::new(UdpPort::new(udp_socket)?)
        };
        let tls_port = transports.iter().find(|(transport, _)| *transport == sip::Transport::Tls);
        let tls_port = tls_port.map(|(_, address)| address.port());
        let tcp = tcp::serve(
            listeners,
            tcp::TcpConfig {
                limits: config.limits.clone(),
                tls: tls.clone(),
                ws_origins: config.ws.origins.clone().into(),
                directory: Arc::clone(&shared.directory),
                doors: doors.clone(),
                metrics: Arc::clone(&metrics),
            },
        );
        let own = Arc::new(Own {
            sip: Some(reachable_ip),
            listeners: [Some(grpc), http].into_iter().flatten().collect(),
            nodes: config.nodes.clone(),
        });
        let lane = |position: usize| LaneConfig {
            gateway: config.clone(),
            advertised: advertised.clone(),
            tls_port,
            board: BoardConfig {
                lane: position,
                gateway: config.id.clone(),
                incarnation: identity.incarnation,
                rtp_ip: config.rtp_ip,
                srtp: config.srtp,
                legs_max: config.limits.legs_max,
                limbo_ms: config.limits.limbo_ms,
                metrics: Arc::clone(&metrics),
                tracing: tracing.clone(),
                trunks: Arc::clone(&trunks),
                own: Arc::clone(&own),
                legs_held: Arc::clone(&shared.legs_held),
            },
            directory: Arc::clone(&shared.directory),
            doors: doors.clone(),
            links: Arc::clone(&shared.links),
            media: Arc::new(media.clone()),
            udp: Arc::clone(&udp),
            tcp: tcp.clone(),
            clock,
        };
        let lanes = runtimes
            .into_iter()
            .zip(letterboxes)
            .enumerate()
            .map(|(position, (runtime, letterbox))| start_lane(lane(position), letterbox, runtime))
            .collect::<Result<Vec<_>, _>>()?;

        let mut tasks = JoinSet::new();
        let (names, names_in) = watch::channel(Vec::new());
        match Resolver::system(sip.ip()) {
            Ok(resolver) => {
                let (trunks, doors, tcp) = (Arc::clone(&trunks), doors.clone(), tcp.clone());
                tasks.spawn(keep(resolver, names_in, move |name, hops| {
                    // RFC 5922 7.1: the certificate must be for the name that was asked for, whatever DNS says.
                    let secure = name.transport == sip::Transport::Tls;
                    if secure && !hops.iter().all(|hop| tcp.name(hop.address, &name.host)) {
                        tracing::warn!(host = name.host, "its certificate cannot be asked for its name at present");
                    }
                    lock(&trunks).set_resolved(clock.now_ms(), name, hops);
                    // It looks at what is due then.
                    doors.hand(0, Mail::DirectoryChanged);
                }));
            }
            Err(error) => tracing::error!(%error, "no DNS: only trunks whose hosts are addresses are used"),
        }
        let linker = Linker {
            trunks,
            names,
            config: config.clone(),
            identity: identity.clone(),
            clock,
            threads: handles.into_iter().map(|handle| (handle, dial::nodes(config.trust.clone()))).collect(),
            shared: Arc::clone(&shared),
            doors: doors.clone(),
        };
        tasks.spawn(probe.run());
        if let Some(tls) = tls {
            tasks.spawn(tls.watch(config.limits.certificate_poll_ms, Arc::clone(&metrics)));
        }
        tasks.spawn(config.trust.clone().watch());
        let own = (config.id, dial::nodes(config.trust.clone()));
        tasks.spawn(follow(own, config.nodes, Arc::clone(&shared.directory), move |view| linker.changed(view)));
        tasks.spawn(deal_media_events(media_events, doors.clone(), Arc::clone(&metrics)));
        if let Some(listener) = http_listener {
            tasks.spawn(http::serve_http(listener, Arc::clone(&shared)));
        }
        let served = http::serve_grpc(grpc_listener, config.trust, Arc::clone(&shared));
        tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "gRPC health ended");
            }
        });
        tracing::info!(%sip, %grpc, "gateway started");
        let drain_ms = config.drain_ms;
        Ok(Self { sip, transports, http, grpc, drain_ms, identity, shared, doors, lanes, tasks, tracing })
    }

    /// Where SIP is heard, UDP and TCP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where SIP is heard over connections; TCP is where UDP is.
    pub fn transport(&self, transport: sip::Transport) -> Option<SocketAddr> {
        self.transports.iter().find(|(other, _)| *other == transport).map(|(_, address)| *address)
    }

    /// Where `/metrics`, `/health` and `/ready` are.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where gRPC health and reflection are.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Whether calls can be taken: a directory view is here and every shard has a leader.
    pub fn is_ready(&self) -> bool {
        self.shared.missing().is_empty()
    }

    /// Refuses new calls, hands the others over to other gateways or lets them go on for the drain time, ends those that are left,
    /// tells the shards, and returns.
    pub async fn stop(mut self) {
        tracing::info!("gateway stops");
        self.doors.hand_all(|| Mail::Drain);
        self.ask_to_be_drained();
        self.wait_until_drained().await;
        self.doors.hand_all(|| Mail::EndAll);
        // The letters are read before the first look.
        sleep(Duration::from_millis(LOOK_MS)).await;
        self.wait_for_no_legs(END_MS_MAX).await;
        sleep(Duration::from_millis(LAST_WORDS_MS)).await;
        self.tasks.abort_all();
        self.doors.hand_all(|| Mail::Stop);
        let (lanes, tracing) = (std::mem::take(&mut self.lanes), self.tracing.clone());
        let joined = tokio::task::spawn_blocking(move || {
            lanes.into_iter().for_each(|lane| drop(lane.join()));
            tracing.stop();
        });
        if joined.await.is_err() {
            tracing::error!("a lane did not end in order");
        }
    }

    /// The shards give the calls of this gateway to others.
    fn ask_to_be_drained(&self) {
        for link in self.shared.links.load().values() {
            let drain = DrainGateway {
                gateway: self.identity.gateway.clone(),
                incarnation: self.identity.incarnation,
                by: "itself".to_owned(),
                ..DrainGateway::default()
            };
            let command = Command { kind: Some(Kind::DrainGateway(drain)) };
            link.ask(Ask { command, urgency: Urgency::Urgent, lane: 0, ticket: None, trace: None });
        }
    }

    /// Until nothing is held here; not for long when there is nobody to take it.
    async fn wait_until_drained(&self) {
        let began = Instant::now();
        let mut useful_until = began + Duration::from_millis(TAKERS_MS_MAX.min(self.drain_ms));
        while self.shared.legs_held.load(Ordering::Relaxed) > 0 {
            let now = Instant::now();
            if self.shared.links.load().values().any(Link::has_takers) {
                useful_until = now + Duration::from_millis(TAKERS_MS_MAX);
            }
            if now >= useful_until || now >= began + Duration::from_millis(self.drain_ms) {
                return;
            }
            sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    async fn wait_for_no_legs(&self, ms_max: u64) {
        let until = Instant::now() + Duration::from_millis(ms_max);
        while self.shared.legs_held.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }
}

/// Makes links as the directory names shards.
struct Linker {
    trunks: SharedTrunks,
    /// What DNS is asked for.
    names: watch::Sender<Vec<Name>>,
    config: GatewayConfig,
    identity: Identity,
    clock: Clock,
    /// Of lanes, each with its connections to nodes.
    threads: Vec<(Handle, Channels)>,
    shared: Arc<Shared>,
    doors: Doors,
}

impl Linker {
    /// Lanes hear of the view before the first order can reach them.
    fn changed(&self, view: &Arc<View>) {
        let mut trunks = lock(&self.trunks);
        trunks.set_view(self.clock.now_ms(), view);
        self.names.send_replace(trunks.names());
        drop(trunks);
        self.doors.hand_all(|| Mail::DirectoryChanged);
        let mut links = BTreeMap::clone(&self.shared.links.load());
        for place in view.shards.iter().filter(|place| place.shard != DIRECTORY_SHARD) {
            match links.get(&place.shard) {
                Some(link) => link.set_endpoints(&place.endpoints),
                None => match self.link(place.shard, place.endpoints.clone()) {
                    Ok(link) => drop(links.insert(place.shard, link)),
                    Err(error) => tracing::error!(%error, shard = place.shard, "no link"),
                },
            }
        }
        links.retain(|shard, _| view.shards.iter().any(|place| place.shard == *shard));
        self.shared.links.store(Arc::new(links));
    }

    fn link(&self, shard: u32, endpoints: Vec<String>) -> anyhow::Result<Link> {
        // On a lane's own thread: with one lane, no command and no order crosses a thread.
        let (handle, nodes) = &self.threads[shard as usize % self.threads.len()];
        let config = LinkConfig {
            shard,
            identity: self.identity.clone(),
            endpoints,
            nodes: nodes.clone(),
            pending_max: self.config.limits.commands_pending_max,
            doors: self.doors.clone(),
            metrics: Arc::clone(&self.shared.metrics),
            clock: self.clock,
        };
        Link::start(config, handle)
    }
}

/// A certificate of somebody else would only be found out by the nodes, one refusal at a time.
fn check_certificate(config: &GatewayConfig) -> anyhow::Result<()> {
    let Some(own) = config.trust.own() else {
        tracing::warn!(
            "no certificates are given (--cluster-ca, --cluster-certificate, --cluster-key): the nodes are spoken to in \
             the open, and whoever answers is believed"
        );
        return Ok(());
    };
    let (id, cluster) = (&config.id, &own.cluster);
    let ours = own.role == Role::Gateway && own.name == *id;
    anyhow::ensure!(ours, "the certificate is of {own}, this gateway is cordboard://{cluster}/gateway/{id}");
    Ok(())
}

fn start_lane(config: LaneConfig, letterbox: Letterbox, runtime: Runtime) -> std::io::Result<JoinHandle<()>> {
    let name = format!("lane-{}", config.board.lane);
    std::thread::Builder::new().name(name).spawn(move || {
        runtime.block_on(Lane::new(config, letterbox).run());
        runtime.shutdown_background();
    })
}

fn start_media(config: &GatewayConfig) -> anyhow::Result<(MediaPlane, MediaEvents)> {
    let (media, events) = MediaPlane::start(MediaConfig {
        ip: config.rtp_ip,
        ports: config.rtp_ports.clone(),
        threads: config.media_threads,
        prompts: config.prompts.clone(),
        ..MediaConfig::default()
    })?;
    media.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok((media, events))
}

async fn deal_media_events(mut events: MediaEvents, doors: Doors, metrics: Arc<Metrics>) {
    while let Some(event) = events.recv().await {
        let (media::MediaEvent::Digit { key, .. } | media::MediaEvent::Silent { key, .. }) = event;
        if !doors.bring(doors.lane_of(key.call), Mail::Media(event)) {
            metrics.datagrams_dropped.inc();
        }
    }
}

/// UDP and TCP on one port.
async fn bind_sip(address: SocketAddr) -> anyhow::Result<(std::net::UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let udp = udp::bind(address).with_context(|| format!("SIP over UDP on {address}"))?;
        let both = udp.local_addr()?;
        match TcpListener::bind(both).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tries == 0 => return Err(error).with_context(|| format!("SIP over TCP on {both}")),
            Err(_) => {}
        }
    }
}

/// What the configuration names beside UDP and TCP.
async fn bind_connections(config: &GatewayConfig, tcp: TcpListener) -> anyhow::Result<Vec<Listener>> {
    let wanted = [
        (sip::Transport::Tls, config.tls.as_ref().map(|tls| tls.listen)),
        (sip::Transport::Ws, config.ws.listen),
        (sip::Transport::Wss, config.ws.listen_tls),
    ];
    anyhow::ensure!(
        config.ws.listen_tls.is_none() || config.tls.is_some(),
        "WebSockets over TLS need a certificate: set tls"
    );
    let mut listeners = vec![Listener { transport: sip::Transport::Tcp, socket: tcp }];
    for (transport, address) in wanted {
        let Some(address) = address else { continue };
        let bound = TcpListener::bind(address).await;
        let socket = bound.with_context(|| format!("SIP over {} on {address}", transport.via_name()))?;
        listeners.push(Listener { transport, socket });
    }
    Ok(listeners)
}

/// Every listener, as the probe asks it.
fn targets(
    config: &GatewayConfig,
    sip: SocketAddr,
    transports: &[(sip::Transport, SocketAddr)],
    tls: Option<&Tls>,
) -> Vec<Target> {
    let all = [(sip::Transport::Udp, sip)].into_iter().chain(transports.iter().copied());
    let target = |(transport, address)| Target {
        transport,
        address,
        asks_certificate: transport == sip::Transport::Tls && tls.is_some_and(Tls::asks_phones),
        origin: config.ws.origins.first().cloned(),
    };
    all.map(target).collect()
}

/// Thousands of waiting callers need thousands of sockets; the system's default is for shells.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays where it is");
    }
}
