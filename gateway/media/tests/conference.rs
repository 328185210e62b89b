//! Stories of a conference: three tones, each heard by the two others and by nobody else.

mod common;

use std::f64::consts::TAU;

use common::{Phone, key, next_event, start, wait_until};
use media::{Codec, Count, MediaEvent, MediaKey, MediaPlane, g711, tone};

const LEVEL: f64 = 4_000.0;
/// A third of a second.
const LISTENED: usize = 16;

/// A far end that sends a tone in packets of its own length, and what it heard.
struct Singer {
    phone: Phone,
    port: u16,
    hz: f64,
    packet_samples: u32,
    sung: u32,
    owed: u32,
    heard: Vec<Vec<i16>>,
}

impl Singer {
    fn new(plane: &MediaPlane, leg: u32, codec: Codec, hz: f64, packet_ms: u32) -> Singer {
        let phone = Phone::new(codec);
        let port = phone.open(plane, key(leg));
        Singer { phone, port, hz, packet_samples: packet_ms * 8, sung: 0, owed: 0, heard: Vec::new() }
    }

    /// Twenty milliseconds go by.
    fn sing(&mut self) {
        self.owed += 160;
        while self.owed >= self.packet_samples {
            self.owed -= self.packet_samples;
            let samples = self.sung..self.sung + self.packet_samples;
            let payload: Vec<u8> = samples
                .map(|n| (LEVEL * (TAU * self.hz * f64::from(n) / 8_000.0).sin()) as i16)
                .map(|sample| g711::encode(self.phone.codec, sample))
                .collect();
            self.sung += self.packet_samples;
            self.phone.send(self.port, self.phone.next, &payload);
            self.phone.next.sequence = self.phone.next.sequence.wrapping_add(1);
            self.phone.next.timestamp = self.phone.next.timestamp.wrapping_add(self.packet_samples);
        }
        while let Some(packet) = self.phone.take() {
            let payload = packet.payload.iter();
            self.heard.push(payload.map(|octet| g711::decode(self.phone.codec, *octet)).collect());
        }
    }

    /// Whether of late it has heard just these.
    fn hears(&self, hz: &[f64]) -> bool {
        let late: Vec<i16> = self.heard[self.heard.len().saturating_sub(LISTENED)..].concat();
        late.len() == LISTENED * 160
            && [400.0, 700.0, 1_100.0].iter().all(|tone_hz| {
                let level = tone::amplitude(&late, *tone_hz);
                if hz.contains(tone_hz) { level > 0.7 * LEVEL } else { level < 0.1 * LEVEL }
            })
    }
}

/// Sings in time until it is so.
fn sing_until(what: &str, singers: &mut [Singer], condition: impl Fn(&[Singer]) -> bool) {
    let began = std::time::Instant::now();
    let mut frames = 0;
    wait_until(what, || {
        while frames <= began.elapsed().as_millis() / 20 {
            frames += 1;
            singers.iter_mut().for_each(Singer::sing);
        }
        condition(singers)
    });
}

fn keys(legs: &[u32]) -> Vec<MediaKey> {
    legs.iter().copied().map(key).collect()
}

#[test]
fn three_tones_are_heard_by_the_others_whatever_their_law_and_packet_time() {
    let (plane, mut events) = start(22_300..=22_309);
    let mut singers = [
        Singer::new(&plane, 1, Codec::Pcmu, 400.0, 20),
        Singer::new(&plane, 2, Codec::Pcma, 700.0, 30),
        Singer::new(&plane, 3, Codec::Pcma, 1_100.0, 10),
    ];
    // First two talk, then the third is brought in.
    plane.join(key(1), key(2));
    sing_until("two hear each other", &mut singers[..2], |both| !both.iter().any(|one| one.heard.is_empty()));
    plane.meet(&keys(&[1, 2, 3]));
    plane.meet(&keys(&[1, 2, 3]));
    sing_until("each hears the two others", &mut singers, |all| {
        all[0].hears(&[700.0, 1_100.0]) && all[1].hears(&[400.0, 1_100.0]) && all[2].hears(&[400.0, 700.0])
    });
    // A key is heard in a conference too.
    let port = singers[2].port;
    singers[2].phone.press(port, 5, |_| false);
    assert!(matches!(next_event(&mut events), MediaEvent::Digit { key: it, digit: '5', .. } if it == key(3)));
    // The first hangs up: the others go on.
    plane.close(key(1));
    sing_until("the two who are left hear each other", &mut singers, |all| {
        all[1].hears(&[1_100.0]) && all[2].hears(&[700.0])
    });
    // One is told something: it hears that instead, and is heard meanwhile.
    plane.say(key(2), 1, &["not there".to_owned()]);
    wait_until("counted", || plane.count(Count::PromptsMissing) == 1);
    sing_until("the chime is over", &mut singers, |all| all[1].hears(&[1_100.0]) && all[2].hears(&[700.0]));
    plane.meet(&keys(&[3]));
    wait_until("one alone is no conference", || plane.count(Count::CommandsIgnored) == 1);
    plane.silence(key(3));
    for singer in &singers[1..] {
        wait_until("silence", || {
            singer.phone.forget();
            singer.phone.hears_nothing()
        });
    }
}

#[test]
fn a_conference_sends_one_unbroken_stream_to_each() {
    let (plane, _events) = start(22_310..=22_319);
    let mut phones: Vec<Phone> = (0..8).map(|_| Phone::new(Codec::Pcma)).collect();
    let ports: Vec<u16> = phones.iter().zip(1..).map(|(phone, leg)| phone.open(&plane, key(leg))).collect();
    plane.play(key(1), "music");
    let mut last = phones[0].hear().header;
    plane.meet(&keys(&[1, 2, 3, 4, 5, 6, 7, 8]));
    let mut markers = 0;
    for n in 0..60 {
        phones.iter_mut().zip(&ports).for_each(|(phone, port)| phone.say(*port, &[0x55; 160]));
        if n == 30 {
            plane.meet(&keys(&[1, 2]));
        }
        let next = phones[0].hear().header;
        assert_eq!((next.ssrc, next.sequence), (last.ssrc, last.sequence.wrapping_add(1)));
        assert!((next.timestamp.wrapping_sub(last.timestamp) as i32) >= 160);
        markers += u32::from(next.marker);
        last = next;
    }
    assert!(markers <= 1, "the music's end is all that there is to mark");
    wait_until("who is not named hears nothing", || {
        phones[7].forget();
        phones[7].hears_nothing()
    });
}
