//! Trunks: fields, defaults, ranges. Looks at no other document and keeps no password.

use proto::v1::{SipTransport, Trunk, TrunkHost, TrunkLogin, TrunkRegistration};

use super::{
    fields::{Fields, Notes, Quoted},
    kinds::useless,
    limits,
    readers::{items_of, number_of, one_or_more, text_of},
    secrets,
    tree::{Node, Value},
    values::{self, DOMAIN_ALLOWED, HOST_ALLOWED, NETWORK_ALLOWED},
    words::{CODECS, TRANSPORTS},
};

/// What a trunk's address of record looks like, in words.
const AOR_ALLOWED: &str = "sip:user@DOMAIN, such as sip:4930123@sip.example.net";
/// Settings that only a call that goes out looks at.
const OUTWARD: [&str; 8] =
    ["prefixes", "priority", "weight", "options_seconds", "login", "registration", "diversion", "domain"];

pub(super) fn trunk(name: String, fields: &mut Fields, notes: &mut Notes<'_>) -> Trunk {
    let (line, outward) = (fields.line(), fields.has("hosts"));
    let node = fields.take("addresses", notes);
    let given = node.is_some();
    let addresses = node.map(|node| addresses(node, outward, notes)).unwrap_or_default();
    let hosts = fields.take("hosts", notes).map(|node| hosts(node, notes)).unwrap_or_default();
    if !outward {
        if !given {
            let allowed = format_args!("{NETWORK_ALLOWED}; or hosts to call out to").to_string();
            notes.refuse(line, "addresses", "is missing", allowed);
        }
        for field in OUTWARD {
            useless(fields, field, "nothing goes out without hosts", "with hosts", notes);
        }
    }
    Trunk {
        name,
        addresses,
        hosts,
        prefixes: prefixes(fields, notes),
        priority: fields.number("priority", &limits::TRUNK_PRIORITY, 0, notes),
        weight: fields.number("weight", &limits::TRUNK_WEIGHT, 0, notes),
        calls_max: fields.number("calls_max", &limits::TRUNK_CALLS_MAX, 0, notes),
        calls_per_second_max: fields.number("calls_per_second_max", &limits::TRUNK_CALLS_PER_SECOND_MAX, 0, notes),
        options_seconds: fields.number("options_seconds", &limits::TRUNK_OPTIONS_SECONDS, 0, notes),
        login: fields.take("login", notes).and_then(|node| login(node, notes)),
        registration: fields.take("registration", notes).and_then(|node| registration(node, notes)),
        assert_identity: fields.truth("assert_identity", notes),
        diversion: fields.truth("diversion", notes),
        domain: domain(fields, notes),
        codecs: codecs(fields, notes),
    }
}

/// Who may bring calls in: nobody, only where calls go out.
fn addresses(node: Node, outward: bool, notes: &mut Notes<'_>) -> Vec<String> {
    let line = node.line;
    if !outward && matches!(&node.value, Value::List(items) if items.is_empty()) {
        notes.refuse(line, "addresses", "has 0 addresses", format_args!("1 to {}", limits::TRUNK_ADDRESSES_MAX));
    }
    let items = items_of(node, "addresses", limits::TRUNK_ADDRESSES_MAX, notes);
    networks(items, notes)
}

/// The canonical texts of addresses and networks.
pub(super) fn networks(items: Vec<(String, Node)>, notes: &mut Notes<'_>) -> Vec<String> {
    let mut networks = Vec::new();
    for (path, item) in items {
        let Some((text, line)) = text_of(item, &path, notes) else { continue };
        match values::check_network(&text) {
            Ok(network) => networks.push(network),
            Err(fault) => notes.refuse(line, &path, format_args!("{} {fault}", Quoted(&text)), NETWORK_ALLOWED),
        }
    }
    networks
}

fn hosts(node: Node, notes: &mut Notes<'_>) -> Vec<TrunkHost> {
    let mut hosts: Vec<TrunkHost> = Vec::new();
    let (line, empty) = (node.line, matches!(&node.value, Value::List(items) if items.is_empty()));
    let items = items_of(node, "hosts", limits::TRUNK_HOSTS_MAX, notes);
    if empty {
        notes.refuse(line, "hosts", "has no host", format_args!("1 to {}", limits::TRUNK_HOSTS_MAX));
    }
    for (path, item) in items {
        let line = item.line;
        let Some(host) = host(item, &path, notes) else { continue };
        let same = |known: &TrunkHost| {
            known.host.eq_ignore_ascii_case(&host.host) && (known.port, known.transport) == (host.port, host.transport)
        };
        if !host.host.is_empty() && hosts.iter().any(same) {
            notes.refuse(line, &path, format_args!("{} is there twice", Quoted(&host.host)), "each host once");
        }
        hosts.push(host);
    }
    hosts
}

fn host(node: Node, path: &str, notes: &mut Notes<'_>) -> Option<TrunkHost> {
    let mut fields = Fields::of(node, path, notes)?;
    let field = fields.path_of("host");
    let host = fields.require("host", HOST_ALLOWED, notes).and_then(|node| text_of(node, &field, notes));
    let host = host.map(|(host, line)| {
        if !values::is_host(&host) {
            notes.refuse(line, &field, format_args!("{} is no host", Quoted(&host)), HOST_ALLOWED);
        }
        host
    });
    let host = TrunkHost {
        host: host.unwrap_or_default(),
        port: fields.number("port", &limits::PORT, 0, notes),
        transport: fields.choice("transport", &TRANSPORTS, SipTransport::Unspecified, notes).into(),
        priority: fields.number("priority", &limits::TRUNK_PRIORITY, 0, notes),
        weight: fields.number("weight", &limits::TRUNK_WEIGHT, 0, notes),
    };
    fields.finish(notes);
    Some(host)
}

fn prefixes(fields: &mut Fields, notes: &mut Notes<'_>) -> Vec<String> {
    let mut prefixes: Vec<String> = Vec::new();
    let Some(node) = fields.take("prefixes", notes) else { return prefixes };
    for (path, item) in one_or_more(node, "prefixes", limits::TRUNK_PREFIXES_MAX, notes) {
        let line = item.line;
        let Some(prefix) = number_of(item, &path, notes) else { continue };
        if prefixes.contains(&prefix) {
            notes.refuse(line, &path, format_args!("{} is there twice", Quoted(&prefix)), "each prefix once");
        }
        prefixes.push(prefix);
    }
    prefixes
}

fn login(node: Node, notes: &mut Notes<'_>) -> Option<TrunkLogin> {
    let mut fields = Fields::of(node, "login", notes)?;
    let user = secrets::word("user", &mut fields, notes);
    let realm = secrets::word("realm", &mut fields, notes);
    let line = fields.line();
    let whole = fields.has("password") || (fields.has("ha1_md5") && fields.has("ha1_sha256"));
    if !whole {
        notes.refuse(line, "login.password", "is missing", "the password, or ha1_md5 and ha1_sha256");
    }
    let (ha1_md5, ha1_sha256) = secrets::credential(&user, &realm, &mut fields, notes);
    fields.finish(notes);
    Some(TrunkLogin { user, realm, ha1_md5, ha1_sha256 })
}

fn registration(node: Node, notes: &mut Notes<'_>) -> Option<TrunkRegistration> {
    let mut fields = Fields::of(node, "registration", notes)?;
    let path = fields.path_of("aor");
    let aor = fields.require("aor", AOR_ALLOWED, notes).and_then(|node| text_of(node, &path, notes));
    let aor = aor.map(|(aor, line)| {
        if !values::is_aor(&aor) {
            notes.refuse(line, &path, format_args!("{} is no address of record", Quoted(&aor)), AOR_ALLOWED);
        }
        aor
    });
    let expires_seconds = fields.number("expires_seconds", &limits::REGISTRATION_SECONDS, 0, notes);
    fields.finish(notes);
    Some(TrunkRegistration { aor: aor.unwrap_or_default(), expires_seconds })
}

fn domain(fields: &mut Fields, notes: &mut Notes<'_>) -> String {
    let Some((domain, line)) = fields.text("domain", notes) else { return String::new() };
    if !values::is_domain(&domain) {
        notes.refuse(line, "domain", format_args!("{} is no domain", Quoted(&domain)), DOMAIN_ALLOWED);
    }
    domain
}

fn codecs(fields: &mut Fields, notes: &mut Notes<'_>) -> Vec<String> {
    let mut codecs: Vec<String> = Vec::new();
    let Some(node) = fields.take("codecs", notes) else { return codecs };
    for (path, item) in one_or_more(node, "codecs", CODECS.len(), notes) {
        let Some((codec, line)) = text_of(item, &path, notes) else { continue };
        if !CODECS.contains(&codec.as_str()) {
            notes.refuse(line, &path, format_args!("unknown value {}", Quoted(&codec)), CODECS.join(", "));
        } else if codecs.contains(&codec) {
            notes.refuse(line, &path, format_args!("{codec} is there twice"), "each codec once");
        }
        codecs.push(codec);
    }
    codecs
}
