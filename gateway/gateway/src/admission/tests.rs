//! Admission as stories, and before a server whose capacity is known.

use std::collections::VecDeque;

use proto::v1;

use super::*;

const SECOND_US: u64 = 1_000_000;

fn view(trunk: v1::Trunk) -> Arc<View> {
    let routes = vec![v1::TrunkRoute { trunk: Some(trunk) }];
    let view = v1::DirectoryView {
        secret: vec![7; 32],
        realm: "r".into(),
        routes,
        emergency: vec!["112".into()],
        ..Default::default()
    };
    Arc::new(View::try_from(view).unwrap())
}

/// With 10.0.0.0/8 as a trunk.
fn admission(limits: AdmissionLimits) -> Admission {
    let mut admission = Admission::new(limits, 7, 0);
    let addresses = vec!["10.0.0.0/8".to_owned()];
    admission.set_view(&view(v1::Trunk { name: "t".into(), addresses, ..Default::default() }));
    admission
}

fn request(method: &str, number: &str, call: u64, tag: &str) -> Vec<u8> {
    format!("{method} sip:{number}@h SIP/2.0\r\nTo: <sip:{number}@h>{tag}\r\nCall-ID: {call}\r\n\r\n").into_bytes()
}

fn invite(call: u64) -> Vec<u8> {
    request("INVITE", "5000", call, "")
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn refused(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Refuse { .. })
}

#[test]
fn what_waited_too_long_is_refused_and_what_stands_passes() {
    let mut admission = admission(AdmissionLimits::default());
    let late = AdmissionLimits::default().delay_us_max;
    assert!(refused(admission.judge(0, ip("10.0.0.1"), &invite(1), 0, late)));
    for standing in [
        request("ACK", "5000", 1, ""),
        request("BYE", "5000", 2, ""),
        request("CANCEL", "5000", 3, ""),
        request("INVITE", "5000", 4, ";tag=x"),
        b"SIP/2.0 200 OK\r\n\r\n".to_vec(),
    ] {
        assert_eq!(admission.judge(0, ip("192.0.2.1"), &standing, 9_999, late * 9), Verdict::Pass);
    }
    assert!(refused(admission.judge(1, ip("10.0.0.1"), &invite(5), 9_999, 0)), "too much is pending");
    assert_eq!(admission.judge(1, ip("10.0.0.1"), &invite(6), 10, 10), Verdict::Pass);
    let counts = admission.counts();
    assert_eq!((counts.refused_delay, counts.refused_pending, counts.passed_new, counts.passed_standing), (1, 1, 1, 5));
}

#[test]
fn what_was_let_in_is_let_in_again_and_what_was_refused_is_refused_for_a_moment() {
    let mut admission = admission(AdmissionLimits::default());
    let late = AdmissionLimits::default().delay_us_max;
    assert_eq!(admission.judge(0, ip("10.0.0.1"), &invite(1), 0, 0), Verdict::Pass);
    assert_eq!(admission.judge(500_000, ip("10.0.0.1"), &invite(1), 9_999, late), Verdict::Pass);
    let first = admission.judge(500_000, ip("10.0.0.1"), &invite(2), 0, late);
    assert!(refused(first));
    assert_eq!(admission.judge(600_000, ip("10.0.0.1"), &invite(2), 0, 0), first, "the same answer");
    assert_eq!(admission.judge(2_000_000, ip("10.0.0.1"), &invite(2), 0, 0), Verdict::Pass, "it came back");
    let passed = (0..100).filter(|_| admission.judge(2_000_000, ip("10.0.0.1"), &invite(1), 9_999, 0) == Verdict::Pass);
    assert!(passed.count() < 40, "a Call-ID is no key to the house");
}

#[test]
fn those_who_are_refused_come_back_one_after_the_other() {
    let mut admission = admission(AdmissionLimits::default());
    let mut seconds = [0; 6];
    for call in 0..5_000_u64 {
        let source = ip(&format!("192.0.{}.{}", call / 250, call % 250));
        match admission.judge(0, source, &invite(call), 0, u64::MAX / 2) {
            Verdict::Refuse { retry_after_seconds } => seconds[retry_after_seconds as usize] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seconds[0], 0);
    assert!(seconds[1..].iter().all(|count| (800..1_200).contains(count)), "{seconds:?}");
}

#[test]
fn emergency_calls_pass_whatever_is_the_matter_but_not_without_end() {
    let mut admission = admission(AdmissionLimits::default());
    let late = u64::MAX / 2;
    let passed = |admission: &mut Admission, uri: &str, from: u64| {
        (from..from + 1_000)
            .filter(|call| {
                let bytes = format!("INVITE {uri} SIP/2.0\r\nTo: <{uri}>\r\nCall-ID: {call}\r\n\r\n");
                admission.judge(0, ip("192.0.2.1"), bytes.as_bytes(), 9_999, late) == Verdict::Pass
            })
            .count()
    };
    assert_eq!(passed(&mut admission, "sip:112@h", 0), 50);
    let mut admission = self::admission(AdmissionLimits::default());
    assert_eq!(passed(&mut admission, "urn:service:sos.fire", 0), 50);
    assert_eq!(passed(&mut admission, "sip:1112@h", 5_000), 0);
    let options = admission.judge(0, ip("192.0.2.1"), &request("OPTIONS", "112", 9_999, ""), 9_999, late);
    assert_ne!(options, Verdict::Pass, "only a call is an emergency");
}

#[test]
fn one_source_has_its_share_and_an_ipv6_subscriber_is_one_source() {
    let mut admission = admission(AdmissionLimits { source_rate: 10, source_burst: 20, ..AdmissionLimits::default() });
    let passed = |admission: &mut Admission, source: &dyn Fn(u64) -> IpAddr, from: u64| {
        (from..from + 100)
            .filter(|call| admission.judge(0, source(*call), &invite(*call), 0, 0) == Verdict::Pass)
            .count()
    };
    assert_eq!(passed(&mut admission, &|_| ip("192.0.2.1"), 0), 20);
    assert_eq!(passed(&mut admission, &|_| ip("::ffff:192.0.2.1"), 1_000), 0);
    assert_eq!(passed(&mut admission, &|call| ip(&format!("2001:db8::{call:x}")), 2_000), 20);
    assert_eq!(passed(&mut admission, &|_| ip("2001:db8:0:1::1"), 3_000), 20);
    assert_eq!(passed(&mut admission, &|_| ip("10.0.0.1"), 4_000), 100, "a trunk without a limit has none of its own");
}

#[test]
fn a_trunk_has_its_share_of_what_its_document_says() {
    let mut admission = Admission::new(AdmissionLimits { lanes: 2, ..AdmissionLimits::default() }, 7, 0);
    let addresses = vec!["10.0.0.0/8".to_owned()];
    let trunk = v1::Trunk { name: "t".into(), addresses, calls_per_second_max: 20, ..Default::default() };
    admission.set_view(&view(trunk));
    let passed = (0..100).filter(|call| {
        let source = ip(&format!("10.0.0.{call}"));
        admission.judge(0, source, &invite(*call), 0, 0) == Verdict::Pass
    });
    assert_eq!(passed.count(), 20);
}

#[test]
fn a_flood_hears_nothing_any_more() {
    let mut admission = admission(AdmissionLimits::default());
    let mut dropped = 0;
    for call in 0..5_000 {
        dropped += u32::from(admission.judge(0, ip("192.0.2.1"), &invite(call), 0, 0) == Verdict::Drop);
    }
    assert_eq!(dropped, 5_000 - 400 - 500);
    assert_eq!(admission.judge(0, ip("192.0.2.1"), b"GET / HTTP/1.1\r\n\r\n", 0, 0), Verdict::Drop);
}

#[test]
fn strangers_do_not_keep_a_trunk_out() {
    let limits = AdmissionLimits { rate_max: 1_000, ..AdmissionLimits::default() };
    let mut admission = admission(limits);
    let (mut trunk, mut strangers) = (0, 0);
    // A second: 300 calls of the trunk among 30,000 of many strangers.
    for call in 0..30_000_u64 {
        let now_us = call * SECOND_US / 30_000;
        let source = ip(&format!("192.{}.{}.1", call / 250 % 250, call % 250));
        strangers += u32::from(admission.judge(now_us, source, &invite(call), 0, 0) == Verdict::Pass);
        if call % 100 == 0 {
            trunk += u32::from(admission.judge(now_us, ip("10.0.0.1"), &invite(call + 50_000), 0, 0) == Verdict::Pass);
        }
    }
    assert_eq!(trunk, 300);
    assert!((600..=800).contains(&strangers), "{strangers}");
}

#[test]
fn a_million_sources_and_calls_take_no_more_room_than_the_limits() {
    let limits = AdmissionLimits { sources_max: 100, recent_max: 100, ..AdmissionLimits::default() };
    let mut admission = admission(limits);
    for call in 0..20_000_u64 {
        let source = IpAddr::from(u32::try_from(0xC000_0000 + call).unwrap().to_be_bytes());
        admission.judge(call * 1_000, source, &invite(call), 0, 0);
    }
    assert!(admission.sources.len() <= 200);
    assert!(admission.recent.len() <= 200);
}

/// Where the work of a call is done.
#[derive(Clone, Copy)]
enum Bottleneck {
    /// In the lane itself: its messages wait.
    Lane,
    /// Behind it: commands wait.
    Shard,
}

/// A lane, and the shard behind it, in simulated time.
struct Model {
    admission: Admission,
    bottleneck: Bottleneck,
    /// Of one call, in the lane or in the shard.
    call_us: u64,
    now_us: u64,
    calls: u64,
    inbox: VecDeque<(u64, Vec<u8>)>,
    next_call_us: u64,
    next_standing_us: u64,
    /// When each command will have its outcome, in their order.
    shard: VecDeque<u64>,
    shard_free_us: u64,
    dice: u64,
    tally: Tally,
}

/// What one stretch of time saw.
#[derive(Default, Debug)]
struct Tally {
    served: u64,
    refused: u64,
    /// From the arrival of a call to its outcome.
    worst_call_us: u64,
    /// From the arrival of what belongs to a dialog to its handling.
    worst_standing_us: u64,
    standing_refused: u64,
}

const STANDING_EVERY_US: u64 = 5_000;
const STANDING_US: u64 = 50;
/// A look at the bytes, and a 503.
const JUDGE_US: u64 = 2;
const REFUSE_US: u64 = 4;
/// Of a call in a lane that is not the bottleneck.
const QUICK_US: u64 = 20;

impl Model {
    fn new(bottleneck: Bottleneck, call_us: u64) -> Self {
        Self {
            admission: admission(AdmissionLimits::default()),
            bottleneck,
            call_us,
            now_us: 0,
            calls: 0,
            inbox: VecDeque::new(),
            next_call_us: 0,
            next_standing_us: 0,
            shard: VecDeque::new(),
            shard_free_us: 0,
            dice: 1,
            tally: Tally::default(),
        }
    }

    /// Calls a second that can be served.
    fn capacity(&self) -> u64 {
        let left_permille = 1_000 - STANDING_US * 1_000 / STANDING_EVERY_US;
        match self.bottleneck {
            Bottleneck::Lane => SECOND_US / (self.call_us + JUDGE_US) * left_permille / 1_000,
            Bottleneck::Shard => SECOND_US / self.call_us,
        }
    }

    /// So long, at so many calls a second.
    fn run(&mut self, seconds: u64, rate: u64) -> Tally {
        self.tally = Tally::default();
        let until_us = self.now_us + seconds * SECOND_US;
        self.next_call_us = self.next_call_us.max(self.now_us);
        while self.now_us < until_us {
            self.arrive(rate);
            match self.inbox.pop_front() {
                Some((arrived_us, bytes)) => self.handle(arrived_us, &bytes),
                None => self.now_us = self.next_call_us.min(self.next_standing_us).max(self.now_us + 1),
            }
        }
        std::mem::take(&mut self.tally)
    }

    fn arrive(&mut self, rate: u64) {
        while self.next_call_us.min(self.next_standing_us) <= self.now_us {
            if self.next_standing_us <= self.next_call_us {
                self.inbox.push_back((self.next_standing_us, request("BYE", "5000", 0, ";tag=x")));
                self.next_standing_us += STANDING_EVERY_US;
            } else {
                self.calls += 1;
                self.inbox.push_back((self.next_call_us, invite(self.calls)));
                self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Between nothing and twice the mean.
                self.next_call_us += (self.dice >> 33) % (2 * SECOND_US / rate + 1);
            }
        }
    }

    fn handle(&mut self, arrived_us: u64, bytes: &[u8]) {
        while self.shard.front().is_some_and(|done_us| *done_us <= self.now_us) {
            self.shard.pop_front();
        }
        let delay_us = self.now_us - arrived_us;
        let verdict = self.admission.judge(self.now_us, ip("10.0.0.1"), bytes, self.shard.len(), delay_us);
        let standing = bytes.starts_with(b"BYE");
        self.now_us += JUDGE_US;
        match verdict {
            Verdict::Pass if standing => {
                self.now_us += STANDING_US;
                self.tally.worst_standing_us = self.tally.worst_standing_us.max(self.now_us - arrived_us);
            }
            Verdict::Pass => self.serve(arrived_us),
            Verdict::Refuse { .. } | Verdict::Drop => {
                self.tally.standing_refused += u64::from(standing);
                self.tally.refused += 1;
                self.now_us += if verdict == Verdict::Drop { 0 } else { REFUSE_US };
            }
        }
    }

    fn serve(&mut self, arrived_us: u64) {
        let done_us = match self.bottleneck {
            Bottleneck::Lane => {
                self.now_us += self.call_us;
                self.now_us
            }
            Bottleneck::Shard => {
                self.now_us += QUICK_US;
                self.shard_free_us = self.shard_free_us.max(self.now_us) + self.call_us;
                self.shard.push_back(self.shard_free_us);
                self.shard_free_us
            }
        };
        self.tally.served += 1;
        self.tally.worst_call_us = self.tally.worst_call_us.max(done_us - arrived_us);
    }
}

fn percent(served: u64, seconds: u64, capacity: u64) -> u64 {
    served * 100 / (seconds * capacity)
}

#[test]
fn at_ten_times_the_capacity_of_a_lane_nine_tenths_of_it_are_served() {
    for call_us in [500, 1_000, 4_000] {
        let mut model = Model::new(Bottleneck::Lane, call_us);
        let capacity = model.capacity();
        model.run(1, capacity / 2);
        let storm = model.run(20, capacity * 10);
        assert!(percent(storm.served, 20, capacity) >= 90, "{call_us}: {capacity} {storm:?}");
        assert!(storm.worst_call_us < 250_000, "{call_us}: {storm:?}");
        assert!(storm.worst_standing_us < 250_000 && storm.standing_refused == 0, "{call_us}: {storm:?}");
    }
}

#[test]
fn at_ten_times_the_capacity_of_the_shard_nine_tenths_of_it_are_served() {
    for call_us in [200, 500] {
        let mut model = Model::new(Bottleneck::Shard, call_us);
        let capacity = model.capacity();
        model.run(1, capacity / 2);
        let storm = model.run(20, capacity * 10);
        assert!(percent(storm.served, 20, capacity) >= 90, "{call_us}: {capacity} {storm:?}");
        assert!(storm.worst_call_us < 250_000, "{call_us}: {storm:?}");
        assert!(storm.worst_standing_us < 50_000 && storm.standing_refused == 0, "{call_us}: {storm:?}");
    }
}

#[test]
fn below_capacity_nobody_is_refused_and_after_a_storm_soon_nobody_is() {
    for bottleneck in [Bottleneck::Lane, Bottleneck::Shard] {
        let mut model = Model::new(bottleneck, 400);
        let capacity = model.capacity();
        assert_eq!(model.run(10, capacity * 8 / 10).refused, 0);
        model.run(10, capacity * 10);
        model.run(2, capacity * 8 / 10);
        let after = model.run(10, capacity * 8 / 10);
        assert_eq!(after.refused, 0, "{after:?}");
    }
}

#[test]
fn after_a_shard_stood_still_the_rate_is_back_within_seconds() {
    let mut model = Model::new(Bottleneck::Shard, 400);
    let capacity = model.capacity();
    model.run(5, capacity * 8 / 10);
    model.shard_free_us = model.now_us + 3 * SECOND_US;
    let still = model.run(3, capacity * 8 / 10);
    assert!(still.refused > 0, "{still:?}");
    model.run(3, capacity * 8 / 10);
    let after = model.run(5, capacity * 8 / 10);
    assert_eq!(after.refused, 0, "{after:?} {}", model.admission.rate());
}
