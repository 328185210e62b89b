//! Stories of two far ends who talk: every octet arrives, in the right law, in one unbroken stream.

mod common;

use common::{DTMF, Phone, key, next_event, start, wait_until};
use media::rtp::Header;
use media::{Codec, Count, Direction, MediaEvent, MediaPlane, Remote, g711};

fn speech(seed: u64) -> Vec<Vec<u8>> {
    let mut dice = fastrand::Rng::with_seed(seed);
    (0..50).map(|_| (0..160).map(|_| dice.u8(..)).collect()).collect()
}

/// Tells of the second one's far end, and returns when it is known. What is asked of a leg is done in order, so a hold that has come
/// and gone shows it. `a` is joined to it, and says `[9; 160]` last.
fn tell(plane: &MediaPlane, remote: Remote, (a, port_a): (&mut Phone, u16), b: &Phone) -> Header {
    plane.connect(key(2), Remote { direction: Direction::SendOnly, ..remote });
    wait_until("the hold is known", || {
        b.forget();
        a.say(port_a, &[8; 160]);
        b.hears_nothing()
    });
    plane.connect(key(2), remote);
    wait_until("the hold is over", || {
        a.say(port_a, &[8; 160]);
        b.try_hear(common::QUIET).is_some()
    });
    a.say(port_a, &[9; 160]);
    std::iter::repeat_with(|| b.hear()).find(|heard| heard.payload == [9; 160]).expect("it goes on for ever").header
}

/// Joined, and each has been heard once, so both are latched.
fn joined(plane: &MediaPlane, a: &mut Phone, b: &mut Phone) -> (u16, u16) {
    let ports = (a.open(plane, key(1)), b.open(plane, key(2)));
    plane.join(key(1), key(2));
    wait_until("both hear each other", || {
        a.say(ports.0, &[0x55; 160]);
        b.say(ports.1, &[0x55; 160]);
        let heard = a.try_hear(common::QUIET).is_some();
        b.try_hear(common::QUIET).is_some() && heard
    });
    a.forget();
    b.forget();
    ports
}

#[test]
fn in_one_law_every_octet_arrives_both_ways() {
    let (plane, _events) = start(22_100..=22_109);
    let (mut a, mut b) = (Phone::new(Codec::Pcma), Phone::new(Codec::Pcma));
    let (port_a, port_b) = joined(&plane, &mut a, &mut b);
    for (mine, yours) in speech(1).iter().zip(speech(2)) {
        a.say(port_a, mine);
        b.say(port_b, &yours);
        assert_eq!(&b.hear().payload, mine);
        assert_eq!(a.hear().payload, yours);
    }
}

#[test]
fn between_the_laws_each_octet_becomes_its_nearest() {
    let (plane, _events) = start(22_110..=22_119);
    let (mut a, mut b) = (Phone::new(Codec::Pcma), Phone::new(Codec::Pcmu));
    let (port_a, port_b) = joined(&plane, &mut a, &mut b);
    for (mine, yours) in speech(1).iter().zip(speech(2)) {
        a.say(port_a, mine);
        b.say(port_b, &yours);
        let (at_b, at_a) = (b.hear(), a.hear());
        assert_eq!((at_b.header.payload_type, at_a.header.payload_type), (0, 8));
        let expected = |from, to, octets: &[u8]| -> Vec<u8> {
            octets.iter().map(|octet| g711::encode(to, g711::decode(from, *octet))).collect()
        };
        assert!(close(Codec::Pcmu, &at_b.payload, &expected(Codec::Pcma, Codec::Pcmu, mine)));
        assert!(close(Codec::Pcma, &at_a.payload, &expected(Codec::Pcmu, Codec::Pcma, &yours)));
    }
}

/// Equal but for the sign of zero.
fn close(codec: Codec, ours: &[u8], expected: &[u8]) -> bool {
    ours.len() == expected.len()
        && ours.iter().zip(expected).all(|(ours, expected)| {
            (i32::from(g711::decode(codec, *ours)) - i32::from(g711::decode(codec, *expected))).abs() <= 16
        })
}

#[test]
fn from_music_to_talk_to_music_the_stream_is_one() {
    let (plane, _events) = start(22_120..=22_129);
    let (caller, mut agent) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcmu));
    caller.open(&plane, key(1));
    plane.play(key(1), "music");
    let mut heard: Vec<Header> = (0..10).map(|_| caller.hear().header).collect();
    let port = agent.open(&plane, key(2));
    plane.join(key(1), key(2));
    let words = [0x11; 160];
    let mut talk = 0;
    wait_until("ten words of the agent", || {
        agent.say(port, &words);
        while let Some(packet) = caller.try_hear(std::time::Duration::from_millis(20)) {
            talk += u32::from(packet.payload == words);
            heard.push(packet.header);
        }
        talk >= 10
    });
    // The agent hangs up; the caller waits again.
    plane.close(key(2));
    plane.play(key(1), "music");
    heard.extend((0..10).map(|_| caller.hear().header));
    assert!(heard.iter().all(|header| header.ssrc == heard[0].ssrc));
    for pair in heard.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((1..80_000).contains(&step), "{step}");
    }
    assert_eq!(heard.iter().filter(|header| header.marker).count(), 3, "music, talk, music");
}

#[test]
fn a_key_is_passed_on_under_the_other_side_s_number_and_reported_once() {
    let (plane, mut events) = start(22_130..=22_139);
    let (mut a, mut b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcmu));
    let (port_a, _) = joined(&plane, &mut a, &mut b);
    tell(&plane, Remote { dtmf_payload: Some(96), ..b.remote() }, (&mut a, port_a), &b);
    a.press(port_a, 11, |_| false);
    let heard: Vec<_> = (0..8).map(|_| b.hear()).collect();
    assert!(heard.iter().all(|packet| packet.header.payload_type == 96 && packet.payload[0] == 11));
    assert!(heard.iter().all(|packet| packet.header.timestamp == heard[0].header.timestamp));
    assert!(heard[0].header.marker && heard[1..].iter().all(|packet| !packet.header.marker));
    assert_eq!(next_event(&mut events), MediaEvent::Digit { key: key(1), digit: '#', duration_ms: 120 });
    assert!(b.hears_nothing() && events.try_recv().is_err());
}

#[test]
fn a_key_that_the_other_side_does_not_know_is_reported_and_leaves_no_gap() {
    let (plane, mut events) = start(22_140..=22_149);
    let (mut a, mut b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcmu));
    let (port_a, _) = joined(&plane, &mut a, &mut b);
    let before = tell(&plane, Remote { dtmf_payload: None, ..b.remote() }, (&mut a, port_a), &b);
    a.press(port_a, 5, |_| false);
    a.say(port_a, &[2; 160]);
    let after = b.hear();
    assert_eq!(after.payload, [2; 160]);
    assert_eq!(after.header.sequence, before.sequence.wrapping_add(1));
    assert_eq!(next_event(&mut events), MediaEvent::Digit { key: key(1), digit: '5', duration_ms: 120 });
    assert_eq!(plane.count(Count::Swallowed), 8);
}

#[test]
fn who_holds_hears_nothing_and_who_is_held_is_not_heard() {
    let (plane, _events) = start(22_150..=22_159);
    let (mut a, mut b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcmu));
    let (port_a, port_b) = joined(&plane, &mut a, &mut b);
    // b holds: it sends (its own music), and must not be sent to.
    plane.connect(key(2), Remote { direction: Direction::SendOnly, ..b.remote() });
    wait_until("the hold is known", || {
        b.forget();
        a.say(port_a, &[1; 160]);
        b.hears_nothing()
    });
    b.say(port_b, &[3; 160]);
    assert_eq!(a.hear().payload, [3; 160]);
    // b only listens: what comes from it is not passed on.
    plane.connect(key(2), Remote { direction: Direction::RecvOnly, ..b.remote() });
    wait_until("b listens again", || {
        a.say(port_a, &[4; 160]);
        b.try_hear(common::QUIET).is_some()
    });
    b.say(port_b, &[5; 160]);
    assert!(a.hears_nothing());
    plane.connect(key(2), Remote { direction: Direction::Inactive, ..b.remote() });
    wait_until("nothing flows", || {
        b.forget();
        a.say(port_a, &[6; 160]);
        b.hears_nothing()
    });
}

#[test]
fn a_third_who_is_joined_takes_the_place_and_the_left_one_hears_nothing() {
    let (plane, _events) = start(22_160..=22_169);
    let (mut a, mut b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcmu));
    let (port_a, port_b) = joined(&plane, &mut a, &mut b);
    let c = Phone::new(Codec::Pcmu);
    c.open(&plane, key(3));
    plane.join(key(1), key(3));
    wait_until("c hears a", || {
        a.say(port_a, &[1; 160]);
        c.try_hear(common::QUIET).is_some()
    });
    b.forget();
    a.forget();
    a.say(port_a, &[2; 160]);
    b.say(port_b, &[3; 160]);
    assert!(b.hears_nothing() && a.hears_nothing());
    assert_eq!(plane.count(Count::CommandsIgnored), 0);
    plane.join(key(1), key(1));
    plane.join(key(1), key(9));
    wait_until("nonsense is counted", || plane.count(Count::CommandsIgnored) == 2);
}

#[test]
fn loss_on_the_way_in_is_loss_on_the_way_out() {
    let (plane, _events) = start(22_170..=22_179);
    let (mut a, mut b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcmu));
    let (port_a, _) = joined(&plane, &mut a, &mut b);
    a.say(port_a, &[1; 160]);
    let before = b.hear().header;
    a.next.sequence = a.next.sequence.wrapping_add(3);
    a.next.timestamp = a.next.timestamp.wrapping_add(480);
    a.say(port_a, &[2; 160]);
    let after = b.hear().header;
    assert_eq!(after.sequence.wrapping_sub(before.sequence), 4);
    assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 640);
    // Comfort noise is not for everyone's ears and leaves no gap.
    let noise = Header { payload_type: 13, ..a.next };
    a.send(port_a, noise, &[40]);
    a.next.sequence = a.next.sequence.wrapping_add(1);
    a.say(port_a, &[3; 160]);
    assert_eq!(b.hear().header.sequence.wrapping_sub(after.sequence), 1);
    let event = Header { payload_type: DTMF, ..a.next };
    a.send(port_a, event, &[]);
    assert!(b.hear().payload.is_empty());
}

#[test]
fn two_far_ends_on_ipv6_talk_too() {
    let config =
        media::MediaConfig { ip: std::net::Ipv6Addr::LOCALHOST.into(), ports: 22_180..=22_189, ..Default::default() };
    let (Ok(a), Ok(b)) = (std::net::UdpSocket::bind("[::1]:0"), std::net::UdpSocket::bind("[::1]:0")) else {
        // This machine has no IPv6.
        return;
    };
    let (plane, _events) = MediaPlane::start(config).expect("starts");
    let mut ports = Vec::new();
    for (socket, leg) in [(&a, 1), (&b, 2)] {
        ports.push(plane.open(key(leg)).expect("a port"));
        let address = socket.local_addr().expect("bound");
        let remote =
            Remote { address, codec: Codec::Pcmu, dtmf_payload: None, direction: Direction::SendRecv, srtp: None };
        plane.connect(key(leg), remote);
    }
    plane.join(key(1), key(2));
    let mut packet = Header { marker: false, payload_type: 0, sequence: 1, timestamp: 1, ssrc: 1 }.to_bytes().to_vec();
    packet.extend_from_slice(&[7; 160]);
    b.set_nonblocking(true).expect("nonblocking");
    let mut buffer = [0; 200];
    wait_until("b hears a", || {
        a.send_to(&packet, ("::1", ports[0])).expect("send");
        b.recv(&mut buffer).is_ok()
    });
    assert_eq!(buffer[12..172], [7; 160]);
}
