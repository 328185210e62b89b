//! Stories of key presses under loss, repetition and length.

use super::*;

fn report(event: u8, end: bool, duration: u16) -> Report {
    Report { event, end, duration }
}

/// The packets of a press of `ms`, every 20 ms, the end three times.
fn packets(event: u8, timestamp: u32, ms: u16) -> Vec<(bool, u32, Report)> {
    let mut packets: Vec<_> = (1..ms / 20).map(|n| (n == 1, timestamp, report(event, false, n * 160))).collect();
    packets.extend([(false, timestamp, report(event, true, ms * 8)); 3]);
    packets
}

fn hear(receiver: &mut Receiver, packets: &[(bool, u32, Report)]) -> Vec<Press> {
    let mut now_ms = 0;
    packets
        .iter()
        .filter_map(|&(marker, timestamp, report)| {
            now_ms += 20;
            receiver.receive(now_ms, marker, timestamp, report)
        })
        .collect()
}

#[test]
fn a_press_is_one_digit_however_often_it_is_told() {
    let mut receiver = Receiver::default();
    assert_eq!(hear(&mut receiver, &packets(5, 1_000, 100)), [Press { digit: '5', duration_ms: 100 }]);
    assert_eq!(hear(&mut receiver, &packets(11, 9_000, 60)), [Press { digit: '#', duration_ms: 60 }]);
}

#[test]
fn any_one_packet_that_arrives_is_enough() {
    let all = packets(7, 4_000_000_000, 120);
    for alone in &all {
        let mut receiver = Receiver::default();
        let mut heard = hear(&mut receiver, &[*alone]);
        heard.extend(receiver.expire(20 + END_MISSING_MS));
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].digit, '7');
        assert_eq!(receiver.expire(10_000), None);
    }
}

#[test]
fn without_its_end_a_press_ends_when_the_next_begins() {
    let mut receiver = Receiver::default();
    let mut both = packets(1, 1_000, 100);
    both.truncate(3);
    both.extend(packets(1, 3_000, 100));
    let digits: Vec<_> = hear(&mut receiver, &both).into_iter().map(|press| press.duration_ms).collect();
    assert_eq!(digits, [60, 100]);
}

#[test]
fn a_lone_end_after_a_lost_end_is_not_forgotten() {
    let mut receiver = Receiver::default();
    assert_eq!(receiver.receive(0, true, 1_000, report(1, false, 160)), None);
    assert_eq!(receiver.receive(500, false, 9_000, report(2, true, 800)).map(|press| press.digit), Some('1'));
    assert_eq!(receiver.receive(520, false, 9_000, report(2, true, 800)).map(|press| press.digit), Some('2'));
    assert_eq!(receiver.receive(540, false, 9_000, report(2, true, 800)), None);
}

#[test]
fn a_press_longer_than_the_field_is_still_one() {
    let mut receiver = Receiver::default();
    let mut heard = Vec::new();
    let mut timestamp = 77u32;
    for segment in 0..3 {
        for n in 1..=409u16 {
            heard.extend(receiver.receive(0, segment == 0 && n == 1, timestamp, report(0, false, n * 160)));
        }
        heard.extend(receiver.receive(0, false, timestamp, report(0, false, u16::MAX)));
        timestamp = timestamp.wrapping_add(u32::from(u16::MAX));
    }
    heard.extend(receiver.receive(0, false, timestamp, report(0, true, 800)));
    assert_eq!(heard, [Press { digit: '0', duration_ms: (3 * 65_535 + 800) / 8 }]);
}

#[test]
fn the_same_key_twice_is_two_digits() {
    let mut receiver = Receiver::default();
    let mut twice = packets(9, 0, 80);
    twice.extend(packets(9, 1_600, 80));
    assert_eq!(hear(&mut receiver, &twice).len(), 2);
}

#[test]
fn packets_out_of_order_say_nothing_twice() {
    let mut receiver = Receiver::default();
    let mut shuffled = packets(3, 50_000, 100);
    shuffled.extend(packets(4, 60_000, 100));
    let late = shuffled.remove(2);
    shuffled.push(late);
    assert_eq!(hear(&mut receiver, &shuffled).iter().map(|press| press.digit).collect::<String>(), "34");
}

#[test]
fn flash_and_other_events_are_no_digits() {
    let mut receiver = Receiver::default();
    assert_eq!(receiver.receive(0, true, 0, report(16, true, 800)), None);
    assert_eq!(parse(&[1, 2, 3]), None);
    assert_eq!(parse(&[10, 0x8A, 3, 0x20]), Some(report(10, true, 800)));
    assert_eq!(digit_of(10), Some('*'));
    assert_eq!(digit_of(15), Some('D'));
    assert_eq!(digit_of(200), None);
}
