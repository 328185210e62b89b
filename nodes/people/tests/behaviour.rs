//! What single people do, told by hand: each story is the world of one or two of them.

mod centre;

use centre::{HOUR, MINUTE, START};
use people::{
    Act, Arrival, Arrivals, Break, Deed, Habits, Line, Manners, Outside, People, Plan, Press, Repeat, Sense, Shift,
    Spread, Target, Worker,
};

const CALL: u64 = 1;

fn exactly(ms: u64) -> Spread {
    Spread::Exactly { ms }
}

/// One caller at `START` who talks 100 s, agents who pick up after 2 s.
fn plan(agents: &[&str], manners: Manners) -> Plan {
    let habits = Habits { patience: exactly(60_000), talk: exactly(100_000), hangs_up_first: 0.0, ..Habits::default() };
    let arrivals = Arrivals::List(vec![Arrival { at: START, ..Arrival::default() }]);
    let manners = Manners { answer: exactly(2_000), ..manners };
    let shift = Shift { from: START, until: START + 8 * HOUR, breaks: Vec::new() };
    let workers = agents.iter().map(|name| Worker {
        name: (*name).into(),
        shifts: vec![shift.clone()],
        pace: 1.0,
        manners: manners.clone(),
    });
    let outside = Outside { answer: exactly(3_000), talk: exactly(50_000), ..Outside::default() };
    Plan {
        lines: vec![Line { number: "8800".into(), arrivals, habits }],
        workers: workers.collect(),
        outside,
        ..Plan::default()
    }
}

/// People and the clock of their story.
struct Story {
    people: People,
    now: u64,
}

impl Story {
    /// Begins with what everybody does in the first moment, given as deeds.
    fn begin(plan: Plan) -> (Self, Vec<Deed>) {
        let mut story = Story { people: People::new(plan, 1, START), now: START };
        let deeds = story.until(START);
        (story, deeds)
    }

    /// What is done up to a time after the start.
    fn until(&mut self, now: u64) -> Vec<Deed> {
        let mut deeds = Vec::new();
        while let Some(next) = self.people.next().filter(|next| *next <= now) {
            self.people.act(next.max(self.now), &mut deeds);
        }
        self.now = now;
        deeds
    }

    fn after(&mut self, ms: u64) -> Vec<Deed> {
        self.until(self.now + ms)
    }

    fn sense(&mut self, sense: &Sense) {
        self.people.sense(self.now, sense);
    }

    fn ringing(&mut self, leg: u32, agent: &str) {
        self.sense(&Sense::Ringing { call: CALL, leg, agent: agent.into() });
    }

    fn gone(&mut self, leg: u32) {
        self.sense(&Sense::Gone { call: CALL, leg, status: 0 });
    }

    fn joined(&mut self, legs: &[u32]) {
        for leg in legs {
            let with = legs.iter().copied().filter(|other| other != leg).collect();
            self.sense(&Sense::Joined { call: CALL, leg: *leg, with });
        }
    }

    /// The agent has picked up and talks to the caller since two seconds after now.
    fn connect(&mut self, leg: u32, agent: &str) {
        self.ringing(leg, agent);
        assert_eq!(self.after(2_000), [Deed::Answer { call: CALL, leg }]);
        self.joined(&[1, leg]);
    }
}

fn hang_up(leg: u32) -> Vec<Deed> {
    vec![Deed::HangUp { call: CALL, leg }]
}

fn act(agent: &str, act: Act) -> Vec<Deed> {
    vec![Deed::Act { call: CALL, agent: agent.into(), act }]
}

#[test]
fn a_served_caller_talks_their_time_and_the_agent_hangs_up() {
    let (mut story, deeds) = Story::begin(plan(&["ann"], Manners::default()));
    let ann = || "ann".to_owned();
    assert_eq!(deeds[..2], [Deed::LogIn { agent: ann() }, Deed::Ready { agent: ann() }]);
    assert!(matches!(&deeds[2], Deed::Dial { call: CALL, number, .. } if number == "8800"));
    story.connect(2, "ann");
    assert_eq!(story.after(99_999), []);
    assert_eq!(story.after(1), hang_up(2));
    assert!(!story.people.is_quiet(), "the caller's line is not dead yet");
    story.gone(1);
    assert!(story.people.is_quiet());
}

#[test]
fn a_caller_gives_up_when_patience_ends_and_not_before() {
    let (mut story, _) = Story::begin(plan(&[], Manners::default()));
    story.sense(&Sense::Listening { call: CALL, leg: 1 });
    assert_eq!(story.after(59_999), []);
    assert_eq!(story.after(1), hang_up(1));
    assert!(story.people.is_quiet());
}

#[test]
fn a_caller_who_is_sent_back_waits_with_fresh_patience() {
    let (mut story, _) = Story::begin(plan(&["ann"], Manners::default()));
    story.connect(2, "ann");
    assert_eq!(story.until(START + 50_000), []);
    story.gone(2);
    story.sense(&Sense::Listening { call: CALL, leg: 1 });
    // Neither the first patience, over at 60 s, nor the end of the talk that was cut off, at 102 s, counts.
    assert_eq!(story.until(START + 109_999), []);
    assert_eq!(story.after(1), hang_up(1));
}

#[test]
fn who_let_it_ring_asks_for_calls_again() {
    let manners = Manners { ignores: 1.0, returns: exactly(30_000), ..Manners::default() };
    let (mut story, _) = Story::begin(plan(&["ann"], manners));
    story.ringing(2, "ann");
    assert_eq!(story.after(15_000), []);
    story.gone(2);
    assert_eq!(story.after(30_000), [Deed::Ready { agent: "ann".into() }]);
}

#[test]
fn an_agent_may_be_busy_or_reject() {
    for (manners, busy) in
        [(Manners { busy: 1.0, ..Manners::default() }, true), (Manners { rejects: 1.0, ..Manners::default() }, false)]
    {
        let (mut story, _) = Story::begin(plan(&["ann"], manners));
        story.ringing(2, "ann");
        assert_eq!(story.after(2_000), [Deed::Refuse { call: CALL, leg: 2, busy }]);
    }
}

#[test]
fn a_break_that_falls_into_a_call_begins_after_it() {
    let mut plan = plan(&["ann"], Manners::default());
    plan.workers[0].shifts[0].breaks =
        vec![Break { at: START + 50_000, length_ms: 5 * MINUTE, reason: "lunch".into() }];
    let (mut story, _) = Story::begin(plan);
    story.connect(2, "ann");
    assert_eq!(story.until(START + 50_000), [Deed::NotReady { agent: "ann".into(), reason: "lunch".into() }]);
    assert_eq!(story.until(START + 102_000), hang_up(2));
    assert_eq!(story.until(START + 102_000 + 5 * MINUTE - 1), []);
    assert_eq!(story.after(1), [Deed::Ready { agent: "ann".into() }]);
}

#[test]
fn a_shift_that_begins_with_a_break_asks_for_no_call_before_it_is_over() {
    let mut plan = plan(&["ann"], Manners::default());
    plan.lines.clear();
    plan.workers[0].shifts[0].breaks = vec![Break { at: START, length_ms: MINUTE, reason: "briefing".into() }];
    let (mut story, deeds) = Story::begin(plan);
    let ann = || "ann".to_owned();
    assert_eq!(deeds, [Deed::LogIn { agent: ann() }, Deed::NotReady { agent: ann(), reason: "briefing".into() }]);
    assert_eq!(story.after(MINUTE), [Deed::Ready { agent: ann() }]);
}

#[test]
fn agents_go_home_and_come_back_the_next_day() {
    let mut plan = plan(&["ann"], Manners::default());
    plan.lines.clear();
    let day = 24 * HOUR;
    let next = Shift { from: START + day, until: START + day + HOUR, breaks: Vec::new() };
    plan.workers[0].shifts.push(next);
    let (mut story, _) = Story::begin(plan);
    assert_eq!(story.until(START + 8 * HOUR), [Deed::LogOut { agent: "ann".into() }]);
    assert_eq!(story.until(START + day).len(), 2);
    assert_eq!(story.until(START + 2 * day), [Deed::LogOut { agent: "ann".into() }]);
    assert_eq!(story.people.next(), None);
}

#[test]
fn an_agent_who_was_thrown_out_logs_in_again() {
    let (mut story, _) = Story::begin(plan(&["ann"], Manners::default()));
    let ready = Deed::Ready { agent: "ann".into() };
    story.sense(&Sense::Refused { deed: ready.clone() });
    assert_eq!(story.after(5_000), [Deed::LogIn { agent: "ann".into() }, ready.clone()]);
    story.sense(&Sense::Refused { deed: Deed::LogIn { agent: "ann".into() } });
    story.sense(&Sense::Refused { deed: ready });
    assert_eq!(story.after(60_000), [Deed::HangUp { call: CALL, leg: 1 }], "only the caller does anything now");
}

#[test]
fn hold_pauses_the_talk() {
    let (mut story, _) =
        Story::begin(plan(&["ann"], Manners { holds: 1.0, hold: exactly(7_000), ..Manners::default() }));
    story.connect(2, "ann");
    let began = story.now;
    let mut deeds = Vec::new();
    while deeds.is_empty() {
        deeds = story.after(1);
    }
    let held = story.now;
    assert_eq!(deeds, act("ann", Act::Hold));
    story.sense(&Sense::Listening { call: CALL, leg: 1 });
    story.sense(&Sense::Quiet { call: CALL, leg: 2 });
    assert_eq!(story.until(held + 7_000), act("ann", Act::Resume));
    story.joined(&[1, 2]);
    assert_eq!(story.until(began + 106_999), []);
    assert_eq!(story.after(1), hang_up(2), "100 s of talk and 7 of hold");
}

#[test]
fn a_blind_transfer_ends_the_agent_s_part_and_the_next_talk_is_a_new_one() {
    let targets = vec![Target::Agent("bob".into())];
    let (mut story, _) = Story::begin(plan(&["ann", "bob"], Manners { transfers: 1.0, targets, ..Manners::default() }));
    story.connect(2, "ann");
    assert_eq!(story.after(100_000), act("ann", Act::Transfer(Target::Agent("bob".into()))));
    story.gone(2);
    story.sense(&Sense::Listening { call: CALL, leg: 1 });
    story.connect(3, "bob");
    assert_eq!(story.after(100_000), hang_up(3), "Bob has nobody to send them to");
}

#[test]
fn who_is_handed_to_somebody_outside_talks_there_and_hangs_up() {
    let target = Target::Number("4957777".into());
    let manners = Manners { transfers: 1.0, targets: vec![target.clone()], ..Manners::default() };
    let (mut story, _) = Story::begin(plan(&["ann"], manners));
    story.connect(2, "ann");
    assert_eq!(story.after(100_000), act("ann", Act::Transfer(target)));
    story.gone(2);
    story.sense(&Sense::Called { call: CALL, leg: 3, target: "4957777".into() });
    assert_eq!(story.after(3_000), [Deed::Answer { call: CALL, leg: 3 }]);
    story.joined(&[1, 3]);
    assert_eq!(story.after(99_999), []);
    assert_eq!(story.after(1), hang_up(1));
    story.gone(3);
    assert!(story.people.is_quiet());
}

#[test]
fn some_agents_end_their_wrap_up_themselves() {
    let manners = Manners { wrap_up: Some(exactly(8_000)), ..Manners::default() };
    let (mut story, _) = Story::begin(plan(&["ann"], manners));
    story.connect(2, "ann");
    assert_eq!(story.after(100_000), hang_up(2));
    assert_eq!(story.after(8_000), [Deed::Ready { agent: "ann".into() }]);
}

#[test]
fn nobody_asks_for_calls_in_a_break() {
    let mut plan = plan(&["ann"], Manners { wrap_up: Some(exactly(8_000)), ..Manners::default() });
    plan.workers[0].shifts[0].breaks = vec![Break { at: START + 50_000, length_ms: MINUTE, reason: "tea".into() }];
    let (mut story, _) = Story::begin(plan);
    story.connect(2, "ann");
    assert_eq!(story.until(START + 102_000).len(), 2, "asks for the break, hangs up");
    assert_eq!(story.after(MINUTE - 1), []);
    assert_eq!(story.after(1), [Deed::Ready { agent: "ann".into() }]);
}

#[test]
fn an_agent_whose_transfer_is_not_carried_out_hangs_up_in_the_end() {
    let targets = vec![Target::Number("8801".into())];
    let (mut story, _) = Story::begin(plan(&["ann"], Manners { transfers: 1.0, targets, ..Manners::default() }));
    story.connect(2, "ann");
    assert_eq!(story.after(100_000).len(), 1);
    assert_eq!(story.after(60_000), hang_up(2));
}

fn consulting(manners: Manners) -> Story {
    let targets = vec![Target::Agent("bob".into())];
    let manners = Manners { consults: 1.0, consult: exactly(10_000), targets: targets.clone(), ..manners };
    let (mut story, _) = Story::begin(plan(&["ann", "bob"], manners));
    story.connect(2, "ann");
    let mut deeds = Vec::new();
    while deeds.is_empty() {
        deeds = story.after(1);
    }
    assert_eq!(deeds, act("ann", Act::Consult(targets[0].clone())));
    story.sense(&Sense::Listening { call: CALL, leg: 1 });
    story
}

#[test]
fn a_consultation_hands_the_caller_over() {
    let mut story = consulting(Manners { completes: 1.0, ..Manners::default() });
    story.ringing(3, "bob");
    assert_eq!(story.after(2_000), [Deed::Answer { call: CALL, leg: 3 }]);
    story.joined(&[2, 3]);
    assert_eq!(story.after(10_000), act("ann", Act::Complete));
    story.gone(2);
    story.joined(&[1, 3]);
    assert_eq!(story.after(99_999), []);
    assert_eq!(story.after(1), hang_up(3), "Bob's talk is a new one");
}

#[test]
fn a_consultation_that_nobody_answers_is_taken_back() {
    let mut story = consulting(Manners::default());
    let began = story.now;
    story.ringing(3, "bob");
    // Bob picks up, and the world loses it.
    assert_eq!(story.after(2_000), [Deed::Answer { call: CALL, leg: 3 }]);
    let deeds = story.until(began + 60_000);
    assert!(deeds.contains(&act("ann", Act::TakeBack)[0]), "{deeds:?}");
}

#[test]
fn who_may_not_consult_talks_on_and_who_may_not_transfer_hangs_up() {
    let mut story = consulting(Manners { transfers: 1.0, ..Manners::default() });
    let asked = story.now;
    let bob = || Target::Agent("bob".into());
    let refused = |act| Sense::Refused { deed: Deed::Act { call: CALL, agent: "ann".into(), act } };
    story.sense(&refused(Act::Consult(bob())));
    assert_eq!(story.until(START + 101_999), [], "asked at {asked}, the talk goes on");
    assert_eq!(story.after(1), act("ann", Act::Transfer(bob())));
    story.sense(&refused(Act::Transfer(bob())));
    assert_eq!(story.after(0), hang_up(2));
}

#[test]
fn nobody_sends_a_caller_to_themselves_or_consults_a_queue() {
    let targets = vec![Target::Agent("ann".into()), Target::Queue("sales".into())];
    let manners = Manners { consults: 1.0, transfers: 1.0, targets, ..Manners::default() };
    let (mut story, _) = Story::begin(plan(&["ann"], manners));
    story.connect(2, "ann");
    assert_eq!(story.after(100_000), act("ann", Act::Transfer(Target::Queue("sales".into()))));
}

#[test]
fn three_may_talk_and_the_agent_leaves_them() {
    let mut story = consulting(Manners { completes: 1.0, conferences: 1.0, ..Manners::default() });
    story.ringing(3, "bob");
    story.after(2_000);
    story.joined(&[2, 3]);
    assert_eq!(story.after(10_000), act("ann", Act::Conference));
    story.joined(&[1, 3, 2]);
    assert_eq!(story.after(10_000), act("ann", Act::Leave));
    story.gone(2);
    story.joined(&[1, 3]);
}

#[test]
fn two_who_talk_about_nobody_do_not_do_so_for_ever() {
    let mut story = consulting(Manners::default());
    story.ringing(3, "bob");
    story.after(2_000);
    story.gone(1);
    story.joined(&[2, 3]);
    let deeds = story.after(HOUR);
    assert!(deeds.contains(&Deed::HangUp { call: CALL, leg: 3 }), "{deeds:?}");
    story.gone(2);
    assert!(story.people.is_quiet());
}

#[test]
fn who_is_called_back_answers_and_talks() {
    let (mut story, _) = Story::begin(plan(&["ann"], Manners::default()));
    story.gone(1);
    assert!(story.people.is_quiet());
    story.sense(&Sense::Called { call: CALL, leg: 2, target: "4950001".into() });
    assert_eq!(story.after(3_000), [Deed::Answer { call: CALL, leg: 2 }]);
    story.sense(&Sense::Listening { call: CALL, leg: 2 });
    story.ringing(3, "ann");
    assert_eq!(story.after(2_000), [Deed::Answer { call: CALL, leg: 3 }]);
    story.joined(&[2, 3]);
    assert_eq!(story.after(49_999), []);
    let deeds = story.after(1);
    assert!(matches!(deeds[..], [Deed::HangUp { call: CALL, .. }]), "{deeds:?}");
}

#[test]
fn some_press_a_key_while_they_wait() {
    let mut plan = plan(&[], Manners::default());
    plan.lines[0].habits.presses = vec![Press { digits: "1".into(), share: 1.0, after: exactly(20_000) }];
    plan.lines[0].habits.repeat = Repeat { refused: 1.0, ..Repeat::default() };
    let (mut story, _) = Story::begin(plan);
    assert_eq!(story.after(20_000), [Deed::Press { call: CALL, leg: 1, digits: "1".into() }]);
    // Whoever got what they asked for was not refused, and does not ring again.
    story.sense(&Sense::Gone { call: CALL, leg: 1, status: 480 });
    assert!(story.people.is_quiet());
}
