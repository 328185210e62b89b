//! Stories of what a leg listens to: keys under loss, strangers, NAT, garbage; and of ports.

mod common;

use common::{DTMF, Phone, key, next_event, start, wait_until};
use media::rtp::Header;
use media::{Codec, Count, Direction, MediaConfig, MediaError, MediaEvent, MediaPlane, Remote};

fn digit(event: MediaEvent) -> char {
    match event {
        MediaEvent::Digit { digit, .. } => digit,
        MediaEvent::Silent { .. } => panic!("not silent"),
    }
}

#[test]
fn each_press_is_heard_once_whatever_is_lost() {
    let (plane, mut events) = start(22_200..=22_209);
    let mut phone = Phone::new(Codec::Pcmu);
    let port = phone.open(&plane, key(1));
    let mut dice = fastrand::Rng::with_seed(11);
    let keys = "159*#0DA";
    for expected in keys.chars() {
        let event = "0123456789*#ABCD".find(expected).expect("a key") as u8;
        let survivor = dice.usize(..8);
        let losses: Vec<bool> = (0..8).map(|n| n != survivor && dice.bool()).collect();
        phone.press(port, event, |n| losses[n]);
        assert_eq!(digit(next_event(&mut events)), expected, "{losses:?}");
    }
    assert!(phone.hears_nothing());
    assert!(events.try_recv().is_err());
}

#[test]
fn a_press_whose_ends_are_all_lost_is_heard_all_the_same() {
    let (plane, mut events) = start(22_210..=22_219);
    let mut phone = Phone::new(Codec::Pcmu);
    let port = phone.open(&plane, key(1));
    phone.press(port, 3, |n| n >= 5);
    assert_eq!(next_event(&mut events), MediaEvent::Digit { key: key(1), digit: '3', duration_ms: 100 });
}

#[test]
fn strangers_are_counted_and_change_nothing() {
    let (plane, mut events) = start(22_220..=22_229);
    let (mut a, b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcmu));
    let mut stranger = Phone::at("127.0.0.2", Codec::Pcmu);
    let port = a.open(&plane, key(1));
    b.open(&plane, key(2));
    plane.join(key(1), key(2));
    stranger.say(port, &[9; 160]);
    wait_until("counted before anyone spoke", || plane.count(Count::Strangers) == 1);
    a.say(port, &[1; 160]);
    assert_eq!(b.hear().payload, [1; 160]);
    // Not even from the same machine, once the far end is known.
    let mut neighbour = Phone::new(Codec::Pcmu);
    neighbour.say(port, &[9; 160]);
    neighbour.press(port, 1, |_| false);
    wait_until("counted after", || plane.count(Count::Strangers) == 10);
    assert!(b.hears_nothing() && events.try_recv().is_err());
    plane.play(key(1), "music");
    assert_eq!(a.hear().payload.len(), 160);
    assert!(neighbour.hears_nothing());
}

#[test]
fn a_phone_behind_nat_is_found_by_its_packets() {
    let (plane, _events) = start(22_230..=22_239);
    let mut phone = Phone::new(Codec::Pcma);
    let port = plane.open(key(1)).expect("a port");
    let told = Remote { address: "192.168.17.5:4000".parse().expect("address"), ..phone.remote() };
    plane.connect(key(1), told);
    plane.play(key(1), "music");
    assert!(phone.hears_nothing());
    phone.say(port, &[1; 160]);
    assert_eq!(phone.hear().payload.len(), 160);
    // A hold and its end: the phone may come back from another port.
    plane.connect(key(1), Remote { direction: Direction::RecvOnly, ..told });
    plane.connect(key(1), told);
    let mut moved = Phone::new(Codec::Pcma);
    wait_until("the moved phone hears", || {
        moved.say(port, &[1; 160]);
        moved.try_hear(common::QUIET).is_some()
    });
    phone.forget();
    assert!(phone.hears_nothing());
}

#[test]
fn garbage_is_counted_and_never_hurts() {
    let (plane, _events) = start(22_240..=22_249);
    let mut phone = Phone::new(Codec::Pcmu);
    let other = Phone::new(Codec::Pcmu);
    let port = phone.open(&plane, key(1));
    other.open(&plane, key(2));
    plane.join(key(1), key(2));
    phone.send_bytes(port, &[0x80, 200, 0, 1, 0, 0, 0, 0]);
    phone.send(port, Header { marker: false, payload_type: 70, ..phone.next }, &[1; 160]);
    phone.send_bytes(port, &[]);
    phone.send_bytes(port, &[0xA5; 4_000]);
    wait_until("counted", || plane.count(Count::Rtcp) == 1 && plane.count(Count::Bad) == 3);
    let mut dice = fastrand::Rng::with_seed(1);
    let mut buffer = vec![0u8; 2_100];
    for n in 0..20_000 {
        let length = if dice.bool() { dice.usize(..64) } else { dice.usize(..=buffer.len()) };
        dice.fill(&mut buffer[..length]);
        if length > 1 && dice.u8(..4) > 0 {
            buffer[0] = 0x80 | (buffer[0] & 0x3F);
            buffer[1] = dice.choice([0, 8, 13, DTMF, 0x80 | DTMF]).expect("one");
        }
        phone.send_bytes(port, &buffer[..length]);
        if n % 200 == 0 {
            other.forget();
            std::thread::yield_now();
        }
    }
    wait_until("it still works", || {
        phone.next.sequence = phone.next.sequence.wrapping_add(5_000);
        phone.say(port, &[42; 160]);
        (0..50).any(|_| other.try_hear(common::QUIET).is_some_and(|packet| packet.payload == [42; 160]))
    });
}

#[test]
fn silence_of_a_far_end_is_told_once_until_it_speaks_again() {
    let config = MediaConfig { ports: 22_250..=22_259, silent_ms: 60, ..MediaConfig::default() };
    let (plane, mut events) = MediaPlane::start(config).expect("starts");
    let mut phone = Phone::new(Codec::Pcmu);
    let held = Phone::new(Codec::Pcmu);
    let port = phone.open(&plane, key(1));
    plane.open(key(2)).expect("a port");
    plane.connect(key(2), Remote { direction: Direction::Inactive, ..held.remote() });
    for _ in 0..2 {
        let MediaEvent::Silent { key: whose, for_ms } = next_event(&mut events) else { panic!("silent") };
        assert_eq!(whose, key(1));
        assert!(for_ms >= 60);
        assert!(held.hears_nothing() && events.try_recv().is_err());
        phone.say(port, &[1; 160]);
    }
}

#[test]
fn ports_are_the_range_s_even_ones_first_and_come_back_when_closed() {
    let (plane, _events) = start(4_761..=4_765);
    let taken = std::net::UdpSocket::bind(("127.0.0.1", 4_762)).expect("bind");
    let ports: Vec<u16> = (1..=4).map(|leg| plane.open(key(leg)).expect("a port")).collect();
    assert_eq!(ports, [4_764, 4_761, 4_763, 4_765]);
    assert_eq!(plane.open(key(1)).expect("the same"), 4_764);
    assert!(matches!(plane.open(key(5)), Err(MediaError::NoPort)));
    drop(taken);
    assert_eq!(plane.open(key(5)).expect("free again"), 4_762);
    plane.close(key(2));
    plane.close(key(2));
    let mut port = None;
    wait_until("the closed leg's port", || {
        port = plane.open(key(6)).ok();
        port.is_some()
    });
    assert_eq!(port, Some(4_761));
    assert_eq!(plane.open_legs(), 5);
    drop(plane);
    let again = std::net::UdpSocket::bind(("127.0.0.1", 4_764));
    assert!(again.is_ok(), "the last handle closes all");
}

#[test]
fn calls_on_several_threads_talk_within_themselves() {
    let config = MediaConfig { ports: 22_270..=22_299, threads: 3, ..MediaConfig::default() };
    let (plane, _events) = MediaPlane::start(config).expect("starts");
    for call in 0..5 {
        let (mut a, b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcma));
        let keys = [1, 2].map(|leg| media::MediaKey { call, leg });
        let port = a.open(&plane, keys[0]);
        b.open(&plane, keys[1]);
        plane.join(keys[0], keys[1]);
        wait_until("b hears a", || {
            a.say(port, &[1; 160]);
            b.try_hear(common::QUIET).is_some()
        });
    }
    assert!(matches!(
        MediaPlane::start(MediaConfig { threads: 0, ..MediaConfig::default() }),
        Err(MediaError::Config(_))
    ));
}
