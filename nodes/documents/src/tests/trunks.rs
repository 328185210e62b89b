//! Trunks and what the centre says about the outside.

use super::*;

fn trunk(text: &str) -> proto::v1::Trunk {
    let plan = checked(&[], text).unwrap_or_else(|errors| panic!("{errors}"));
    let Some(document::Kind::Trunk(trunk)) = plan.upserts[0].kind.clone() else { panic!("{plan:?}") };
    trunk
}

#[test]
fn a_trunk_is_read_with_hosts_and_a_login_that_keeps_no_password() {
    let read = trunk(
        r#"kind: Trunk
name: carrier
hosts:
  - { host: sip.example.net, port: 5061, transport: tls, priority: 1, weight: 3 }
  - { host: 192.0.2.7 }
prefixes: ["+49", "0"]
login: { user: "4930", realm: example.net, password: geheim }
registration: { aor: "sip:4930@example.net", expires_seconds: 120 }
domain: example.net
codecs: pcma
"#,
    );
    assert!(read.addresses.is_empty(), "with hosts nobody need bring calls in");
    assert_eq!((read.hosts[0].port, read.hosts[0].transport()), (5061, proto::v1::SipTransport::Tls));
    assert_eq!((read.hosts[1].port, read.hosts[1].transport()), (0, proto::v1::SipTransport::Unspecified));
    let login = read.login.as_ref().expect("a login");
    assert_eq!(
        (login.ha1_md5.clone(), login.ha1_sha256.clone()),
        values::hash_password("4930", "example.net", "geheim")
    );
    let yaml = to_yaml(&[Document { kind: Some(document::Kind::Trunk(read.clone())), ..Document::default() }]);
    assert!(!yaml.contains("geheim") && yaml.contains("ha1_md5"), "{yaml}");
    assert_eq!(trunk(&yaml), read);
}

#[test]
fn everything_that_is_wrong_with_a_trunk_is_told() {
    let text = r#"kind: Trunk
name: nothing
---
kind: Trunk
name: inward
addresses: [192.0.2.1]
prefixes: "+49"
domain: example.net
---
kind: Trunk
name: wrong
hosts:
  - { host: "sip:x", port: 0, transport: sctp, priority: 0 }
  - { host: h.example }
  - { host: H.example }
  - { port: 5060 }
prefixes: ["+49", "+49", "4 9"]
calls_max: 0
options_seconds: 1
login: { user: "a:b", realm: r, ha1_md5: "00" }
registration: { aor: "tel:1", expires_seconds: 1 }
domain: "x y"
codecs: [opus, opus]
---
kind: Trunk
name: bare
hosts: []
login: { user: a, realm: r, password: geheim, ha1_sha256: geheim }
---
kind: Centre
name: main
egress_deny: [10.0.0.1/8]
egress_allow: nowhere
emergency: "1 1 2"
"#;
    refused(
        &[],
        text,
        r#"
centre.yaml:1: Trunk nothing: addresses: is missing (allowed: an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32; or hosts to call out to)
centre.yaml:7: Trunk inward: prefixes: would not count: nothing goes out without hosts (allowed: with hosts)
centre.yaml:8: Trunk inward: domain: would not count: nothing goes out without hosts (allowed: with hosts)
centre.yaml:13: Trunk wrong: hosts[0].host: "sip:x" is no host (allowed: an address or a name, such as 192.0.2.7, 2001:db8::7 or sip.example.net)
centre.yaml:13: Trunk wrong: hosts[0].port: "0" is out of range (allowed: 1 to 65535)
centre.yaml:13: Trunk wrong: hosts[0].transport: unknown value "sctp" (allowed: udp, tcp, tls)
centre.yaml:13: Trunk wrong: hosts[0].priority: "0" is out of range (allowed: 1 to 1000)
centre.yaml:15: Trunk wrong: hosts[2]: "H.example" is there twice (allowed: each host once)
centre.yaml:16: Trunk wrong: hosts[3].host: is missing (allowed: an address or a name, such as 192.0.2.7, 2001:db8::7 or sip.example.net)
centre.yaml:17: Trunk wrong: prefixes[1]: "+49" is there twice (allowed: each prefix once)
centre.yaml:17: Trunk wrong: prefixes[2]: "4 9" cannot be a number (allowed: 1 to 64 letters, digits and . _ - + * #, such as +493012345)
centre.yaml:18: Trunk wrong: calls_max: "0" is out of range (allowed: 1 to 100000)
centre.yaml:19: Trunk wrong: options_seconds: "1" is out of range (allowed: 5 to 3600)
centre.yaml:20: Trunk wrong: login.user: "a:b" cannot be a user (allowed: 1 to 128 printable characters without " and \; a user also without :)
centre.yaml:20: Trunk wrong: login.password: is missing (allowed: the password, or ha1_md5 and ha1_sha256)
centre.yaml:20: Trunk wrong: login.ha1_md5: is not such a digest (allowed: 32 hex digits)
centre.yaml:21: Trunk wrong: registration.aor: "tel:1" is no address of record (allowed: sip:user@DOMAIN, such as sip:4930123@sip.example.net)
centre.yaml:21: Trunk wrong: registration.expires_seconds: "1" is out of range (allowed: 60 to 86400)
centre.yaml:22: Trunk wrong: domain: "x y" is no domain (allowed: a name or an IPv4 address, such as sip.example.net)
centre.yaml:23: Trunk wrong: codecs[0]: unknown value "opus" (allowed: pcmu, pcma)
centre.yaml:23: Trunk wrong: codecs[1]: unknown value "opus" (allowed: pcmu, pcma)
centre.yaml:27: Trunk bare: hosts: has no host (allowed: 1 to 16)
centre.yaml:28: Trunk bare: login.ha1_sha256: is not such a digest (allowed: 64 hex digits)
centre.yaml:28: Trunk bare: login.password: stands beside ha1_md5 or ha1_sha256 (allowed: either the password or the digests)
centre.yaml:32: Centre main: egress_deny[0]: "10.0.0.1/8" has bits beyond its prefix; the network is 10.0.0.0/8 (allowed: an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32)
centre.yaml:33: Centre main: egress_allow: "nowhere" is not an IP address (allowed: an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32)
centre.yaml:34: Centre main: emergency: "1 1 2" cannot be a number (allowed: 1 to 64 letters, digits and . _ - + * #, such as +493012345)
"#,
    );
}
