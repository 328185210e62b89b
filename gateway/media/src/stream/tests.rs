//! Stories of one stream fed by music, a far end, another far end and music again.

use super::*;

fn heard(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
    Header { marker: false, payload_type: 0, sequence, timestamp, ssrc }
}

fn stream() -> Outgoing {
    // SSRC 7; timestamps wrap soon after the beginning, sequence numbers too.
    Outgoing::new([0, 0, 0, 7, 0xFF, 0xFF, 0xFF, 0x00, 0xFF, 0xFE, 0, 0])
}

#[test]
fn music_is_one_spurt_in_even_steps() {
    let mut out = stream();
    let headers: Vec<_> = (10..14).map(|n| out.frame(n * 160, 0)).collect();
    assert_eq!(headers.iter().map(|header| header.marker).collect::<Vec<_>>(), [true, false, false, false]);
    for pair in headers.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        assert_eq!((pair[0].ssrc, pair[1].ssrc), (7, 7));
    }
}

#[test]
fn from_music_to_a_far_end_and_back_nothing_breaks() {
    let mut out = stream();
    let mut sent = vec![out.frame(0, 0), out.frame(160, 0)];
    for n in 0..3u16 {
        sent.extend(out.relay(320 + u64::from(n) * 160, heard(99, 50 + n, 1_000_000 + u32::from(n) * 160), 8));
    }
    // The next far end's clock is fast: its packets come early, and then it is music's turn again.
    for n in 0..3u16 {
        sent.extend(out.relay(800 + u64::from(n), heard(100, 7 + n, u32::from(n) * 160), 8));
    }
    sent.push(out.frame(960, 0));
    assert_eq!(sent.len(), 9);
    for (n, pair) in sent.windows(2).enumerate() {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "{n}");
        assert!((160..=480).contains(&pair[1].timestamp.wrapping_sub(pair[0].timestamp)), "{n}");
    }
    let markers: Vec<_> = sent.iter().map(|header| header.marker).collect();
    assert_eq!(markers, [true, false, true, false, false, true, false, false, true]);
}

#[test]
fn loss_and_disorder_are_passed_on_as_they_are() {
    let mut out = stream();
    let first = out.relay(0, heard(1, 10, 0), 0).expect("sent");
    let step = |out: &mut Outgoing, n: u16| {
        let header = out.relay(0, heard(1, 10 + n, u32::from(n) * 160), 0)?;
        Some((header.sequence.wrapping_sub(first.sequence), header.timestamp.wrapping_sub(first.timestamp)))
    };
    assert_eq!(step(&mut out, 1), Some((1, 160)));
    assert_eq!(step(&mut out, 4), Some((4, 640)));
    assert_eq!(step(&mut out, 3), Some((3, 480)));
    assert_eq!(step(&mut out, 5), Some((5, 800)));
    // From before we began to listen: its number was given to somebody else's packet.
    assert_eq!(out.relay(0, heard(1, 9, 0u32.wrapping_sub(160)), 0), None);
}

#[test]
fn a_swallowed_packet_leaves_no_gap() {
    let mut out = stream();
    let first = out.relay(0, heard(1, 10, 0), 0).expect("sent");
    out.swallow(heard(1, 11, 160));
    out.swallow(heard(1, 12, 160));
    let next = out.relay(0, heard(1, 13, 480), 0).expect("sent");
    assert_eq!(next.sequence, first.sequence.wrapping_add(1));
    assert_eq!(next.timestamp, first.timestamp.wrapping_add(480));
    assert_eq!(out.relay(0, heard(1, 11, 160), 0), None);
    assert_eq!(out.frame(640, 0).sequence, next.sequence.wrapping_add(1));
}

#[test]
fn a_source_that_jumps_begins_again_behind_what_was_sent() {
    let mut out = stream();
    let before = out.relay(0, heard(1, 10, 0), 0).expect("sent");
    let after = out.relay(160, heard(1, 40_000, 4_000_000_000), 0).expect("sent");
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(160));
    assert!(after.marker);
}

#[test]
fn a_long_pause_is_seen_in_the_timestamps_and_marked() {
    let mut out = stream();
    let before = out.frame(160, 0);
    out.pause();
    let after = out.frame(160 + 80_000, 0);
    assert!(after.marker);
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(80_000));
}

#[test]
fn any_packets_in_any_order_never_panic() {
    let mut dice = fastrand::Rng::with_seed(7);
    let mut out = stream();
    for _ in 0..200_000 {
        let header = heard(dice.u32(..2), dice.u16(..), dice.u32(..));
        match dice.u8(..4) {
            0 => drop(out.frame(dice.u64(..), 0)),
            1 => out.swallow(header),
            2 => out.pause(),
            _ => drop(out.relay(dice.u64(..), header, 8)),
        }
    }
}
