//! What a node knows before anything of it runs: its disk, its place, who the others are, and whether it may run at all.

use std::path::Path;

use anyhow::Context as _;
use cluster::{DiskConfig, DiskStore, Identity, Outbox, OutboxLimits, Store as _};
use prost::Message as _;

use crate::{
    answers::Start,
    config::NodeConfig,
    disk_failure::stop_at_once,
    join::{self, Announcer, Answer, Begin},
    members::{Member, Members, MembersError, number_of},
    records::Records,
    replicas::REMEMBERED,
    shards,
};

/// Where a node is reached.
pub(crate) struct Places {
    pub(crate) listen: String,
    pub(crate) advertise: String,
}

/// What a node knows before anything of it runs.
pub(crate) struct Birth {
    pub(crate) own: u64,
    pub(crate) members: Members,
    pub(crate) places: Places,
    pub(crate) start: Start,
    pub(crate) disk: OpenDisk,
    pub(crate) announcer: Announcer,
}

/// The disk, and what is to be started from it.
pub(crate) struct OpenDisk {
    pub(crate) store: DiskStore,
    pub(crate) records: Records,
    pub(crate) begin: Begin,
}

/// Opens the disk and asks the others, so that a disk that must not serve never says a word as a member.
pub(crate) async fn begin(config: &NodeConfig) -> anyhow::Result<Birth> {
    let members = Members::parse(&config.peers)?;
    let own = number_of(&config.id).ok_or_else(|| MembersError::Id(config.id.clone()))?;
    if !config.peers.is_empty() {
        members.number(&config.id)?;
    }
    let identity = Identity { cluster: config.cluster.clone(), node: own };
    let (mut store, outbox) = open_disk(config, &identity)?;
    let mut begin = Begin::read(&mut store, config, &members)?;
    members.learn(&begin.remembered.nodes);
    let places = places(config, members.get(own))?;
    members.set_own(own, &places.advertise);
    if begin.replicas.is_empty() && config.join.is_empty() && members.numbers().len() < 2 {
        anyhow::bail!("this node knows no other: give --join with nodes of its cluster, or --peers to found one");
    }
    let start = Start { seal: store.disk().seal, life: store.disk().life, process: random()?, ..Start::default() };
    let request = join::request(config, own, &places.advertise, &begin, &start);
    let seeds = config.join.clone();
    let announcer =
        Announcer { request, seeds, members: members.clone(), channels: shards::channels(config.trust.clone()) };
    match announcer.ask(false).await {
        Answer::Refused(why) => return Err(why.into()),
        Answer::TakenIn(reply) => {
            members.trust(&reply.nodes);
            begin.remembered.nodes = reply.nodes;
            begin.remembered.founded = reply.founded;
            if begin.empty {
                begin.wait_to_be_told();
            }
        }
        Answer::Later { founded: true, .. } if begin.empty => begin.wait_to_be_told(),
        Answer::Early | Answer::Later { .. } => {}
    }
    begin.remembered.replicas.clone_from(&begin.replicas);
    store.remember(REMEMBERED, &begin.remembered.encode_to_vec())?;
    let shards: Vec<u32> = begin.replicas.iter().map(|row| row.shard).collect();
    let records = Records::start(outbox.clone(), &shards, stop_at_once)?;
    Ok(Birth {
        own,
        members,
        places,
        start,
        disk: OpenDisk { store: store.with_outbox(outbox), records, begin },
        announcer,
    })
}

fn places(config: &NodeConfig, known: Option<Member>) -> anyhow::Result<Places> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let known = known.map(|member| member.endpoint);
    let listen = given(&config.grpc).or_else(|| known.clone());
    let listen = listen.context("where does this node listen? Give --grpc HOST:PORT")?;
    let named = known.filter(|_| !config.peers.is_empty());
    let advertise = given(&config.advertise).or(named).unwrap_or_else(|| listen.clone());
    Ok(Places { listen, advertise })
}

fn open_disk(config: &NodeConfig, identity: &Identity) -> anyhow::Result<(DiskStore, Outbox)> {
    let dir = &config.dir;
    let opened = |path: &Path| format!("cannot open {}", path.display());
    let outbox = Outbox::open(&dir.join("outbox"), OutboxLimits::default()).with_context(|| opened(dir))?;
    let store = DiskStore::open(dir, identity, DiskConfig::default()).with_context(|| opened(dir))?;
    Ok((store, outbox))
}

/// What only this start of this node has.
pub(crate) fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(u64::from_le_bytes(bytes))
}
