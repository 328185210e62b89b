//! The configuration of a simulated centre, and the changes it sees while calls wait.

use fastrand::Rng;
use proto::v1::{
    Agent, AnswerMode, Document, IdleSince, Membership, Number, ProgressiveStep, Queue, Strategy, Tier, document::Kind,
};

/// Documents of a centre, and how many queues it has.
pub(super) fn first(dice: &mut Rng, agents: usize) -> (Vec<Document>, usize) {
    let queues = dice.usize(1..4);
    let mut documents = Vec::new();
    for at in 0..queues {
        documents.push(Kind::Queue(queue(dice, at)));
        documents.push(Kind::Number(Number {
            name: format!("500{at}"),
            queue: name_of(at),
            priority: if dice.u8(0..3) == 0 { dice.u32(1..9) } else { 0 },
            boost_seconds: if dice.u8(0..3) == 0 { dice.u32(1..20) } else { 0 },
            ..Number::default()
        }));
    }
    for at in 0..agents {
        documents.push(Kind::Agent(agent(dice, at, queues)));
    }
    (documents.into_iter().map(|kind| Document { kind: Some(kind), ..Document::default() }).collect(), queues)
}

/// The configuration after a change that the number stands for.
pub(crate) fn change(documents: &[Document], number: u64) -> Vec<Document> {
    let mut dice = Rng::with_seed(number);
    let mut documents = documents.to_vec();
    let queues: Vec<usize> =
        (0..documents.len()).filter(|at| matches!(documents[*at].kind, Some(Kind::Queue(_)))).collect();
    let agents: Vec<usize> =
        (0..documents.len()).filter(|at| matches!(documents[*at].kind, Some(Kind::Agent(_)))).collect();
    let at = queues[dice.usize(0..queues.len())];
    match dice.u8(0..5) {
        0 | 1 => {
            if let Some(Kind::Queue(row)) = &mut documents[at].kind {
                *row = Queue { name: row.name.clone(), ..queue(&mut dice, 0) };
            }
        }
        2 if queues.len() > 1 => {
            let Some(Kind::Queue(gone)) = documents[at].kind.clone() else { return documents };
            documents.retain(|document| match &document.kind {
                Some(Kind::Queue(queue)) => queue.name != gone.name,
                Some(Kind::Number(number)) => number.queue != gone.name,
                _ => true,
            });
            for document in &mut documents {
                if let Some(Kind::Agent(agent)) = &mut document.kind {
                    agent.queues.retain(|member| member.queue != gone.name);
                }
            }
        }
        3 if agents.len() > 2 => {
            documents.remove(agents[dice.usize(0..agents.len())]);
        }
        _ => {
            let names: Vec<String> = queues
                .iter()
                .filter_map(|at| match &documents[*at].kind {
                    Some(Kind::Queue(queue)) => Some(queue.name.clone()),
                    _ => None,
                })
                .collect();
            // Two who come to a queue at the same time are no measure for each other.
            for _ in 0..dice.usize(1..3) {
                let at = agents[dice.usize(0..agents.len())];
                if let Some(Kind::Agent(agent)) = &mut documents[at].kind {
                    agent.queues = memberships(&mut dice, &names);
                }
            }
        }
    }
    documents
}

fn name_of(at: usize) -> String {
    format!("q{}", at + 1)
}

/// Strategies that rank single agents.
const SINGLES: [Strategy; 9] = [
    Strategy::LongestIdle,
    Strategy::RoundRobin,
    Strategy::Linear,
    Strategy::FewestCalls,
    Strategy::LeastTalk,
    Strategy::LeastOccupied,
    Strategy::MostSkilled,
    Strategy::Random,
    Strategy::WeightedRandom,
];

fn steps(dice: &mut Rng) -> Vec<ProgressiveStep> {
    (0..dice.usize(1..4)).map(|_| ProgressiveStep { agents: dice.u32(1..3), seconds: dice.u32(1..5) }).collect()
}

fn queue(dice: &mut Rng, at: usize) -> Queue {
    let strategy = match dice.usize(0..SINGLES.len() + 2) {
        at if at < SINGLES.len() => SINGLES[at],
        at if at == SINGLES.len() => Strategy::RingAll,
        _ => Strategy::Progressive,
    };
    Queue {
        name: name_of(at),
        strategy: strategy.into(),
        order: SINGLES[dice.usize(0..SINGLES.len())].into(),
        steps: if strategy == Strategy::Progressive { steps(dice) } else { Vec::new() },
        ring_max: dice.u32(0..4),
        ring_one_tier: dice.bool(),
        idle_since: if dice.bool() { IdleSince::Ready.into() } else { IdleSince::LastCall.into() },
        ageing_permille: [0, 500, 2_000][dice.usize(0..3)],
        tiers: if dice.bool() { vec![Tier { tier: 2, after_seconds: dice.u32(1..10) }] } else { Vec::new() },
        answer: if dice.bool() { AnswerMode::OnEntry.into() } else { AnswerMode::OnAgent.into() },
        ring_seconds: dice.u32(2..8),
        wrap_up_seconds: dice.u32(0..4),
        waiting_max: if dice.u8(0..4) == 0 { dice.u32(3..12) } else { 0 },
        wait_seconds_max: if dice.u8(0..3) == 0 { dice.u32(5..40) } else { 0 },
        busy_delay_seconds: dice.u32(1..4),
        unreachable_delay_seconds: dice.u32(1..4),
        ..Queue::default()
    }
}

fn agent(dice: &mut Rng, at: usize, queues: usize) -> Agent {
    let names: Vec<String> = (0..queues).map(name_of).collect();
    Agent {
        name: format!("a{}", at + 1),
        contact: format!("sip:a{}@phones", at + 1),
        queues: memberships(dice, &names),
        ..Agent::default()
    }
}

fn memberships(dice: &mut Rng, names: &[String]) -> Vec<Membership> {
    let mut names = names.to_vec();
    dice.shuffle(&mut names);
    names.truncate(dice.usize(1..=names.len()));
    names.into_iter().map(|queue| Membership { queue, tier: dice.u32(1..3), weight: dice.u32(1..3) }).collect()
}
