//! Stories of music: who hears it, whether it is the right tune, and that the stream never breaks.

mod common;

use common::{Phone, key, start, wait_until};
use media::{Codec, Count, Direction, Remote, g711, music, tone};

fn decoded(phone: &Phone, frames: usize) -> Vec<i16> {
    let mut samples = Vec::new();
    for _ in 0..frames {
        let packet = phone.hear();
        assert_eq!(packet.header.payload_type, phone.codec.payload_type());
        assert_eq!(packet.payload.len(), 160);
        samples.extend(packet.payload.iter().map(|octet| g711::decode(phone.codec, *octet)));
    }
    samples
}

#[test]
fn music_plays_in_both_laws_and_has_the_documented_tones() {
    let (plane, _events) = start(22_000..=22_009);
    let phones = [Phone::new(Codec::Pcmu), Phone::new(Codec::Pcma)];
    for (phone, leg) in phones.iter().zip(1..) {
        phone.open(&plane, key(leg));
        plane.play(key(leg), "music");
    }
    for phone in &phones {
        let sound = decoded(phone, 25);
        for hz in music::DRONE_HZ {
            assert!(tone::amplitude(&sound, hz) > 0.5 * music::DRONE_AMPLITUDE, "{hz}");
        }
        for hz in [325.0, 1_700.0, 2_500.0] {
            assert!(tone::amplitude(&sound, hz) < 0.2 * music::DRONE_AMPLITUDE, "{hz}");
        }
    }
}

#[test]
fn everyone_hears_the_loop_at_the_same_place() {
    let (plane, _events) = start(22_010..=22_019);
    let (early, late) = (Phone::new(Codec::Pcma), Phone::new(Codec::Pcma));
    early.open(&plane, key(1));
    plane.play(key(1), "music");
    decoded(&early, 10);
    late.open(&plane, key(2));
    plane.play(key(2), "music");
    // The early one may have heard the very first of them already.
    decoded(&late, 2);
    let first = late.hear().payload;
    let mut met = false;
    wait_until("the early one hears what the late one heard", || {
        met = early.try_hear(common::QUIET).is_some_and(|packet| packet.payload == first);
        met
    });
}

#[test]
fn a_stream_is_one_spurt_in_even_steps_and_the_marker_says_where_it_begins() {
    let (plane, _events) = start(22_020..=22_029);
    let phone = Phone::new(Codec::Pcmu);
    phone.open(&plane, key(1));
    plane.play(key(1), "music");
    plane.play(key(1), "music");
    let mut last = phone.hear().header;
    assert!(last.marker);
    for _ in 0..20 {
        let next = phone.hear().header;
        assert!(!next.marker);
        assert_eq!(next.sequence, last.sequence.wrapping_add(1));
        // A machine under load may leave frames out; time goes on in whole frames all the same.
        assert_eq!(next.timestamp.wrapping_sub(last.timestamp) % 160, 0);
        assert_eq!(next.ssrc, last.ssrc);
        last = next;
    }
}

#[test]
fn music_begins_when_the_far_end_is_known_and_not_before() {
    let (plane, _events) = start(22_030..=22_039);
    let phone = Phone::new(Codec::Pcma);
    plane.open(key(1)).expect("a port");
    plane.play(key(1), "no such prompt");
    assert!(phone.hears_nothing());
    assert_eq!(plane.count(Count::PacketsSent), 0);
    plane.connect(key(1), phone.remote());
    assert!(phone.hear().header.marker);
    plane.silence(key(1));
    wait_until("silence", || {
        phone.forget();
        phone.hears_nothing()
    });
}

#[test]
fn who_does_not_listen_is_sent_nothing_and_later_all_of_it() {
    let (plane, _events) = start(22_040..=22_049);
    let phone = Phone::new(Codec::Pcma);
    phone.open(&plane, key(1));
    plane.play(key(1), "music");
    let before = phone.hear().header;
    for direction in [Direction::SendOnly, Direction::Inactive] {
        plane.connect(key(1), Remote { direction, ..phone.remote() });
        wait_until("hold", || {
            phone.forget();
            phone.hears_nothing()
        });
    }
    for direction in [Direction::RecvOnly, Direction::SendRecv] {
        plane.connect(key(1), Remote { direction, ..phone.remote() });
        let after = phone.hear().header;
        assert_eq!(after.ssrc, before.ssrc);
        assert!((after.timestamp.wrapping_sub(before.timestamp) as i32) > 0);
    }
    // An SDP of RFC 2543 holds with an address.
    plane.connect(key(1), Remote { address: "0.0.0.0:4000".parse().expect("address"), ..phone.remote() });
    wait_until("hold", || {
        phone.forget();
        phone.hears_nothing()
    });
}

#[test]
fn a_prompt_of_a_file_plays_in_a_loop() {
    let folder = tempfile::tempdir().expect("folder");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(folder.path().join("hello.wav"), spec).expect("create");
    (0..320).for_each(|n| writer.write_sample(if n < 160 { 1_000i16 } else { -1_000 }).expect("write"));
    writer.finalize().expect("finalize");
    std::fs::write(folder.path().join("bad.wav"), b"not a WAV").expect("write");
    let config =
        media::MediaConfig { ports: 22_050..=22_059, prompts: Some(folder.path().to_owned()), ..Default::default() };
    let (plane, _events) = media::MediaPlane::start(config).expect("starts");
    assert!(plane.warnings().iter().any(|warning| warning.contains("bad.wav")), "{:?}", plane.warnings());
    assert!(plane.has_prompt("hello") && plane.has_prompt("music") && !plane.has_prompt("bad"));
    let phone = Phone::new(Codec::Pcma);
    phone.open(&plane, key(1));
    plane.play(key(1), "hello");
    let (high, low) = (g711::encode(Codec::Pcma, 1_000), g711::encode(Codec::Pcma, -1_000));
    let heard: Vec<_> = (0..6).map(|_| phone.hear().payload).collect();
    assert!(heard.contains(&vec![high; 160]) && heard.contains(&vec![low; 160]));
    assert!(heard.iter().all(|payload| *payload == [high; 160] || *payload == [low; 160]));
}

#[test]
fn two_thousand_legs_on_one_thread_all_get_music() {
    const LEGS: u32 = 2_000;
    let (plane, _events) = start(12_000..=13_999);
    let sink = Phone::new(Codec::Pcmu);
    socket2::SockRef::from(&sink.socket).set_recv_buffer_size(4 << 20).expect("buffer");
    for leg in 0..LEGS {
        sink.open(&plane, key(leg));
        plane.play(key(leg), "music");
    }
    let mut heard = std::collections::HashMap::new();
    wait_until("three packets from each leg", || {
        for _ in 0..LEGS {
            let Some(packet) = sink.try_hear(common::QUIET) else { break };
            *heard.entry(packet.from.port()).or_insert(0u32) += 1;
        }
        heard.len() == LEGS as usize && heard.values().all(|packets| *packets >= 3)
    });
    assert_eq!(plane.open_legs(), LEGS as usize);
    assert_eq!(plane.count(Count::SendErrors), 0);
}
