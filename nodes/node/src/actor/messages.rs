//! What the owner of a core's shards can be told. None has an answer of its own: whoever wants one gives a channel for it.

use actix::Message;
use cluster::{Membership, PeerMessage, Persisted, Recovered};
use proto::v1::{Batch, DirectoryEntry, NotLeader, Rejection, Submission, SubmitReply, WatchReply, WatchRequest};
use tokio::sync::{mpsc, oneshot};

use crate::core::{ClientKey, Core, WatcherKey};

/// What became of a change of the directory, or who leads.
pub type Decided = Result<Result<(), Rejection>, NotLeader>;

/// Told that an entry was applied, or who leads.
pub type Proposed = oneshot::Sender<Result<(), NotLeader>>;

/// Asked of the core on the actor's thread, or told who leads instead; must be quick.
pub type Question = Box<dyn FnOnce(Result<&Core, NotLeader>) + Send>;

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }
        impl Message for $name {
            type Result = ();
        }
    };
}

message! { /// The burst is over.
Drain {} }
message! { /// A batch window has closed.
Wake {} }
message! { /// From peers.
Step { /// The node.
    from: u64, /// Raft messages.
    messages: Vec<PeerMessage> } }
message! { /// From the log writer.
Durable { /// What.
    done: Persisted } }
message! { /// From the transport.
Unreachable { /// Node number.
    node: u64 } }
message! { /// From the transport: what became of a snapshot.
SnapshotDone { /// The shard.
    shard: u32, /// The node it was for.
    to: u64, /// Whether it is there.
    ok: bool } }
message! { /// Commands of one Submit stream.
Submit { /// The stream.
    client: ClientKey, /// Where its outcomes go.
    replies: mpsc::Sender<SubmitReply>, /// The commands.
    submissions: Vec<Submission> } }
message! { /// A Submit stream has ended.
ForgetClient { /// The stream.
    client: ClientKey } }
message! { /// A Watch stream has begun.
Watch { /// The stream.
    key: WatcherKey, /// Who watches what.
    request: WatchRequest, /// Where orders go.
    replies: mpsc::Sender<WatchReply> } }
message! { /// A Watch stream has ended.
Unwatch { /// The stream.
    key: WatcherKey } }
message! { /// A change of the directory.
ProposeDirectory { /// What.
    entry: DirectoryEntry, /// What became of it, or who leads.
    done: oneshot::Sender<Decided> } }
message! { /// A change of where a tenant lives.
ProposeTenancy { /// The shard.
    shard: u32, /// What.
    batch: Batch, /// It was applied, or who leads; dropped when neither comes to be known.
    done: Proposed } }
message! { /// A look at this node's replicas, right or not.
Look { /// Called on the actor's thread; must be quick.
    at: Box<dyn FnOnce(&Core) + Send> } }
message! { /// A replica begins.
OpenReplica { /// Of what.
    shard: u32, /// What the disk has of it.
    recovered: Recovered, /// Whether it could.
    done: oneshot::Sender<Result<(), String>> } }
message! { /// A replica goes.
CloseReplica { /// Of what.
    shard: u32, /// Resolves when nothing of it will be written any more.
    done: oneshot::Sender<()> } }
message! { /// The members of a shard that is led here change.
ChangeMembers { /// Of what.
    shard: u32, /// How.
    steps: Vec<Membership>, /// Whether that was taken.
    done: oneshot::Sender<Result<(), String>> } }
message! { /// Another voter leads.
TransferLead { /// What.
    shard: u32, /// The node.
    to: u64 } }
message! { /// Hand every led shard over.
HandOver { /// Resolves when nothing is led here any more, or after a while.
    done: oneshot::Sender<()> } }

/// A question that only a shard's leader may answer.
pub struct Ask {
    /// The shard.
    pub shard: u32,
    /// Called on the actor's thread after a read index, or with who leads instead; must be quick.
    pub question: Question,
}

impl Message for Ask {
    type Result = ();
}
