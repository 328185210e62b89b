//! A trunk as its document says it, in the shapes that calls ask for. What does not parse is left out, so that it can only
//! allow less.

use std::sync::Arc;

use proto::v1;
use sip::{Codec, Flow, Invite, Login, Transport};

use crate::{cidr::Block, resolve::Name};

/// Lower is tried first.
const PRIORITY_DEFAULT: u32 = 10;
/// How often a host is asked whether it lives.
const OPTIONS_SECONDS_DEFAULT: u32 = 30;
/// For how long a registration is asked.
const EXPIRES_SECONDS_DEFAULT: u32 = 300;

/// A way in and out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trunk {
    pub(crate) name: String,
    /// Who may bring calls in.
    pub(crate) blocks: Vec<Block>,
    /// Where calls go out to; none: they do not.
    pub(super) hosts: Vec<Host>,
    prefixes: Vec<String>,
    pub(super) priority: u32,
    pub(super) weight: u32,
    /// None: no limit.
    pub(super) calls_max: Option<u32>,
    /// None: no limit.
    pub(crate) calls_per_second_max: Option<u32>,
    pub(super) options_ms: u64,
    /// Answers to challenges of its realm.
    pub(crate) login: Option<Login>,
    pub(super) registration: Option<Registration>,
    /// P-Asserted-Identity goes out, and is believed when it comes in.
    pub(crate) assert_identity: bool,
    /// Diversion goes out beside History-Info.
    pub(crate) diversion: bool,
    /// Host of From and Request-URI; empty: the host that is called.
    pub(crate) domain: String,
    /// In order of preference, never empty.
    pub(crate) codecs: Vec<Codec>,
}

/// One of a trunk's hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(super) name: Name,
    pub(super) priority: u32,
    pub(super) weight: u32,
}

/// An address of record that is kept bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) aor: String,
    pub(crate) expires_seconds: u32,
}

/// One way for one call: a trunk and one address of it.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) trunk: Arc<Trunk>,
    /// The URI of the number there.
    pub(crate) target: String,
    /// Where the INVITE goes; names the address in [`super::Trunks::call_failed`].
    pub(crate) destination: Flow,
}

impl Way {
    /// What of an INVITE the trunk decides. The rest stays: history, whether the caller is hidden, headers.
    pub(crate) fn dress(&self, invite: &mut Invite) {
        invite.target.clone_from(&self.target);
        invite.destination = Some(self.destination);
        invite.login.clone_from(&self.trunk.login);
        invite.domain.clone_from(&self.trunk.domain);
        invite.identity.asserted = self.trunk.assert_identity;
        invite.diversion = self.trunk.diversion;
    }
}

impl Trunk {
    pub(crate) fn of(from: &v1::Trunk) -> Self {
        let mut codecs: Vec<_> = from.codecs.iter().filter_map(|name| codec(name)).collect();
        if codecs.is_empty() {
            codecs = vec![Codec::Pcmu, Codec::Pcma];
        }
        Self {
            name: from.name.clone(),
            blocks: from.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
            hosts: from.hosts.iter().filter_map(Host::of).collect(),
            prefixes: from.prefixes.clone(),
            priority: or(from.priority, PRIORITY_DEFAULT),
            weight: or(from.weight, 1),
            calls_max: Some(from.calls_max).filter(|most| *most > 0),
            calls_per_second_max: Some(from.calls_per_second_max).filter(|most| *most > 0),
            options_ms: u64::from(or(from.options_seconds, OPTIONS_SECONDS_DEFAULT)) * 1_000,
            login: from.login.as_ref().and_then(|login| login_of(&from.name, login)),
            registration: from.registration.as_ref().map(|registration| Registration {
                aor: registration.aor.clone(),
                expires_seconds: or(registration.expires_seconds, EXPIRES_SECONDS_DEFAULT),
            }),
            assert_identity: from.assert_identity,
            diversion: from.diversion,
            domain: from.domain.clone(),
            codecs,
        }
    }

    /// Whether the number goes out here.
    pub(super) fn takes(&self, number: &str) -> bool {
        !self.hosts.is_empty()
            && (self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| number.starts_with(prefix.as_str())))
    }

    /// The URI of a number at a host (RFC 3261 section 19.1).
    pub(super) fn uri(&self, number: &str, name: &Name) -> String {
        let transport = match name.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.uri_name()),
        };
        let host = if self.domain.is_empty() { name.text() } else { self.domain.clone() };
        format!("sip:{}@{host}{transport}", escaped(number))
    }
}

impl Host {
    fn of(from: &v1::TrunkHost) -> Option<Self> {
        let transport = match from.transport() {
            v1::SipTransport::Unspecified | v1::SipTransport::Udp => Transport::Udp,
            v1::SipTransport::Tcp => Transport::Tcp,
            v1::SipTransport::Tls => Transport::Tls,
        };
        let name = Name { host: from.host.to_ascii_lowercase(), port: u16::try_from(from.port).ok()?, transport };
        Some(Self { name, priority: or(from.priority, 1), weight: or(from.weight, 1) })
    }
}

/// Unset is the default.
fn or(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}

fn codec(name: &str) -> Option<Codec> {
    match name {
        "pcmu" => Some(Codec::Pcmu),
        "pcma" => Some(Codec::Pcma),
        _ => None,
    }
}

fn login_of(trunk: &str, login: &v1::TrunkLogin) -> Option<Login> {
    let (Ok(md5), Ok(sha256)) = (login.ha1_md5.as_slice().try_into(), login.ha1_sha256.as_slice().try_into()) else {
        tracing::warn!(trunk, "a login of a wrong length is ignored");
        return None;
    };
    Some(Login { user: login.user.clone(), realm: login.realm.clone(), md5, sha256 })
}

/// The user part of a URI: what RFC 3261 section 25.1 does not allow there is escaped.
fn escaped(number: &str) -> String {
    let mut user = String::with_capacity(number.len());
    for byte in number.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&byte) {
            user.push(char::from(byte));
        } else {
            user.push_str(&format!("%{byte:02X}"));
        }
    }
    user
}
