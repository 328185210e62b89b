//! Trunks as stories.

use std::collections::BTreeMap;

use proto::v1;
use sip::{Invite, LocalMedia, Transport};

use super::*;

fn host(host: &str, port: u32, priority: u32, weight: u32) -> v1::TrunkHost {
    v1::TrunkHost { host: host.into(), port, priority, weight, ..Default::default() }
}

fn trunk(name: &str, hosts: Vec<v1::TrunkHost>) -> v1::Trunk {
    v1::Trunk { name: name.into(), hosts, ..Default::default() }
}

fn view(trunks: Vec<v1::Trunk>) -> Arc<View> {
    let routes = trunks.into_iter().map(|trunk| v1::TrunkRoute { trunk: Some(trunk) }).collect();
    let view = v1::DirectoryView { secret: vec![7; 32], realm: "r".into(), routes, ..Default::default() };
    Arc::new(View::try_from(view).unwrap())
}

fn trunks(trunks: Vec<v1::Trunk>) -> Trunks {
    Trunks::new(0, &view(trunks))
}

fn udp(address: &str) -> Flow {
    Flow { transport: Transport::Udp, remote: address.parse().unwrap(), connection: 0 }
}

/// The addresses of the ways, in order.
fn ways(trunks: &Trunks, now_ms: u64, number: &str, dice: u64) -> Vec<String> {
    trunks.candidates(now_ms, number, dice).iter().map(|way| way.destination.remote.to_string()).collect()
}

fn pings(due: Vec<Due>) -> BTreeMap<Flow, u64> {
    due.into_iter()
        .filter_map(|due| match due {
            Due::Ping { id, flow, .. } => Some((flow, id)),
            Due::Bind { .. } | Due::Unbind { .. } => None,
        })
        .collect()
}

fn binds(due: Vec<Due>) -> Vec<(u64, Flow)> {
    due.into_iter()
        .filter_map(|due| match due {
            Due::Bind { id, bind } => Some((id, bind.registrar)),
            Due::Ping { .. } | Due::Unbind { .. } => None,
        })
        .collect()
}

#[test]
fn a_number_leaves_by_the_trunks_that_take_its_prefix_in_their_order() {
    let of = |name: &str, ip: &str, priority, prefixes: &[&str]| v1::Trunk {
        priority,
        prefixes: prefixes.iter().map(ToString::to_string).collect(),
        ..trunk(name, vec![host(ip, 0, 0, 0)])
    };
    let trunks = trunks(vec![
        of("any", "192.0.2.3", 20, &[]),
        of("berlin", "192.0.2.1", 5, &["+4930", "030"]),
        of("germany", "192.0.2.2", 0, &["+49"]),
        v1::Trunk { addresses: vec!["192.0.2.4".into()], ..trunk("inward", vec![]) },
    ]);
    assert_eq!(ways(&trunks, 0, "+49301", 1), ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:5060"]);
    assert_eq!(ways(&trunks, 0, "+4940", 1), ["192.0.2.2:5060", "192.0.2.3:5060"]);
    assert_eq!(ways(&trunks, 0, "0043", 1), ["192.0.2.3:5060"]);
}

#[test]
fn equals_share_by_weight() {
    let of = |name: &str, ip: &str, weight| v1::Trunk { weight, ..trunk(name, vec![host(ip, 0, 0, 0)]) };
    let trunks = trunks(vec![of("a", "192.0.2.1", 3), of("b", "192.0.2.2", 1)]);
    let first = (0..10_000_u64).filter(|dice| ways(&trunks, 0, "1", *dice)[0] == "192.0.2.1:5060").count();
    assert!((7_200..7_800).contains(&first), "{first}");
    let hosts = vec![host("192.0.2.1", 0, 1, 1), host("192.0.2.2", 0, 1, 1), host("192.0.2.3", 0, 2, 9)];
    let trunks = self::trunks(vec![trunk("a", hosts)]);
    let orders: Vec<_> = (0..10_000_u64).map(|dice| ways(&trunks, 0, "1", dice)).collect();
    assert!(orders.iter().all(|order| order[2] == "192.0.2.3:5060"));
    let first = orders.iter().filter(|order| order[0] == "192.0.2.1:5060").count();
    assert!((4_700..5_300).contains(&first), "{first}");
}

#[test]
fn without_weight_everybody_has_a_chance() {
    let hops = |weights: [u16; 3]| {
        weights.map(|weight| Hop { address: "192.0.2.1:1".parse().unwrap(), priority: 1, weight }).to_vec()
    };
    let first = |hops: &[Hop], dice| {
        let order = in_order(hops, &mut Dice::new(dice), |hop| (hop.priority.into(), hop.weight.into()));
        order[0].weight
    };
    let zero = hops([0, 50, 50]);
    let light = (0..10_000).filter(|dice| first(&zero, *dice) == 0).count();
    assert!((20..300).contains(&light), "RFC 2782: a very small chance: {light}");
    assert_eq!(in_order(&hops([0, 0, 0]), &mut Dice::new(1), |_| (0, 0)).len(), 3);
}

#[test]
fn a_number_becomes_a_uri_of_the_trunks_domain_or_host() {
    let tls = v1::TrunkHost { transport: v1::SipTransport::Tls.into(), ..host("2001:db8::7", 0, 0, 0) };
    let tcp = v1::TrunkHost { transport: v1::SipTransport::Tcp.into(), ..host("192.0.2.7", 5070, 2, 0) };
    let target = |trunk: v1::Trunk, number: &str| trunks(vec![trunk]).candidates(0, number, 0)[0].clone();
    let way = target(trunk("t", vec![tls, tcp]), "*8#");
    assert_eq!(way.target, "sip:*8%23@[2001:db8::7];transport=tls");
    assert_eq!((way.destination.transport, way.destination.remote.port()), (Transport::Tls, 5061));
    let way =
        target(v1::Trunk { domain: "example.net".into(), ..trunk("t", vec![host("192.0.2.1", 5070, 0, 0)]) }, "+49");
    assert_eq!((way.target.as_str(), way.destination.remote.port()), ("sip:+49@example.net", 5070));
}

#[test]
fn a_way_dresses_an_invite() {
    let login = v1::TrunkLogin { user: "u".into(), realm: "r".into(), ha1_md5: vec![1; 16], ha1_sha256: vec![2; 32] };
    let trunks = trunks(vec![v1::Trunk {
        login: Some(login),
        assert_identity: true,
        diversion: true,
        codecs: vec!["pcma".into(), "later".into()],
        ..trunk("t", vec![host("192.0.2.1", 0, 0, 0)])
    }]);
    let way = trunks.candidates(0, "1", 0).remove(0);
    let mut invite = Invite::to("", LocalMedia { address: "192.0.2.9".parse().unwrap(), port: 4_000, crypto: None });
    invite.identity.hidden = true;
    way.dress(&mut invite);
    assert_eq!((invite.target.as_str(), invite.destination), ("sip:1@192.0.2.1", Some(udp("192.0.2.1:5060"))));
    assert!(invite.identity.hidden && invite.identity.asserted && invite.diversion);
    assert_eq!(invite.login.unwrap().md5, [1; 16]);
    assert_eq!(way.trunk.codecs, [sip::Codec::Pcma]);
}

#[test]
fn two_failures_in_a_row_are_down_and_one_answer_is_up() {
    let mut trunks = trunks(vec![trunk("t", vec![host("192.0.2.1", 0, 1, 0), host("192.0.2.2", 0, 2, 0)])]);
    let first = pings(trunks.due(0));
    assert_eq!(first.len(), 2, "both are asked at once");
    assert!(trunks.due(1).is_empty(), "and not again while an answer may come");
    let id = first[&udp("192.0.2.1:5060")];
    trunks.pinged(1_000, id, 0, 0);
    assert_eq!(ways(&trunks, 1_000, "1", 0)[0], "192.0.2.1:5060", "once is no habit");
    trunks.pinged(2_000, id, 503, 0);
    assert_eq!(ways(&trunks, 2_000, "1", 0), ["192.0.2.2:5060", "192.0.2.1:5060"], "last, but not never");
    assert_eq!((trunks.standings(2_000)[0].up, trunks.standings(2_000)[0].down), (1, 1));
    assert!(pings(trunks.due(12_000)).contains_key(&udp("192.0.2.1:5060")), "one that is down is asked more often");
    trunks.pinged(12_100, id, 405, 0);
    assert_eq!(ways(&trunks, 12_100, "1", 0)[0], "192.0.2.1:5060", "who refuses OPTIONS lives");
    trunks.pinged(13_000, 9_999, 0, 0);
}

#[test]
fn a_whole_trunk_that_is_down_comes_after_one_that_lives() {
    let worse = v1::Trunk { priority: 20, ..trunk("b", vec![host("192.0.2.2", 0, 0, 0)]) };
    let mut trunks = trunks(vec![trunk("a", vec![host("192.0.2.1", 0, 0, 0)]), worse]);
    for _ in 0..2 {
        trunks.call_failed(5, udp("192.0.2.1:5060"), 0, 0);
    }
    assert_eq!(ways(&trunks, 5, "1", 0), ["192.0.2.2:5060", "192.0.2.1:5060"]);
    assert!(pings(trunks.due(6)).contains_key(&udp("192.0.2.1:5060")), "a suspect is asked at once");
    trunks.call_went(udp("192.0.2.1:5060"));
    assert_eq!(ways(&trunks, 6, "1", 0)[0], "192.0.2.1:5060");
    trunks.call_failed(7, udp("192.0.2.1:5060"), 407, 0);
    trunks.call_failed(7, udp("192.0.2.1:5060"), 407, 0);
    assert_eq!(ways(&trunks, 7, "1", 0)[0], "192.0.2.1:5060", "refused credentials are no sign of death");
}

#[test]
fn one_that_asks_to_be_left_alone_is() {
    let mut trunks = trunks(vec![trunk("t", vec![host("192.0.2.1", 0, 1, 0), host("192.0.2.2", 0, 2, 0)])]);
    pings(trunks.due(0));
    trunks.call_failed(0, udp("192.0.2.1:5060"), 503, 20);
    assert_eq!(ways(&trunks, 19_999, "1", 0)[0], "192.0.2.2:5060");
    assert!(!pings(trunks.due(19_999)).contains_key(&udp("192.0.2.1:5060")));
    assert_eq!(ways(&trunks, 20_000, "1", 0)[0], "192.0.2.1:5060", "one 503 is not two");
    assert!(pings(trunks.due(40_000)).contains_key(&udp("192.0.2.1:5060")));
    trunks.call_failed(50_000, udp("192.0.2.1:5060"), 503, u32::MAX);
    trunks.pinged(1_000_000, 1, 200, 0);
    assert_eq!(ways(&trunks, 1_000_000, "1", 0)[0], "192.0.2.1:5060", "nobody is out of use for ever");
}

#[test]
fn names_have_the_addresses_that_dns_gave_them_ranked_by_its_records() {
    let mut trunks = trunks(vec![trunk("t", vec![host("Sip.Example.net", 0, 0, 0), host("192.0.2.9", 0, 2, 0)])]);
    assert_eq!(ways(&trunks, 0, "1", 0), ["192.0.2.9:5060"], "a name without addresses is no way");
    let names = trunks.names();
    assert_eq!(names.iter().map(|name| name.host.as_str()).collect::<Vec<_>>(), ["sip.example.net"]);
    let hop = |address: &str, priority| Hop { address: address.parse().unwrap(), priority, weight: 0 };
    let hops = vec![hop("192.0.2.2:5070", 20), hop("192.0.2.1:5080", 10)];
    trunks.set_resolved(0, names[0].clone(), hops);
    assert_eq!(ways(&trunks, 0, "1", 0), ["192.0.2.1:5080", "192.0.2.2:5070", "192.0.2.9:5060"]);
    assert_eq!(trunks.candidates(0, "1", 0)[0].target, "sip:1@sip.example.net");
    trunks.set_resolved(0, names[0].clone(), vec![hop("192.0.2.3:5060", 0)]);
    assert_eq!(ways(&trunks, 0, "1", 0), ["192.0.2.3:5060", "192.0.2.9:5060"]);
}

#[test]
fn a_trunk_takes_so_many_calls_and_so_many_a_second() {
    let mut all = trunks(vec![v1::Trunk { calls_max: 2, ..trunk("t", vec![]) }]);
    let trunk_t = all.trunks[0].clone();
    let first = all.begin(0, &trunk_t).unwrap();
    let second = all.begin(0, &trunk_t).unwrap();
    assert_eq!(all.begin(0, &trunk_t).unwrap_err(), Full::Calls);
    drop(first);
    let third = all.begin(0, &trunk_t).unwrap();
    let taken_over = all.count("t").unwrap();
    assert_eq!(all.calls("t"), 3, "what stands is counted whatever the limit");
    drop((second, third, taken_over));
    assert_eq!(all.calls("t"), 0);

    let mut all = trunks(vec![v1::Trunk { calls_per_second_max: 5, ..trunk("t", vec![]) }]);
    let trunk_t = all.trunks[0].clone();
    let begun = |all: &mut Trunks, now_ms| (0..10).filter(|_| all.begin(now_ms, &trunk_t).is_ok()).count();
    assert_eq!((begun(&mut all, 1_000), begun(&mut all, 1_100), begun(&mut all, 2_000)), (5, 0, 5));
}

#[test]
fn another_view_keeps_the_places_of_calls_that_stand() {
    let of = |calls_max| v1::Trunk { calls_max, ..trunk("t", vec![]) };
    let mut trunks = trunks(vec![of(9)]);
    let old = trunks.trunks[0].clone();
    let slot = trunks.begin(0, &old).unwrap();
    trunks.set_view(1, &view(vec![of(1)]));
    let new = trunks.trunks[0].clone();
    assert_eq!(trunks.begin(1, &new).unwrap_err(), Full::Calls);
    trunks.set_view(2, &view(vec![]));
    assert_eq!(trunks.calls("t"), 1);
    drop(slot);
    trunks.set_view(3, &view(vec![]));
    assert_eq!(trunks.begin(3, &new).unwrap_err(), Full::Gone);
}

#[test]
fn a_source_belongs_to_the_trunk_that_names_it_best() {
    let of = |name: &str, address: &str| v1::Trunk { addresses: vec![address.into()], ..trunk(name, vec![]) };
    let trunks = trunks(vec![of("all", "0.0.0.0/0"), of("one", "192.0.2.7"), of("same", "192.0.2.7/32")]);
    let of = |ip: &str| trunks.trunk_of(ip.parse().unwrap()).map(|trunk| trunk.name.clone());
    assert_eq!(of("192.0.2.7").as_deref(), Some("one"), "of two the first by name");
    assert_eq!(of("192.0.2.8").as_deref(), Some("all"));
    assert_eq!(of("2001:db8::1"), None);
}

fn registering(expires_seconds: u32, hosts: Vec<v1::TrunkHost>) -> v1::Trunk {
    let registration = v1::TrunkRegistration { aor: "sip:u@example.net".into(), expires_seconds };
    v1::Trunk { registration: Some(registration), ..trunk("t", hosts) }
}

#[test]
fn a_registration_is_asked_for_once_and_then_the_endpoints() {
    let mut trunks = trunks(vec![registering(0, vec![host("192.0.2.1", 0, 0, 0)])]);
    assert_eq!(trunks.next_due_ms(), Some(0));
    let due = trunks.due(0);
    let Some(Due::Bind { id, bind }) = due.iter().find(|due| matches!(due, Due::Bind { .. })) else {
        panic!("{due:?}")
    };
    let asked = (bind.aor.as_str(), bind.expires_seconds, bind.registrar);
    assert_eq!(asked, ("sip:u@example.net", 300, udp("192.0.2.1:5060")));
    assert_eq!(trunks.standings(0)[0].bound, Some(false));
    trunks.bound(1_000, *id, 200, 100);
    assert_eq!(trunks.standings(1_000)[0].bound, Some(true));
    assert!(binds(trunks.due(1_000_000)).is_empty());
    trunks.bound(2_000, *id, 403, 0);
    assert_eq!(trunks.standings(2_000)[0].bound, Some(false));
    assert!(binds(trunks.due(2_000_000)).is_empty(), "a refusal is no matter of the host");
}

#[test]
fn a_registrar_that_dies_is_left_for_one_that_lives() {
    let hosts = vec![host("192.0.2.1", 0, 1, 0), host("192.0.2.2", 0, 2, 0)];
    let mut trunks = trunks(vec![registering(3_600, hosts)]);
    let due = trunks.due(0);
    let id = binds(due.clone())[0].0;
    let ping = pings(due)[&udp("192.0.2.1:5060")];
    trunks.bound(100, id, 200, 3_600);
    trunks.pinged(1_000, ping, 0, 0);
    trunks.bound(2_000, id, 408, 0);
    assert_eq!(trunks.next_due_ms(), Some(0));
    assert_eq!(binds(trunks.due(2_000)), [(id, udp("192.0.2.2:5060"))]);
    trunks.pinged(3_000, ping, 200, 0);
    assert!(binds(trunks.due(3_000)).is_empty(), "and is not moved back for nothing");
}

#[test]
fn a_registration_waits_for_the_address_of_its_host() {
    let mut trunks = trunks(vec![registering(0, vec![host("sip.example.net", 0, 0, 0)])]);
    assert!(trunks.due(0).is_empty());
    let name = trunks.names().remove(0);
    let hop = Hop { address: "192.0.2.1:5060".parse().unwrap(), priority: 0, weight: 0 };
    trunks.set_resolved(5, name.clone(), vec![hop]);
    let id = binds(trunks.due(5))[0].0;
    let hop = Hop { address: "192.0.2.2:5060".parse().unwrap(), priority: 0, weight: 0 };
    trunks.set_resolved(6, name, vec![hop]);
    assert_eq!(binds(trunks.due(6)), [(id, udp("192.0.2.2:5060"))], "it moved");
}

#[test]
fn what_is_not_wanted_any_more_is_taken_back() {
    let hosts = || vec![host("192.0.2.1", 0, 0, 0)];
    let mut trunks = trunks(vec![registering(0, hosts())]);
    let id = binds(trunks.due(0))[0].0;
    trunks.bound(1, id, 200, 300);
    trunks.set_view(2, &view(vec![registering(0, hosts())]));
    assert!(trunks.due(2).is_empty(), "the same stays");
    trunks.set_view(3, &view(vec![registering(600, hosts())]));
    let due = trunks.due(3);
    assert!(due.contains(&Due::Unbind { id }), "{due:?}");
    let other = binds(due)[0].0;
    assert_ne!(id, other);
    assert_eq!(trunks.leave(), [Due::Unbind { id: other }]);
    assert!(trunks.due(1_000_000).iter().all(|due| matches!(due, Due::Ping { .. })));
}

#[test]
fn it_is_known_when_something_is_due() {
    let mut trunks = trunks(vec![v1::Trunk { options_seconds: 60, ..trunk("t", vec![host("192.0.2.1", 0, 0, 0)]) }]);
    assert_eq!(trunks.next_due_ms(), Some(0));
    let id = *pings(trunks.due(0)).values().next().unwrap();
    trunks.pinged(500, id, 200, 0);
    assert_eq!(trunks.next_due_ms(), Some(60_500));
    assert_eq!(self::trunks(vec![]).next_due_ms(), None);
}
