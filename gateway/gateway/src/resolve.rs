//! From the name of a trunk's host to its addresses by RFC 3263: an address needs nothing, a port only A and AAAA, else SRV
//! goes first. NAPTR is not asked: the transport is the document's. Runs in a task of its own; no lane ever waits for it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use hickory_resolver::{
    TokioResolver,
    config::LookupIpStrategy,
    net::NetError,
    proto::rr::{RData, RecordType},
};
use sip::Transport;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

/// A name is asked for again after this, however short its TTL.
const TTL_MS_MIN: u64 = 10_000;
/// And at the latest after this.
const TTL_MS_MAX: u64 = 3_600_000;
/// A name that could not be resolved is asked for again.
const RETRY_MS: u64 = 10_000;
/// All questions for one name.
const LOOK_MS_MAX: u64 = 5_000;
/// One question to one server; there is a second try.
const QUESTION_MS_MAX: u64 = 2_000;
/// Answers that are kept.
const CACHE_MAX: u64 = 1_024;
/// SRV records of one name, and addresses of one target, that are looked at.
const RECORDS_MAX: usize = 8;
/// Names that are asked for at once.
const LOOKS_MAX: usize = 16;

/// What DNS is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// An address without brackets, or a name in lower case.
    pub(crate) host: String,
    /// 0: by SRV, else the transport's default.
    pub(crate) port: u16,
    pub(crate) transport: Transport,
}

/// One address that a name stands for, with the rank of its SRV record (RFC 2782); 0 and 0 without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hop {
    pub(crate) address: SocketAddr,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
}

/// The addresses of a name, and how long they are good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) hops: Vec<Hop>,
    pub(crate) for_ms: u64,
}

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error("DNS did not answer in time")]
    Late,
    #[error("the name has no addresses that this gateway can reach")]
    Empty,
    // RFC 2782: a target of "." says that the service is decidedly not there.
    #[error("the name says that it does not offer SIP over this transport")]
    NotOffered,
    #[error(transparent)]
    Dns(#[from] NetError),
}

impl Name {
    /// Where it is, when nobody need be asked.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port_or_default()))
    }

    /// As a URI writes it.
    pub(crate) fn text(&self) -> String {
        let host = match self.host.parse() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            Ok(IpAddr::V4(_)) | Err(_) => self.host.clone(),
        };
        if self.port == 0 { host } else { format!("{host}:{}", self.port) }
    }

    /// RFC 3261 section 19.1.2.
    fn port_or_default(&self) -> u16 {
        match self.port {
            0 if self.transport.is_secure() => 5061,
            0 => 5060,
            port => port,
        }
    }

    /// RFC 3263 section 4.1; none when a port was given (section 4.2).
    fn service(&self) -> Option<String> {
        let service = match self.transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
            Transport::Ws => "_sip._ws",
            Transport::Wss => "_sips._ws",
        };
        (self.port == 0).then(|| format!("{service}.{}", self.host))
    }
}

/// Asks DNS, and remembers what it said for as long as it said.
#[derive(Clone)]
pub(crate) struct Resolver {
    dns: TokioResolver,
}

impl Resolver {
    /// With the machine's configuration. `own` is the address that SIP is heard at: what it cannot reach is left out.
    pub(crate) fn system(own: IpAddr) -> Result<Self, NetError> {
        Self::of(TokioResolver::builder_tokio()?, own)
    }

    fn of(
        mut builder: hickory_resolver::ResolverBuilder<hickory_resolver::net::runtime::TokioRuntimeProvider>,
        own: IpAddr,
    ) -> Result<Self, NetError> {
        let options = builder.options_mut();
        options.ip_strategy = if own.is_ipv4() { LookupIpStrategy::Ipv4Only } else { LookupIpStrategy::Ipv4AndIpv6 };
        options.timeout = Duration::from_millis(QUESTION_MS_MAX);
        options.attempts = 1;
        options.cache_size = CACHE_MAX;
        options.positive_max_ttl = Some(Duration::from_millis(TTL_MS_MAX));
        options.negative_max_ttl = Some(Duration::from_millis(RETRY_MS));
        Ok(Self { dns: builder.build()? })
    }

    /// The addresses of a name.
    pub(crate) async fn look(&self, name: &Name) -> Result<Found, LookError> {
        if let Some(address) = name.address() {
            return Ok(Found { hops: vec![Hop { address, priority: 0, weight: 0 }], for_ms: TTL_MS_MAX });
        }
        let look = async {
            match name.service() {
                Some(service) => match self.by_service(&service).await? {
                    Some(found) => Ok(found),
                    None => self.by_host(name).await,
                },
                None => self.by_host(name).await,
            }
        };
        timeout(Duration::from_millis(LOOK_MS_MAX), look).await.unwrap_or(Err(LookError::Late))
    }

    /// None when there are no such records.
    async fn by_service(&self, service: &str) -> Result<Option<Found>, LookError> {
        let lookup = match self.dns.lookup(service, RecordType::SRV).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut records: Vec<_> = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv.clone()),
                _ => None,
            })
            .collect();
        if records.is_empty() {
            return Ok(None);
        }
        records.retain(|srv| !srv.target.is_root());
        if records.is_empty() {
            return Err(LookError::NotOffered);
        }
        records.sort_by_key(|srv| srv.priority);
        let mut until = lookup.valid_until();
        let mut hops = Vec::new();
        for srv in records.into_iter().take(RECORDS_MAX) {
            // One target that cannot be resolved does not hinder the others.
            let Ok(lookup) = self.dns.lookup_ip(srv.target.clone()).await else { continue };
            until = until.min(lookup.valid_until());
            hops.extend(lookup.iter().take(RECORDS_MAX).map(|ip| Hop {
                address: SocketAddr::new(ip, srv.port),
                priority: srv.priority,
                weight: srv.weight,
            }));
        }
        found(hops, until).map(Some)
    }

    async fn by_host(&self, name: &Name) -> Result<Found, LookError> {
        let lookup = match self.dns.lookup_ip(name.host.as_str()).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() => return Err(LookError::Empty),
            Err(error) => return Err(error.into()),
        };
        let port = name.port_or_default();
        let hop = |ip| Hop { address: SocketAddr::new(ip, port), priority: 0, weight: 0 };
        found(lookup.iter().take(RECORDS_MAX).map(hop).collect(), lookup.valid_until())
    }
}

/// In an order of their own: what was found before is found alike.
fn found(mut hops: Vec<Hop>, until: std::time::Instant) -> Result<Found, LookError> {
    if hops.is_empty() {
        return Err(LookError::Empty);
    }
    hops.sort();
    hops.dedup();
    let left = until.saturating_duration_since(std::time::Instant::now());
    let for_ms = u64::try_from(left.as_millis()).unwrap_or(TTL_MS_MAX).clamp(TTL_MS_MIN, TTL_MS_MAX);
    Ok(Found { hops, for_ms })
}

/// Keeps the addresses of all `names` fresh, until their sender is gone; each answer that differs from the one before is told
/// once. What cannot be resolved any more keeps the addresses it had: a carrier outlives its DNS.
pub(crate) async fn keep(resolver: Resolver, mut names: watch::Receiver<Vec<Name>>, tell: impl Fn(Name, Vec<Hop>)) {
    let mut known: BTreeMap<Name, Kept> = BTreeMap::new();
    let mut looks = FuturesUnordered::new();
    loop {
        let wanted = names.borrow_and_update().clone();
        known.retain(|name, _| wanted.contains(name));
        for name in wanted.iter().filter(|name| name.address().is_none()) {
            known.entry(name.clone()).or_insert_with(|| Kept { hops: Vec::new(), due: Instant::now(), asked: false });
        }
        let now = Instant::now();
        for (name, kept) in known.iter_mut().filter(|(_, kept)| !kept.asked && kept.due <= now) {
            if looks.len() >= LOOKS_MAX {
                break;
            }
            kept.asked = true;
            let (resolver, name) = (resolver.clone(), name.clone());
            looks.push(async move {
                let found = resolver.look(&name).await;
                (name, found)
            });
        }
        let next = known.values().filter(|kept| !kept.asked).map(|kept| kept.due).min();
        let full = looks.len() >= LOOKS_MAX;
        tokio::select! {
            changed = names.changed() => if changed.is_err() { return },
            Some((name, found)) = looks.next(), if !looks.is_empty() => {
                if let Some(kept) = known.get_mut(&name) {
                    kept.answered(&name, found, &tell);
                }
            }
            () = sleep_until(next.unwrap_or(now)), if next.is_some() && !full => {}
        }
    }
}

/// A name under care.
struct Kept {
    hops: Vec<Hop>,
    due: Instant,
    asked: bool,
}

impl Kept {
    fn answered(&mut self, name: &Name, found: Result<Found, LookError>, tell: &impl Fn(Name, Vec<Hop>)) {
        self.asked = false;
        let for_ms = match found {
            Ok(found) => {
                if found.hops != self.hops {
                    self.hops.clone_from(&found.hops);
                    tell(name.clone(), found.hops);
                }
                found.for_ms
            }
            Err(error) => {
                tracing::warn!(host = name.host, %error, "a trunk's host cannot be resolved; what is known of it stays");
                RETRY_MS
            }
        };
        self.due = Instant::now() + Duration::from_millis(for_ms);
    }
}

#[cfg(test)]
mod tests;
