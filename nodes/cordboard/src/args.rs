//! The command line of `cordboard`, and its translation into each role's configuration. Nothing is started here.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand};
use gateway::{GatewayConfig, TlsConfig, WsConfig};
use node::NodeConfig;
use trust::{Files, Role as Who, Trust};

/// Cordboard, a contact-centre cluster: pull any plug, nobody loses their place, nobody loses their call.
#[derive(Debug, Parser)]
#[command(name = "cordboard", version)]
pub(crate) struct Args {
    /// What this process is.
    #[command(subcommand)]
    pub(crate) role: Role,
}

/// What a process can be.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Hosts replicas of shards: queues, agents and calls, replicated by Raft.
    Node(Box<NodeArgs>),
    /// Faces SIP and RTP; holds nothing that cannot be rebuilt from the shards.
    Gateway(Box<GatewayArgs>),
    /// All of it on this machine, as real child processes.
    Dev(DevArgs),
    /// After the loss of most nodes for good: makes those that are left the only voters, on their disks, while no node runs.
    Recover(RecoverArgs),
    /// Makes certificates with a small authority of its own: for development, tests, and clusters without one.
    #[command(subcommand)]
    Certs(CertsCommand),
    /// Callers and agents who play in the demo centre; `cordboard dev --demo` starts it.
    #[command(hide = true)]
    Demo(DemoArgs),
}

/// Arguments of the role `node`.
#[derive(Debug, ClapArgs)]
pub(crate) struct NodeArgs {
    /// This node's id: n1, n2, ...
    #[arg(long)]
    pub(crate) id: String,
    /// Where its log, snapshots and records live.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The first nodes of a cluster, this one included, as id=host:port of their gRPC: they found it together.
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Nodes of a cluster that this one joins, host:port of their gRPC. Once it has joined, its disk knows the others.
    #[arg(long, value_delimiter = ',', conflicts_with = "peers")]
    pub(crate) join: Vec<String>,
    /// Where to listen for gRPC, host:port; without it as in --peers, or as at the last start.
    #[arg(long, visible_alias = "listen")]
    pub(crate) grpc: Option<String>,
    /// How others reach it, host:port; without it as in --peers or --grpc.
    #[arg(long)]
    pub(crate) advertise: Option<String>,
    /// Its zone: nodes of one zone may fail together, and shards are spread over zones.
    #[arg(long, default_value = "")]
    pub(crate) zone: String,
    /// A node that is gone for longer is replaced where another can take its place, seconds.
    #[arg(long, default_value_t = 300)]
    pub(crate) replace_after: u64,
    /// Tenant shards of a cluster that is founded now; of one that exists this says nothing.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) tenant_shards: u32,
    /// Name of the cluster; a node of another one is refused.
    #[arg(long, default_value = "cordboard")]
    pub(crate) cluster: String,
    /// Prometheus metrics and health over HTTP.
    #[arg(long)]
    pub(crate) http: Option<SocketAddr>,
    /// OTLP endpoint for traces, such as http://127.0.0.1:4317. Off without it.
    #[arg(long, env = "CORDBOARD_OTLP")]
    pub(crate) otlp: Option<String>,
    /// Threads for gRPC.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Threads that own shards.
    #[arg(long, default_value_t = 1)]
    pub(crate) cores: usize,
    #[command(flatten)]
    /// Who it is to the others.
    pub(crate) trust: TrustArgs,
}

/// Certificates between the parts of a cluster: all three or none.
#[derive(Debug, Default, Clone, ClapArgs)]
pub(crate) struct TrustArgs {
    /// Whose certificates are believed within the cluster (PEM); without it everything is in the open.
    #[arg(long, env = "CORDBOARD_CLUSTER_CA", requires = "cluster_certificate", requires = "cluster_key")]
    pub(crate) cluster_ca: Option<PathBuf>,
    /// Our own, which names this node or gateway (PEM; cordboard://CLUSTER/node/n1). All are read again when they change.
    #[arg(long, env = "CORDBOARD_CLUSTER_CERTIFICATE", requires = "cluster_ca")]
    pub(crate) cluster_certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, env = "CORDBOARD_CLUSTER_KEY", requires = "cluster_ca")]
    pub(crate) cluster_key: Option<PathBuf>,
}

impl TrustArgs {
    /// Reads the files, if there are some.
    pub(crate) fn load(self) -> anyhow::Result<Trust> {
        let files = self.cluster_ca.zip(self.cluster_certificate.zip(self.cluster_key));
        Ok(Trust::of(files.map(|(ca, (certificate, key))| Files { ca, certificate, key }))?)
    }
}

/// Arguments of `recover`.
#[derive(Debug, ClapArgs)]
pub(crate) struct RecoverArgs {
    /// The node whose disk this is.
    #[arg(long)]
    pub(crate) id: String,
    /// Its folder.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// All nodes that are left; the same list on each of them.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) only: Vec<String>,
    /// Name of the cluster.
    #[arg(long, default_value = "cordboard")]
    pub(crate) cluster: String,
    /// Do it; without it, only say what would be done.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Arguments of the role `gateway`.
#[derive(Debug, ClapArgs)]
pub(crate) struct GatewayArgs {
    /// This gateway's id: g1, g2, ...
    #[arg(long)]
    pub(crate) id: String,
    /// Address and port for SIP, UDP and TCP.
    #[arg(long)]
    pub(crate) sip: SocketAddr,
    /// gRPC of the nodes, host:port.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) nodes: Vec<String>,
    /// Address and port for SIP over TLS; needs a certificate.
    #[arg(long, requires = "tls_certificate")]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// PEM file of our certificate and those between it and a root; read again when it changes.
    #[arg(long, requires_all = ["tls_key", "tls_listen"])]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// PEM file of its private key.
    #[arg(long)]
    pub(crate) tls_key: Option<PathBuf>,
    /// Who connects over TLS must show a certificate of one of these (PEM).
    #[arg(long)]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Whose certificates are believed when we connect (PEM); the system's without it.
    #[arg(long)]
    pub(crate) tls_roots: Option<PathBuf>,
    /// Address and port for SIP over WebSockets in the open.
    #[arg(long)]
    pub(crate) ws_listen: Option<SocketAddr>,
    /// Address and port for SIP over WebSockets over TLS.
    #[arg(long, requires = "tls_certificate")]
    pub(crate) wss_listen: Option<SocketAddr>,
    /// Pages whose scripts may connect, such as https://desk.example; all without it.
    #[arg(long, value_delimiter = ',')]
    pub(crate) ws_origins: Vec<String>,
    /// Offer and take no SRTP.
    #[arg(long)]
    pub(crate) no_srtp: bool,
    /// First RTP port.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) rtp_first: u16,
    /// Last RTP port.
    #[arg(long, default_value_t = 19_999)]
    pub(crate) rtp_last: u16,
    /// gRPC health and reflection.
    #[arg(long)]
    pub(crate) grpc: SocketAddr,
    /// Prometheus metrics and health over HTTP.
    #[arg(long)]
    pub(crate) http: Option<SocketAddr>,
    /// OTLP endpoint for traces, such as http://127.0.0.1:4317. Off without it.
    #[arg(long, env = "CORDBOARD_OTLP")]
    pub(crate) otlp: Option<String>,
    /// Threads for links to shards.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Single-threaded lanes that SIP calls are spread over.
    #[arg(long, default_value_t = 1)]
    pub(crate) lanes: usize,
    /// How long a call may wait for a shard without a leader before it gets 503.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) setup_wait_ms: u64,
    /// After SIGTERM: how long to wait until other gateways have taken the calls over, before those that are left are hung up.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) drain_ms: u64,
    #[command(flatten)]
    /// Who it is to the nodes.
    pub(crate) trust: TrustArgs,
}

/// Arguments of the role `dev`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DevArgs {
    /// What to do with a running one.
    #[command(subcommand)]
    pub(crate) command: Option<DevCommand>,
    /// Where data, logs and dev.json live; survives a restart.
    #[arg(long, default_value = "dev")]
    pub(crate) dir: PathBuf,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(crate) nodes: u64,
    /// How many gateways.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=4))]
    pub(crate) gateways: u16,
    /// SIP port of the first gateway; the k-th has this port + k - 1.
    #[arg(long, default_value_t = 5060)]
    pub(crate) sip_port: u16,
    /// First RTP port of the first gateway.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) rtp_port: u16,
    /// RTP ports of each gateway.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) rtp_ports: u16,
    /// YAML documents to apply instead of the demo centre.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Built-in callers and agents who play in the demo centre; so not together with --config.
    #[arg(long, conflicts_with = "config")]
    pub(crate) demo: bool,
    /// OTLP endpoint for traces of all processes.
    #[arg(long, env = "CORDBOARD_OTLP")]
    pub(crate) otlp: Option<String>,
    /// Without certificates: whoever reaches a node may do everything.
    #[arg(long)]
    pub(crate) open: bool,
}

/// Arguments of the role `demo`.
#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// SIP addresses of the gateways; the first that answers is called.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) gateway: Vec<SocketAddr>,
    /// gRPC of the nodes, host:port; any of them is asked to make the agents ready.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) nodes: Vec<String>,
    /// UDP port of the phones.
    #[arg(long)]
    pub(crate) agents_port: u16,
    #[command(flatten)]
    /// Who it is to the nodes.
    pub(crate) trust: TrustArgs,
}

/// What can be made.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// Begin an authority: ca.pem, which everybody gets, and ca.key, which stays where it is.
    Ca {
        /// The cluster that all its certificates are for; nodes are started with the same --cluster.
        #[arg(long, default_value = "cordboard")]
        cluster: String,
        /// Where it lives.
        #[arg(long, default_value = "tls")]
        dir: PathBuf,
    },
    /// A key and a certificate for a node: ID.pem and ID.key.
    Node(CertArgs),
    /// A key and a certificate for a gateway: ID.pem and ID.key.
    Gateway(CertArgs),
    /// A key and a certificate for a person: user-NAME.pem and user-NAME.key.
    User {
        #[command(flatten)]
        /// For whom.
        certificate: CertArgs,
        /// What the person may do.
        #[arg(long, value_parser = role)]
        role: Who,
    },
}

/// What is said of a certificate.
#[derive(Debug, ClapArgs)]
pub(crate) struct CertArgs {
    /// n1, g1, or a person's name.
    pub(crate) name: String,
    /// Where the authority lives, and the certificate will.
    #[arg(long, default_value = "tls")]
    pub(crate) dir: PathBuf,
    /// For how many days it is believed. Make it again in time: it is taken over without a restart.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(crate) days: u32,
}

fn role(word: &str) -> Result<Who, String> {
    let words = Who::OF_USERS.map(Who::word).join(", ");
    Who::of_user(word).ok_or_else(|| format!("one of {words}"))
}

/// What can be asked of a running `cordboard dev`.
#[derive(Debug, Subcommand)]
pub(crate) enum DevCommand {
    /// Start a killed child again.
    Restart {
        /// Its id in dev.json: n1, g2, ...
        id: String,
        /// The directory of the running `cordboard dev`.
        #[arg(long, default_value = "dev")]
        dir: PathBuf,
    },
}

impl TryFrom<NodeArgs> for NodeConfig {
    type Error = anyhow::Error;

    fn try_from(args: NodeArgs) -> anyhow::Result<Self> {
        Ok(Self {
            trust: args.trust.load()?,
            id: args.id,
            dir: args.dir,
            peers: args.peers,
            join: args.join,
            grpc: args.grpc.unwrap_or_default(),
            advertise: args.advertise.unwrap_or_default(),
            zone: args.zone,
            replace_after_ms: args.replace_after.saturating_mul(1_000),
            cluster: args.cluster,
            tenant_shards: args.tenant_shards,
            http: args.http,
            otlp: args.otlp,
            cores: args.cores,
            ..Self::default()
        })
    }
}

impl TryFrom<GatewayArgs> for GatewayConfig {
    type Error = anyhow::Error;

    fn try_from(args: GatewayArgs) -> anyhow::Result<Self> {
        let files = args.tls_listen.zip(args.tls_certificate.zip(args.tls_key));
        let tls = files.map(|(listen, (certificate, key))| TlsConfig {
            listen,
            certificate,
            key,
            client_ca: args.tls_client_ca,
            roots: args.tls_roots,
        });
        Ok(Self {
            trust: args.trust.load()?,
            tls,
            ws: WsConfig { listen: args.ws_listen, listen_tls: args.wss_listen, origins: args.ws_origins },
            srtp: !args.no_srtp,
            rtp_ports: args.rtp_first..=args.rtp_last,
            grpc: args.grpc,
            http: args.http,
            otlp: args.otlp,
            lanes: args.lanes,
            setup_wait_ms: args.setup_wait_ms,
            drain_ms: args.drain_ms,
            ..Self::new(&args.id, args.sip, args.nodes)
        })
    }
}
