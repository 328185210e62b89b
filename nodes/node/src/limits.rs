//! What was refused or dropped because a limit was reached, counted by the limit's name (docs/limits.md). Limits nothing.

use std::sync::LazyLock;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// A limit of a node that others can make it reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Messages that wait for an actor.
    Mailbox,
    /// Answers that a gateway has not read.
    SubmitReplies,
    /// Orders that a gateway has not read.
    WatchOrders,
    /// Questions that wait for a chooser.
    AsksWaiting,
    /// Commands of a shard that are not committed yet.
    ProposalsInFlight,
    /// Messages that a peer has not taken.
    PeerQueue,
    /// Consumers of records.
    RecordStreams,
    /// TLS handshakes under way, of all and of one address.
    Handshakes,
    /// Connections without a certificate.
    Strangers,
}

impl Limit {
    const ALL: [Self; 9] = [
        Self::Mailbox,
        Self::SubmitReplies,
        Self::WatchOrders,
        Self::AsksWaiting,
        Self::ProposalsInFlight,
        Self::PeerQueue,
        Self::RecordStreams,
        Self::Handshakes,
        Self::Strangers,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::SubmitReplies => "submit_replies",
            Self::WatchOrders => "watch_orders",
            Self::AsksWaiting => "asks_waiting",
            Self::ProposalsInFlight => "proposals_in_flight",
            Self::PeerQueue => "peer_queue",
            Self::RecordStreams => "record_streams",
            Self::Handshakes => "handshakes",
            Self::Strangers => "strangers",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

/// Of the whole process: those who reach a limit are in many places, and it is the process that is too small.
static REACHED: LazyLock<Family<LimitLabel, Counter>> = LazyLock::new(Family::default);

/// Shows all limits, with 0 too: whoever watches them finds their names.
pub(crate) fn register(registry: &mut Registry) {
    Limit::ALL.into_iter().for_each(|limit| count(limit, 0));
    registry.register("limit_reached", "Refused or dropped because this limit was reached", REACHED.clone());
}

/// Something was refused or dropped.
pub(crate) fn reached(limit: Limit) {
    count(limit, 1);
}

/// So many things were.
fn count(limit: Limit, more: u64) {
    REACHED.get_or_create_owned(&LimitLabel { limit: limit.name() }).inc_by(more);
}

/// So many things were by now, as somebody else has counted who counts nothing twice.
pub(crate) fn up_to(limit: Limit, counted: u64) {
    let counter = REACHED.get_or_create_owned(&LimitLabel { limit: limit.name() });
    counter.inc_by(counted.saturating_sub(counter.get()));
}

/// How often a limit was reached since the process began.
#[must_use]
pub fn times_reached(limit: Limit) -> u64 {
    REACHED.get_or_create_owned(&LimitLabel { limit: limit.name() }).get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    /// How far above a message its reason may stand.
    const LINES: usize = 6;

    fn unbounded(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder of ours") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                unbounded(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a file of ours");
            let lines: Vec<&str> = text.lines().collect();
            for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.contains(concat!(".do_", "send("))) {
                let before = &lines[at.saturating_sub(LINES)..at];
                if !before.iter().any(|line| line.contains("// Past the mailbox's limit")) {
                    found.push(format!("{}:{}", path.display(), at + 1));
                }
            }
        }
    }

    #[test]
    fn whatever_goes_past_a_mailboxs_limit_says_what_bounds_it() {
        let mut found = Vec::new();
        unbounded(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.is_empty(), "try_send with a counted limit, or a reason: {found:?}");
    }

    #[test]
    fn each_limit_is_shown_from_the_start_and_stands_in_the_table() {
        let (text, table) = (Metrics::default().text(), include_str!("../../../docs/limits.md"));
        for limit in Limit::ALL {
            let label = format!("limit=\"{}\"", limit.name());
            assert!(text.contains(&format!("cordboard_node_limit_reached_total{{{label}}}")), "{label}: {text}");
            assert!(table.contains(&label), "{label} is not in docs/limits.md");
        }
        let named = table.matches("limit=\"").count() - 1;
        assert!(named >= Limit::ALL.len(), "{named} rows name a metric");
    }
}
