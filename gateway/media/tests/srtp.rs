//! Stories of SRTP: a far end with keys talks to one without, and nobody else gets a word in.

mod common;

use common::{Phone, key, start, wait_until};
use media::rtp::{self, Header};
use media::{Codec, Count, MediaPlane, Remote, Srtp, g711};
use sipx_rtp::srtp::{Context, Profile};

const KEYS: Srtp = Srtp { ours: [3; 30], theirs: [4; 30] };

/// A far end with keys.
struct Secret {
    phone: Phone,
    port: u16,
    sending: Context,
    hearing: Context,
}

fn context(key: &[u8; 30]) -> Context {
    Context::new(Profile::AesCm128HmacSha1_80, &key[..16], &key[16..]).expect("keys")
}

impl Secret {
    fn new(plane: &MediaPlane, leg: u32) -> Secret {
        let phone = Phone::new(Codec::Pcma);
        let port = plane.open(key(leg)).expect("a port");
        plane.connect(key(leg), Remote { srtp: Some(KEYS), ..phone.remote() });
        Secret { phone, port, sending: context(&KEYS.theirs), hearing: context(&KEYS.ours) }
    }

    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.phone.next.to_bytes().to_vec();
        bytes.extend_from_slice(payload);
        self.phone.next.sequence = self.phone.next.sequence.wrapping_add(1);
        self.phone.next.timestamp = self.phone.next.timestamp.wrapping_add(160);
        self.sending.protect(&bytes).expect("protected")
    }

    fn say(&mut self, payload: &[u8]) {
        let bytes = self.packet(payload);
        self.phone.send_bytes(self.port, &bytes);
    }

    /// The next packet, which must be authentic.
    fn hear(&mut self) -> (Header, Vec<u8>) {
        self.phone.socket.set_read_timeout(Some(common::PATIENCE)).expect("timeout");
        let mut buffer = [0; 2_048];
        let length = self.phone.socket.recv(&mut buffer).expect("a packet comes");
        assert_eq!(length, 12 + 160 + 10);
        let plain = self.hearing.unprotect(&buffer[..length]).expect("authentic");
        let packet = rtp::parse(&plain).expect("RTP");
        (packet.header, packet.payload.to_vec())
    }
}

#[test]
fn music_and_talk_are_protected_on_the_one_side_and_plain_on_the_other() {
    let (plane, mut events) = start(22_500..=22_509);
    let mut secret = Secret::new(&plane, 1);
    plane.play(key(1), "music");
    let first = secret.hear().0;
    assert_eq!(secret.hear().0.sequence, first.sequence.wrapping_add(1));
    let mut open = Phone::new(Codec::Pcmu);
    let port = open.open(&plane, key(2));
    plane.join(key(1), key(2));
    // What was agreed is said again, as re-INVITEs do: nothing begins anew.
    plane.connect(key(1), Remote { srtp: Some(KEYS), ..secret.phone.remote() });
    wait_until("the talk has begun", || {
        open.say(port, &[0x22; 160]);
        secret.hear().1 == [g711::convert(Codec::Pcmu, Codec::Pcma, 0x22); 160]
    });
    let replayed = secret.packet(&[0x11; 160]);
    secret.phone.send_bytes(secret.port, &replayed);
    let said = [g711::convert(Codec::Pcma, Codec::Pcmu, 0x11); 160];
    assert_eq!(open.hear().payload, said);
    // Said before, forged, and not protected at all.
    let mut forged = secret.packet(&[0x66; 160]);
    forged[40] ^= 0x10;
    secret.phone.send_bytes(secret.port, &replayed);
    secret.phone.send_bytes(secret.port, &forged);
    secret.phone.send(secret.port, secret.phone.next, &[0x77; 160]);
    secret.say(&[0x11; 160]);
    assert_eq!(open.hear().payload, said);
    assert!(open.hears_nothing());
    assert_eq!(plane.count(Count::SrtpRefused), 3);
    assert!(events.try_recv().is_err());
}

#[test]
fn a_stranger_with_the_key_is_a_stranger_and_new_keys_end_the_old() {
    let (plane, _events) = start(22_510..=22_519);
    let mut secret = Secret::new(&plane, 1);
    let open = Phone::new(Codec::Pcma);
    open.open(&plane, key(2));
    plane.join(key(1), key(2));
    wait_until("heard", || {
        secret.say(&[0x11; 160]);
        open.try_hear(common::QUIET).is_some()
    });
    let stranger = Phone::new(Codec::Pcma);
    stranger.send_bytes(secret.port, &secret.packet(&[0x12; 160]));
    wait_until("refused", || plane.count(Count::SrtpRefused) == 1);
    let other = Srtp { theirs: [5; 30], ..KEYS };
    plane.connect(key(1), Remote { srtp: Some(other), ..secret.phone.remote() });
    open.forget();
    wait_until("the old key says nothing any more", || {
        secret.say(&[0x13; 160]);
        open.forget();
        plane.count(Count::SrtpRefused) > 3
    });
    open.forget();
    secret.sending = context(&other.theirs);
    secret.say(&[0x14; 160]);
    assert_eq!(open.hear().payload, [0x14; 160]);
}
