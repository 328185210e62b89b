//! One stream out of several: of this node's own shards, and of those that other nodes have. Records of one shard come in
//! the order of its log; the cursor is where the consumer is in all of them. It reads nothing itself.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use proto::v1::RecordBatch;
use tokio::sync::mpsc;
use tonic::Status;

use crate::records::cursor::Cursor;

/// Batches of some shards, each with the cursor of its own stream.
pub(super) struct Part {
    pub(super) shards: Vec<u32>,
    pub(super) batches: Pin<Box<dyn Stream<Item = Result<RecordBatch, Status>> + Send>>,
}

/// Hands on the batches of all parts as they come, until all have ended, one has broken, or nobody takes them.
pub(super) async fn join(parts: Vec<Part>, start: Cursor, batches: mpsc::Sender<Result<RecordBatch, Status>>) {
    let mut cursor = start.clone();
    let parts = parts.into_iter().map(|Part { shards, batches }| batches.map(move |batch| (shards.clone(), batch)));
    let mut all = futures::stream::select_all(parts);
    loop {
        let next = tokio::select! {
            next = all.next() => next,
            () = batches.closed() => return,
        };
        let Some((shards, batch)) = next else { return };
        let batch = batch.and_then(|batch| placed(batch, &shards, &start, &mut cursor));
        let broken = batch.is_err();
        // Whoever goes on from the last cursor misses nothing: what another part has read and not handed on comes again.
        if batches.send(batch).await.is_err() || broken {
            return;
        }
    }
}

/// The batch with the cursor of the whole.
fn placed(batch: RecordBatch, shards: &[u32], start: &Cursor, whole: &mut Cursor) -> Result<RecordBatch, Status> {
    let part: Cursor = batch.cursor.parse().map_err(|_| Status::internal("another node gave no cursor"))?;
    // One of an earlier release reads all that it has, whatever it is asked for.
    if part.shards().any(|shard| !shards.contains(&shard) && part.last(shard) != start.last(shard)) {
        return Err(Status::unavailable("a node of an earlier release cannot read some shards alone; ask again"));
    }
    shards.iter().for_each(|shard| whole.take(*shard, &part));
    Ok(RecordBatch { cursor: whole.to_string(), ..batch })
}

#[cfg(test)]
mod tests {
    use cluster::RecordKey;
    use proto::v1::Record;

    use super::*;

    fn cursor(places: &[(u32, u64)]) -> Cursor {
        let mut cursor = Cursor::default();
        places.iter().for_each(|(shard, index)| cursor.pass(RecordKey { shard: *shard, index: *index, position: 0 }));
        cursor
    }

    fn batch(at_ms: u64, cursor: &Cursor) -> Result<RecordBatch, Status> {
        let records = vec![Record { at_ms, ..Record::default() }];
        Ok(RecordBatch { records, cursor: cursor.to_string(), pruned: false })
    }

    fn part(shards: &[u32], batches: Vec<Result<RecordBatch, Status>>) -> Part {
        Part { shards: shards.to_vec(), batches: Box::pin(futures::stream::iter(batches)) }
    }

    async fn joined(parts: Vec<Part>, from: Cursor) -> Vec<Result<RecordBatch, Status>> {
        let (batches, mut receiver) = mpsc::channel(1);
        let task = tokio::spawn(join(parts, from, batches));
        let mut all = Vec::new();
        while let Some(batch) = receiver.recv().await {
            all.push(batch);
        }
        task.await.expect("it ends");
        all
    }

    #[tokio::test]
    async fn each_shard_is_in_order_and_the_cursor_is_of_all_of_them() {
        let start = cursor(&[(1, 5), (7, 1)]);
        let own = [10, 11].map(|index| batch(index, &cursor(&[(0, index), (1, 5), (7, 1)])));
        let theirs = [2, 3].map(|index| batch(index, &cursor(&[(1, 5), (7, index)])));
        let all = joined(vec![part(&[0, 1], own.into()), part(&[7], theirs.into())], start).await;
        let (mut last, mut seen) = (Cursor::default(), Vec::new());
        for batch in all {
            let batch = batch.expect("a batch");
            seen.push(batch.records[0].at_ms);
            last = batch.cursor.parse().expect("a cursor");
        }
        let of = |among: &[u64]| seen.iter().copied().filter(|at| among.contains(at)).collect::<Vec<_>>();
        assert_eq!((of(&[10, 11]), of(&[2, 3]), seen.len()), (vec![10, 11], vec![2, 3], 4));
        assert_eq!(last, cursor(&[(0, 11), (1, 5), (7, 3)]));
    }

    #[tokio::test]
    async fn a_part_that_breaks_ends_it_and_its_cursor_is_where_it_got_to() {
        let broken = vec![batch(1, &cursor(&[(7, 1)])), Err(Status::unavailable("it goes"))];
        let all = joined(vec![part(&[7], broken)], Cursor::default()).await;
        assert_eq!(all[0].as_ref().map(|batch| batch.cursor.clone()).ok(), Some(cursor(&[(7, 1)]).to_string()));
        assert_eq!(all[1].as_ref().expect_err("broken").message(), "it goes");
        // What was not asked for is not handed on: it would come twice.
        let more = vec![batch(1, &cursor(&[(1, 9), (7, 1)]))];
        let all = joined(vec![part(&[7], more)], Cursor::default()).await;
        assert_eq!(all[0].as_ref().expect_err("of an earlier release").code(), tonic::Code::Unavailable);
    }
}
