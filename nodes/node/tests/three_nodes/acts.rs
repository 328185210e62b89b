//! What supervisors and agents do with calls, and what is counted; each asked of a node that does not lead.

use proto::v1::{
    ActOnCallRequest, ChangeCall, Configure, Counts, IntervalRecord, PullCall, RejectionCode, StatsRequest,
    act_on_call_request::Action,
};
use tonic::Code;

use super::*;

fn change(change: AgentChange, seconds: u32) -> ChangeAgentRequest {
    ChangeAgentRequest { name: "anna".into(), change: change.into(), reason: "lunch".into(), seconds }
}

fn stats(subject: &str, intervals: bool) -> StatsRequest {
    StatsRequest { subject: subject.into(), intervals, ..StatsRequest::default() }
}

fn counted(rows: &[IntervalRecord], name: &str) -> Counts {
    rows.iter().find(|row| row.name == name).and_then(|row| row.counts.clone()).expect("a row")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_changes_the_line_and_everything_is_counted() {
    let mut cluster = Cluster::start().await;
    apply(&cluster, CENTRE).await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let other = (leader + 1) % 3;
    let mut admin = cluster.admin(other).await.expect("up");
    admin.change_agent(change(AgentChange::NotReady, 0)).await.expect("changed");
    let (mut gateway, _) = Gateway::attach(&cluster.nodes[leader].endpoint, 0).await.expect("attached");
    for call in 1..=3 {
        gateway.accepted(offer(call)).await;
    }
    assert_eq!(line(&cluster, other).await, ["caller1", "caller2", "caller3"]);
    let act = |action| ActOnCallRequest { action: Some(action) };
    let first = ChangeCall { call: 3, priority: 1, by: "boss".into(), ..ChangeCall::default() };
    let told = admin.act_on_call(act(Action::Change(first))).await.expect("changed").into_inner();
    assert_eq!(told.info.expect("the call").call, format!("{:016x}", 3));
    assert_eq!(line(&cluster, other).await, ["caller3", "caller1", "caller2"]);

    // Also somebody who is not ready may take a call out of turn, and only one that waits.
    let pull = |call, agent: &str| Action::Pull(PullCall { call, agent: agent.into(), by: "boss".into() });
    let told = admin.act_on_call(act(pull(1, "anna"))).await.expect("pulled").into_inner();
    assert_eq!(told.info.map(|call| (call.state, call.agent)), Some(("offered".into(), "anna".into())));

    // Refusals, each with the status that says who must act.
    for (action, code) in [
        (pull(9, "anna"), Code::NotFound),
        (pull(1, "nobody"), Code::NotFound),
        (pull(1, ""), Code::InvalidArgument),
        (pull(1, "anna"), Code::FailedPrecondition),
    ] {
        let refused = admin.act_on_call(act(action.clone())).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{action:?}: {refused}");
    }
    let extend = AgentChange::ExtendWrapUp;
    let refused = admin.change_agent(change(extend, 0)).await.expect_err("no time");
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("seconds"), "{refused}");
    let refused = admin.change_agent(change(extend, 30)).await.expect_err("no wrap-up");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    // A client may not configure a shard, whoever it says it is.
    match gateway.submit(command::Kind::Configure(Configure { version: 99, documents: Vec::new() })).await {
        outcome::Result::Rejection(rejection) => {
            assert_eq!((rejection.code(), rejection.detail.as_str()), (RejectionCode::Invalid, "not for clients"));
        }
        result => panic!("{result:?}"),
    }

    gateway.accepted(end(1, 1, EndCause::Hangup)).await;
    let reply = admin.get_stats(stats("queue", false)).await.expect("counted").into_inner();
    let support = counted(&reply.rows, "support");
    assert_eq!((support.offered, support.abandoned, reply.complete), (3, 1, true));
    let by_interval = admin.get_stats(stats("queue", true)).await.expect("counted").into_inner();
    assert_eq!(
        by_interval.rows.iter().map(|row| row.counts.as_ref().map_or(0, |counts| counts.offered)).sum::<u64>(),
        3
    );
    let agents = admin.get_stats(stats("agent", false)).await.expect("counted").into_inner();
    assert!(counted(&agents.rows, "anna").state_ms.iter().sum::<u64>() > 0);
    let refused = admin.get_stats(stats("agents", false)).await.expect_err("no such subject");
    assert!(refused.code() == Code::InvalidArgument && refused.message().starts_with("subject"), "{refused}");
    for index in 0..3 {
        cluster.stop(index).await;
    }
}
