//! Programs of the centre's that choose agents: a good one, a silent one, and one that talks nonsense.

use std::net::SocketAddr;

use proto::v1::{
    Ask, Choice,
    agent_chooser_server::{AgentChooser, AgentChooserServer},
};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use super::*;

/// Answers by the queue's name.
struct Program;

#[tonic::async_trait]
impl AgentChooser for Program {
    async fn choose(&self, request: Request<Ask>) -> Result<Response<Choice>, Status> {
        let ask = request.into_inner();
        let agents = match ask.queue.as_str() {
            // Whoever the centre's own rule would take last.
            "good" => ask.candidates.into_iter().rev().map(|candidate| candidate.agent).collect(),
            "nonsense" => vec![String::new(), "nobody".into(), "x".repeat(10_000), "anna\0".into()],
            "broken" => return Err(Status::internal("no")),
            _ => std::future::pending().await,
        };
        Ok(Response::new(Choice { agents }))
    }
}

async fn serve() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = tonic::transport::Server::builder()
        .add_service(AgentChooserServer::new(Program))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    address
}

fn centre(address: SocketAddr) -> String {
    let mut text = String::new();
    let queues = ["good", "silent", "nonsense", "broken"];
    for (number, queue) in (5001..).zip(queues) {
        text += &format!(
            "kind: Number\nname: '{number}'\nroute: {{ queue: {queue} }}\n---\nkind: Queue\nname: {queue}\n\
             strategy: external\nchooser: {{ endpoint: 'http://{address}', deadline_ms: 1000 }}\n---\n"
        );
    }
    let member = queues.map(|queue| format!("{{ name: {queue} }}")).join(", ");
    for agent in ["anna", "bert"] {
        text += &format!(
            "kind: Agent\nname: {agent}\ncontact: sip:{agent}@127.0.0.1:15080\nqueues: [{member}]\nstart: ready\n---\n"
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_chosen_outside_is_rung_and_without_a_good_answer_the_centres_own_rule_holds() {
    let mut cluster = Cluster::start().await;
    apply(&cluster, centre(serve().await).trim_end_matches("---\n")).await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let (mut gateway, _) = Gateway::attach(&cluster.nodes[leader].endpoint, 0).await.expect("attached");
    for (call, number, agent, cause) in
        [(1, "5001", "bert", "chooser"), (2, "5002", "anna", ""), (3, "5003", "anna", ""), (4, "5004", "anna", "")]
    {
        gateway.accepted(offer_to(number, call)).await;
        let ring = gateway.order(call, 2).await;
        assert!(matches!(&ring, order::Want::Ring(ring) if ring.agent == agent), "call {call}: {ring:?}");
        gateway.accepted(end(call, 1, EndCause::Hangup)).await;
        gateway.accepted(end(call, 2, EndCause::Ordered)).await;
        let request = GetCallRequest { call: format!("{call:016x}") };
        let explained = cluster.admin(leader).await.expect("up").explain_call(request).await.expect("explained");
        let causes: Vec<_> = explained
            .into_inner()
            .records
            .into_iter()
            .filter_map(|record| match record.kind {
                Some(record::Kind::Decision(decision)) => Some(decision.cause),
                _ => None,
            })
            .collect();
        assert_eq!(causes, [cause], "call {call}");
    }
    for index in 0..3 {
        cluster.stop(index).await;
    }
}
