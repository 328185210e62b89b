//! Stories of announcements: in order, once, over whatever is heard; and of a gateway that goes on with another one's leg.

mod common;

use std::path::Path;

use common::{Phone, key, start, wait_until};
use media::{Codec, Count, MediaConfig, MediaPlane, g711, music, tone};

/// A prompt of two frames, all of one level.
fn write_prompt(folder: &Path, name: &str, level: i16) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(folder.join(name).with_extension("wav"), spec).expect("create");
    (0..320).for_each(|_| writer.write_sample(level).expect("write"));
    writer.finalize().expect("finalize");
}

fn parts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What is heard until `n` frames of one level have come, without music; an announcement's frames are of one octet.
fn announced(phone: &Phone, n: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    wait_until("an announcement", || {
        let payload = phone.hear().payload;
        let flat = payload.iter().all(|octet| *octet == payload[0]);
        octets.extend(flat.then_some(payload[0]));
        octets.len() >= n
    });
    octets
}

#[test]
fn parts_are_said_in_order_once_and_the_music_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = [("position", 1_000), ("digit-1", 2_000), ("digit-2", 3_000), ("number-3", 4_000), ("thanks", 5_000)];
    prompts.iter().for_each(|(name, level)| write_prompt(folder.path(), name, *level));
    let config =
        MediaConfig { ports: 22_400..=22_409, prompts: Some(folder.path().to_owned()), ..MediaConfig::default() };
    let (plane, _events) = MediaPlane::start(config).expect("starts");
    let phone = Phone::new(Codec::Pcma);
    phone.open(&plane, key(1));
    plane.play(key(1), "music");
    let before = phone.hear().header;
    plane.say(key(1), 1, &parts(&["position", "#12", "nobody wrote this", "#3", "#4711x", "thanks"]));
    let expected: Vec<u8> =
        [1_000, 2_000, 3_000, 4_000, 5_000].iter().flat_map(|level| [g711::encode(Codec::Pcma, *level); 2]).collect();
    assert_eq!(announced(&phone, 10), expected);
    assert_eq!(plane.count(Count::PromptsMissing), 2);
    // The music is heard again, the stream is the same, and the same number is not said again; another is.
    plane.say(key(1), 1, &parts(&["position"]));
    plane.play(key(1), "music");
    let mut sound = Vec::new();
    for _ in 0..25 {
        let packet = phone.hear();
        assert_eq!(packet.header.ssrc, before.ssrc);
        sound.extend(packet.payload.iter().map(|octet| g711::decode(Codec::Pcma, *octet)));
    }
    for hz in music::DRONE_HZ {
        assert!(tone::amplitude(&sound, hz) > 0.5 * music::DRONE_AMPLITUDE, "{hz}");
    }
    plane.say(key(1), 2, &parts(&["thanks"]));
    assert_eq!(announced(&phone, 2), [g711::encode(Codec::Pcma, 5_000); 2]);
}

#[test]
fn who_is_told_what_nobody_has_recorded_hears_a_chime() {
    let (plane, _events) = start(22_410..=22_419);
    let phone = Phone::new(Codec::Pcmu);
    phone.open(&plane, key(1));
    // Over nothing at all, and before the other end is known.
    plane.say(key(1), 7, &parts(&["welcome", "#5"]));
    let sound: Vec<i16> =
        (0..25).flat_map(|_| phone.hear().payload).map(|octet| g711::decode(Codec::Pcmu, octet)).collect();
    assert_eq!(plane.count(Count::PromptsMissing), 2);
    for (half, hz) in sound.chunks(2_000).zip(music::CHIME_HZ) {
        assert!(tone::amplitude(half, hz) > 1_000.0, "{hz}");
    }
    assert!(phone.hears_nothing());
}

#[test]
fn who_talks_is_told_something_and_hears_the_other_again_who_hears_everything() {
    let (plane, _events) = start(22_420..=22_429);
    let (mut a, mut b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcmu));
    let (port_a, port_b) = (a.open(&plane, key(1)), b.open(&plane, key(2)));
    plane.join(key(1), key(2));
    plane.say(key(1), 1, &parts(&["no such"]));
    let words = [0x11; 160];
    let (mut chimed, mut heard_again) = (false, false);
    wait_until("a hears the chime and then b again", || {
        a.say(port_a, &[0x22; 160]);
        b.say(port_b, &words);
        assert_eq!(b.hear().payload, [0x22; 160]);
        while let Some(packet) = a.take() {
            chimed |= packet.payload != words;
            heard_again |= chimed && packet.payload == words;
        }
        heard_again
    });
    // A join ends what is said: nobody waits for the end of an announcement.
    plane.say(key(1), 2, &parts(&["no such"]));
    plane.silence(key(1));
    plane.join(key(1), key(2));
    wait_until("both hear each other", || {
        b.say(port_b, &words);
        a.take().is_some_and(|packet| packet.payload == words)
    });
}

#[test]
fn another_gateway_speaks_first_and_passes_on_from_the_first_packet() {
    let (former, _events) = start(22_430..=22_439);
    let (mut a, b) = (Phone::new(Codec::Pcmu), Phone::new(Codec::Pcma));
    a.open(&former, key(1));
    former.play(key(1), "music");
    let before = a.hear().header;
    drop(former);
    a.forget();
    // It knows what the passport says and has heard nobody.
    let (plane, _events) = start(22_440..=22_449);
    let port = a.open(&plane, key(1));
    plane.play(key(1), "music");
    let first = a.hear().header;
    assert!(first.marker);
    assert_ne!(first.ssrc, before.ssrc);
    b.open(&plane, key(2));
    plane.join(key(1), key(2));
    // A command of the handle is done before what comes after its effect: once nothing more is played, the join stands.
    wait_until("the music is over", || {
        a.forget();
        a.hears_nothing()
    });
    // The far end goes on with the stream that it has: its very first packet here is heard.
    a.next.sequence = 4_711;
    a.say(port, &[0x33; 160]);
    let heard = b.hear();
    assert_eq!(heard.payload, [g711::convert(Codec::Pcmu, Codec::Pcma, 0x33); 160]);
    assert!(heard.header.marker);
    assert_eq!(plane.count(Count::PacketsReceived), 1);
    // The same again, as a re-INVITE's answer says it, changes nothing.
    let sent = plane.count(Count::Strangers);
    plane.connect(key(1), a.remote());
    a.say(port, &[0x34; 160]);
    assert_eq!(b.hear().header.sequence, heard.header.sequence.wrapping_add(1));
    assert_eq!(plane.count(Count::Strangers), sent);
}
