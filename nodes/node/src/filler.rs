//! Fills what is missing of this node's records from the nodes that have it: what was written down while it was away, or
//! before it came. A piece at a time, so that nothing else waits for it. It judges no record, and gives nothing to others.

use std::{collections::BTreeMap, time::Duration};

use proto::v1::{ReadRecordsReply, ReadRecordsRequest, query_client::QueryClient};
use tokio::time::{Instant, sleep};
use trust::Channels;

use crate::{
    members::{Member, Members},
    owners::Owners,
    process::MESSAGE_BYTES_MAX,
    records::{Gap, Piece, Records},
    shards::within,
};

/// How long another node may take for a piece.
const PIECE_WAIT: Duration = Duration::from_secs(5);
/// Between two pieces.
const BREATH: Duration = Duration::from_millis(10);
/// What nobody has is asked for again after this, and twice as late each time,
const AGAIN_MIN: Duration = Duration::from_secs(2);
/// up to this.
const AGAIN_MAX: Duration = Duration::from_secs(300);

/// Looks for gaps while the node runs.
pub(crate) struct Filler {
    pub(crate) own: u64,
    pub(crate) records: Records,
    pub(crate) owners: Owners,
    pub(crate) members: Members,
    pub(crate) channels: Channels,
    /// Between looks.
    pub(crate) every: Duration,
}

/// When a gap that nobody could fill is tried again, and how long to wait after that.
type Tried = BTreeMap<(u32, u64, u64), (Instant, Duration)>;

impl Filler {
    pub(crate) async fn run(self) {
        let mut tried = Tried::new();
        loop {
            sleep(self.every).await;
            let mut gaps = Vec::new();
            for shard in self.owners.shards() {
                let missing = self.records.gaps(shard).into_iter().filter(|gap| !gap.pruned);
                gaps.extend(missing.map(|gap| (shard, gap)));
            }
            tried.retain(|tried, _| gaps.iter().any(|(shard, gap)| key(*shard, gap) == *tried));
            for (shard, gap) in gaps {
                let now = Instant::now();
                if tried.get(&key(shard, &gap)).is_some_and(|(next, _)| *next > now) {
                    continue;
                }
                if !self.fill(shard, gap).await {
                    let (_, pause) = tried.get(&key(shard, &gap)).copied().unwrap_or((now, AGAIN_MIN));
                    tried.insert(key(shard, &gap), (now + pause, (2 * pause).min(AGAIN_MAX)));
                }
            }
        }
    }

    /// Asks for what is missing, from its beginning to its end. False when nobody has any of it.
    async fn fill(&self, shard: u32, gap: Gap) -> bool {
        let (mut after, mut some) = (gap.after, false);
        let own = self.own;
        let mut others: Vec<_> = self.members.all().into_iter().filter(|(number, _)| *number != own).collect();
        while after < gap.until {
            let Some(piece) = self.next_piece(&mut others, shard, after, gap.until).await else { break };
            (after, some) = (piece.through, true);
            let records = self.records.clone();
            // Disk: not on an async thread.
            if tokio::task::spawn_blocking(move || records.fill(shard, piece)).await.is_err() {
                break;
            }
            sleep(BREATH).await;
        }
        if some {
            tracing::info!(shard, after = gap.after, until = gap.until, through = after, "missing records have come");
        }
        some
    }

    /// What follows at one of the others that has it; when none has what is next, the first of what any of them has. Whoever
    /// gives is asked first next time, whoever does not answer is not asked again.
    async fn next_piece(&self, others: &mut Vec<(u64, Member)>, shard: u32, after: u64, until: u64) -> Option<Piece> {
        let (mut best, mut at): (Option<Piece>, _) = (None, 0);
        while at < others.len() {
            let channel = self.channels.to(&others[at].1.endpoint);
            let mut query = QueryClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
            match within(PIECE_WAIT, query.read_records(ReadRecordsRequest { shard, after, until })).await {
                Ok(reply) => {
                    let piece = piece_of(reply, after, until);
                    if piece.as_ref().is_some_and(|piece| piece.from == after) {
                        others.swap(0, at);
                        return piece;
                    }
                    let first = |piece: &Piece| best.as_ref().is_none_or(|best| piece.from < best.from);
                    if piece.as_ref().is_some_and(first) {
                        best = piece;
                    }
                    at += 1;
                }
                Err(_) => drop(others.remove(at)),
            }
        }
        best
    }
}

const fn key(shard: u32, gap: &Gap) -> (u32, u64, u64) {
    (shard, gap.after, gap.until)
}

/// A piece of what was asked for, if it is one and something is in it.
fn piece_of(reply: ReadRecordsReply, after: u64, until: u64) -> Option<Piece> {
    let entries = reply.entries.into_iter().map(|entry| (entry.index, entry.records)).collect();
    let piece = Piece { from: reply.from, through: reply.through, entries };
    let asked = after <= piece.from && piece.from < piece.through && piece.through <= until;
    if asked && piece.is_sound() {
        return Some(piece);
    }
    if piece.through > piece.from {
        tracing::warn!(after, until, from = piece.from, through = piece.through, "records that nobody asked for");
    }
    None
}

#[cfg(test)]
mod tests {
    use proto::v1::{EntryRecords, Record};

    use super::*;

    fn reply(from: u64, through: u64, indices: &[u64]) -> ReadRecordsReply {
        let entry = |index: &u64| EntryRecords { index: *index, records: vec![Record::default()] };
        ReadRecordsReply { from, through, entries: indices.iter().map(entry).collect() }
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        for sound in [reply(5, 9, &[6, 9]), reply(5, 6, &[]), reply(7, 9, &[8])] {
            assert!(piece_of(sound.clone(), 5, 9).is_some(), "{sound:?}");
        }
        let unsound = [
            reply(5, 5, &[]),
            reply(9, 5, &[]),
            reply(4, 9, &[6]),
            reply(5, 10, &[6]),
            reply(5, 9, &[5]),
            reply(5, 9, &[10]),
            reply(5, 9, &[0]),
            reply(5, 9, &[7, 6]),
            reply(5, 9, &[6, 6]),
            reply(0, u64::MAX, &[u64::MAX]),
        ];
        for reply in unsound {
            assert!(piece_of(reply.clone(), 5, 9).is_none(), "{reply:?}");
        }
        assert!(piece_of(reply(0, 2, &[0, 1]), 0, 2).is_none(), "there is no entry 0");
    }
}
