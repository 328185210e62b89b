//! The nodes that can be asked: finds one that answers. Knows no command and prints nothing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use proto::v1::{GetStatusRequest, admin_client::AdminClient};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use tonic::{
    Code, Request, Response, Status,
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};
use trust::{Far, Files, Role, Trust, nearby};

use crate::{
    args::Reach,
    failure::Failure,
    output::{Asked, clean_lines},
};

const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(1);
const ENDPOINTS_MAX: usize = 64;
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Metadata that names the tenant that a question is about.
const TENANT: &str = "cordboard-tenant";
/// As whom `cordboard dev` lets us in.
const DEV: &str = "dev";
/// A node that says nothing on an idle connection is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A node's admin service.
pub type Admin = AdminClient<Channel>;

/// Some nodes of one cluster, in the order in which they are asked.
pub struct Cluster {
    nodes: Vec<Node>,
    timeout: Duration,
    /// The tenant that questions are about; None = all of them.
    tenant: Option<AsciiMetadataValue>,
}

/// One node that can be asked.
struct Node {
    address: String,
    admin: Admin,
    channel: Channel,
}

impl Cluster {
    /// From `--endpoint`, `--dev` or the environment. Must be called within a tokio runtime; connects to nobody yet.
    pub fn find(reach: &Reach) -> Result<Self, Failure> {
        let (endpoints, trust) = match (&reach.endpoint, &reach.dev) {
            (Some(_), Some(_)) => {
                return Err(Failure::Usage("--endpoint and --dev name two clusters; give one of them".to_owned()));
            }
            (Some(list), None) => certified(reach, listed(list, "--endpoint")?)?,
            (None, Some(dir)) => development(dir)?,
            (None, None) => match env::var("CORDCTL_ENDPOINT") {
                Ok(list) if !list.trim().is_empty() => certified(reach, listed(&list, "CORDCTL_ENDPOINT")?)?,
                _ => {
                    return Err(Failure::Usage(
                        "which cluster? Give --endpoint HOST:PORT of a node, or --dev DIR of `cordboard dev`, or set \
                         CORDCTL_ENDPOINT"
                            .to_owned(),
                    ));
                }
            },
        };
        let timeout = reach.timeout.map_or(TIMEOUT, Duration::from_secs_f64);
        let nodes = endpoints.into_iter().map(|address| {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))
                .map_err(|_| Failure::Usage(format!("endpoint {address:?} is not HOST:PORT")))?
                .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX))
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE);
            let channel = trust.connect_lazily(&endpoint, Far::AnyNode);
            let admin = AdminClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
            Ok(Node { address, admin, channel })
        });
        let tenant = reach
            .tenant
            .as_deref()
            .map(|name| name.parse().map_err(|_| Failure::Usage(format!("--tenant {name:?} is no name of a tenant"))));
        Ok(Self { nodes: nodes.collect::<Result<_, Failure>>()?, timeout, tenant: tenant.transpose()? })
    }

    /// Asks the nodes in turn until one gives a final answer. Each gets an even share of the time that is left, so
    /// that a node that hangs leaves enough for the others; one that is gone costs next to nothing. The node that
    /// answered is asked first the next time. Everything that is asked may be asked twice.
    pub async fn ask<Q, R, F>(&mut self, what: &str, question: Q, rpc: F) -> Result<R, Failure>
    where
        Q: Clone,
        F: AsyncFn(&mut Admin, Request<Q>) -> Result<Response<R>, Status>,
    {
        self.ask_in_turn(what, question, true, |node| &mut node.admin, rpc).await
    }

    /// Like [`Self::ask`], of another service than the admins': `rpc` makes its client of the channel.
    pub async fn ask_service<Q, R, F>(&mut self, what: &str, question: Q, rpc: F) -> Result<R, Failure>
    where
        Q: Clone,
        F: AsyncFn(&mut Channel, Request<Q>) -> Result<Response<R>, Status>,
    {
        self.ask_in_turn(what, question, true, |node| &mut node.channel, rpc).await
    }

    /// Like [`Self::ask`] for what answers with a stream: only its beginning has to come in time.
    pub async fn open<Q, R, F>(&mut self, what: &str, question: Q, rpc: F) -> Result<R, Failure>
    where
        Q: Clone,
        F: AsyncFn(&mut Admin, Request<Q>) -> Result<Response<R>, Status>,
    {
        self.ask_in_turn(what, question, false, |node| &mut node.admin, rpc).await
    }

    /// Asks one node, once: for what must not be done twice. First finds a node that answers at all.
    pub async fn ask_once<Q, R, F>(&mut self, what: &str, question: Q, rpc: F) -> Result<R, Failure>
    where
        F: AsyncFn(&mut Admin, Request<Q>) -> Result<Response<R>, Status>,
    {
        let deadline = Instant::now() + self.timeout;
        self.ask(what, GetStatusRequest {}, async |admin: &mut Admin, request| admin.get_status(request).await).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(Node { address, admin, .. }) = self.nodes.first_mut() else {
            return Err(Failure::Unreachable { what: what.to_owned(), tried: Vec::new() });
        };
        let mut request = Request::new(question);
        if let Some(tenant) = &self.tenant {
            request.metadata_mut().insert(TENANT, tenant.clone());
        }
        request.set_timeout(left);
        let why = match timeout(left, Box::pin(rpc(admin, request))).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) if !is_passing(status.code()) => return Err(Failure::of(what, address, &status)),
            Ok(Err(status)) => reason(&status),
            Err(_) => format!("no answer within {:.1} s", left.as_secs_f64()),
        };
        let tried = vec![
            format!("  {address}: {why}"),
            "  It may have been done or not: look before you ask for it again.".to_owned(),
        ];
        Err(Failure::Unreachable { what: what.to_owned(), tried })
    }

    /// Like [`Self::open`], of another service than the admins', for as long as it takes.
    pub async fn open_service<Q, R, F>(&mut self, what: &str, question: Q, rpc: F) -> Result<R, Failure>
    where
        Q: Clone,
        F: AsyncFn(&mut Channel, Request<Q>) -> Result<Response<R>, Status>,
    {
        self.ask_in_turn(what, question, false, |node| &mut node.channel, rpc).await
    }

    /// Whose things questions are about.
    pub fn asked(&self) -> Asked {
        if self.tenant.is_some() { Asked::One } else { Asked::All }
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        self.timeout
    }

    async fn ask_in_turn<C, Q, R, F>(
        &mut self,
        what: &str,
        question: Q,
        bounded: bool,
        client: fn(&mut Node) -> &mut C,
        rpc: F,
    ) -> Result<R, Failure>
    where
        Q: Clone,
        F: AsyncFn(&mut C, Request<Q>) -> Result<Response<R>, Status>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut tried = Vec::new();
        let count = self.nodes.len();
        for index in 0..count {
            let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(count - index).unwrap_or(1);
            let node = &mut self.nodes[index];
            let mut request = Request::new(question.clone());
            if let Some(tenant) = &self.tenant {
                request.metadata_mut().insert(TENANT, tenant.clone());
            }
            if bounded {
                request.set_timeout(share);
            }
            let answer = timeout(share, Box::pin(rpc(client(node), request))).await;
            let address = &node.address;
            match answer {
                Ok(Ok(response)) => {
                    self.nodes.rotate_left(index);
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) if is_passing(status.code()) => {
                    tried.push(format!("  {address}: {}", reason(&status)));
                }
                Ok(Err(status)) => return Err(Failure::of(what, address, &status)),
                Err(_) => tried.push(format!("  {address}: no answer within {:.1} s", share.as_secs_f64())),
            }
        }
        Err(Failure::Unreachable { what: what.to_owned(), tried })
    }
}

/// Whether another node may know better.
pub(crate) fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Aborted)
}

/// The deepest cause says most: `Connection refused` rather than `transport error`.
pub(crate) fn reason(status: &Status) -> String {
    let mut deepest: Option<String> = None;
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        deepest = Some(error.to_string());
        source = error.source();
    }
    clean_lines(deepest.as_deref().unwrap_or(status.message()))
}

/// Who asks, as far as this machine knows.
pub(crate) fn by() -> String {
    env::var("USER").unwrap_or_else(|_| "cordctl".to_owned())
}

fn listed(list: &str, origin: &str) -> Result<Vec<String>, Failure> {
    let mut endpoints = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let item = item.strip_prefix("http://").unwrap_or(item).trim_end_matches('/');
        let host_port = item.rsplit_once(':').filter(|(host, port)| {
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if host_port.is_none() {
            return Err(Failure::Usage(format!("{origin}: {item:?} is not HOST:PORT")));
        }
        endpoints.push(item.to_owned());
    }
    if endpoints.is_empty() || endpoints.len() > ENDPOINTS_MAX {
        return Err(Failure::Usage(format!("{origin}: give 1 to {ENDPOINTS_MAX} endpoints, HOST:PORT[,HOST:PORT...]")));
    }
    Ok(endpoints)
}

/// One line of `dev.json`, as far as it matters here.
#[derive(Deserialize)]
struct Process {
    role: String,
    grpc: Option<String>,
    /// The folder of the certificates.
    #[serde(default)]
    tls: Option<PathBuf>,
}

/// With certificates from the command line, else from the environment, else of a development cluster on this machine.
fn certified(reach: &Reach, endpoints: Vec<String>) -> Result<(Vec<String>, Trust), Failure> {
    let given = |flag: &Option<PathBuf>, variable: &str| {
        flag.clone().or_else(|| env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from))
    };
    let files = [
        given(&reach.cluster_ca, "CORDCTL_CLUSTER_CA"),
        given(&reach.cluster_certificate, "CORDCTL_CLUSTER_CERTIFICATE"),
        given(&reach.cluster_key, "CORDCTL_CLUSTER_KEY"),
    ];
    match files {
        [None, None, None] => {
            let nearby = endpoints.iter().find_map(|endpoint| nearby::find(endpoint));
            Ok((endpoints, nearby.map_or_else(|| Ok(Trust::off()), |folder| as_developer(&folder))?))
        }
        [Some(ca), Some(certificate), Some(key)] => Ok((endpoints, trusting(Files { ca, certificate, key })?)),
        _ => Err(Failure::Usage("--cluster-ca, --cluster-certificate and --cluster-key go together".to_owned())),
    }
}

fn as_developer(folder: &Path) -> Result<Trust, Failure> {
    trusting(Files::in_folder(folder, DEV, Role::Admin))
}

fn trusting(files: Files) -> Result<Trust, Failure> {
    Trust::load(files).map_err(|error| Failure::Usage(error.to_string()))
}

fn development(dir: &Path) -> Result<(Vec<String>, Trust), Failure> {
    let path = dir.join("dev.json");
    let name = path.display();
    let text = fs::read(&path).map_err(|error| {
        let start = format!("start the cluster with `cordboard dev --dir {}`", dir.display());
        Failure::NoDevelopment(format!("cannot read {name}: {error}; {start}"))
    })?;
    let processes: Vec<Process> = serde_json::from_slice(&text)
        .map_err(|error| Failure::Usage(format!("{name} is not what `cordboard dev` writes: {error}")))?;
    let tls = processes.iter().find_map(|process| process.tls.clone());
    let trust = tls.map_or_else(|| Ok(Trust::off()), |folder| as_developer(&folder))?;
    let nodes: Vec<String> =
        processes.into_iter().filter(|process| process.role == "node").filter_map(|process| process.grpc).collect();
    if nodes.is_empty() {
        return Err(Failure::NoDevelopment(format!("{name} names no node; is `cordboard dev` still starting?")));
    }
    Ok((listed(&nodes.join(","), &name.to_string())?, trust))
}
