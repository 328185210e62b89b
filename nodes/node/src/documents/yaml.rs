//! Documents back to the YAML they came from, to be applied again as it is. Never prints a password: there is none.

use proto::v1::{Agent, Document, Number, Queue, Trunk, document};
use serde::Serialize;

use super::{
    kinds::{ANSWERS, STARTS, STRATEGIES},
    values::to_hex,
};

/// Writes documents as one YAML stream.
pub fn to_yaml(documents: &[Document]) -> String {
    let written: Vec<_> = documents.iter().filter_map(|document| document.kind.as_ref().map(written)).collect();
    serde_saphyr::to_string_multiple(&written).expect("text and numbers can always be written")
}

#[derive(Serialize)]
#[serde(tag = "kind")]
enum Written<'a> {
    Number {
        name: &'a str,
        route: Route<'a>,
    },
    Queue {
        name: &'a str,
        strategy: &'a str,
        answer: &'a str,
        ring_seconds: u32,
        wrap_up_seconds: u32,
        waiting_max: u32,
        wait_seconds_max: u32,
        busy_delay_seconds: u32,
        unreachable_delay_seconds: u32,
        music: &'a str,
    },
    Agent {
        name: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        contact: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        queues: Vec<Named<'a>>,
        start: &'a str,
        #[serde(skip_serializing_if = "is_zero")]
        wrap_up_seconds: u32,
        #[serde(skip_serializing_if = "String::is_empty")]
        ha1_md5: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        ha1_sha256: String,
    },
    Trunk {
        name: &'a str,
        addresses: &'a [String],
    },
}

#[derive(Serialize)]
struct Route<'a> {
    queue: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

fn written(document: &document::Kind) -> Written<'_> {
    match document {
        document::Kind::Number(Number { name, queue }) => Written::Number { name, route: Route { queue } },
        document::Kind::Queue(queue) => written_queue(queue),
        document::Kind::Agent(agent) => written_agent(agent),
        document::Kind::Trunk(Trunk { name, addresses }) => Written::Trunk { name, addresses },
    }
}

fn written_queue(queue: &Queue) -> Written<'_> {
    Written::Queue {
        name: &queue.name,
        strategy: word(&STRATEGIES, queue.strategy()),
        answer: word(&ANSWERS, queue.answer()),
        ring_seconds: queue.ring_seconds,
        wrap_up_seconds: queue.wrap_up_seconds,
        waiting_max: queue.waiting_max,
        wait_seconds_max: queue.wait_seconds_max,
        busy_delay_seconds: queue.busy_delay_seconds,
        unreachable_delay_seconds: queue.unreachable_delay_seconds,
        music: &queue.music,
    }
}

fn written_agent(agent: &Agent) -> Written<'_> {
    Written::Agent {
        name: &agent.name,
        contact: &agent.contact,
        queues: agent.queues.iter().map(|membership| Named { name: &membership.queue }).collect(),
        start: word(&STARTS, agent.start()),
        wrap_up_seconds: agent.wrap_up_seconds,
        ha1_md5: to_hex(&agent.ha1_md5),
        ha1_sha256: to_hex(&agent.ha1_sha256),
    }
}

/// The word for a value. An unspecified one, which `parse` never makes, is not a word: applying it says so.
fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("unspecified", |(word, _)| word)
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
