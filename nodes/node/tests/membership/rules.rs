use proto::v1::{AskRequest, RaiseRulesRequest, TotalsRequest, ask_reply, ask_request};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_change_only_after_the_upgrade_is_finished() {
    // Founded by a release that knew no rules of nodes.
    let mut world = World::found(3, NodeConfig { rules: 0, ..NodeConfig::default() }).await;
    let raise = |version, dry_run| RaiseRulesRequest { version, dry_run, by: "test".into() };
    let view = world.see("all say what they know", |view| (view.rules_possible == 4).then(|| view.clone())).await;
    assert_eq!((view.rules, view.nodes.len()), (0, 3));
    let early = world.wish(1, "n4", NodeWish::Added, false).await.expect_err("too early");
    assert!(early.message().contains("upgrade finish"), "{early}");
    // One that joins waits.
    world.join(4, &[1]);

    world.stop(3).await;
    world.see("n3 is silent", |view| view.nodes.iter().any(|node| !node.up).then_some(())).await;
    let lacking = world.cluster(1).await.expect("up").raise_rules(raise(4, false)).await.expect_err("n3 is not asked");
    assert!(lacking.message().contains("n3 does not answer"), "{lacking}");
    let beyond = world.cluster(1).await.expect("up").raise_rules(raise(9, false)).await.expect_err("unknown rules");
    assert!(beyond.message().contains("rules 9"), "{beyond}");
    world.start(3);
    world.see("n3 is back", |view| view.nodes.iter().all(|node| node.up).then_some(())).await;

    let tried = world.cluster(2).await.expect("up").raise_rules(raise(0, true)).await.expect("only tried");
    assert_eq!(tried.into_inner().rules, 0);
    let raised = world.cluster(2).await.expect("up").raise_rules(raise(0, false)).await.expect("raised");
    assert_eq!(raised.into_inner().rules, 4);
    world
        .see("the first nodes are announced and n4 has joined", |view| {
            let known = view.nodes.iter().all(|node| node.row.as_ref().is_some_and(|row| row.seal != 0));
            (known && view.nodes.len() == 4 && is_calm(view)).then_some(())
        })
        .await;
    until("the tenant follows them, too", async || {
        for number in 1..=3 {
            let mut query = QueryClient::connect(format!("http://{}", world.at(number))).await.ok()?;
            let about = Some(ask_request::About::Totals(TotalsRequest {}));
            let Ok(reply) = query.ask(AskRequest { shard: 1, about }).await else { continue };
            if let Some(ask_reply::About::Totals(totals)) = reply.into_inner().about {
                return (totals.rules == 4).then_some(());
            }
        }
        None
    })
    .await;
    world.stop_all().await;
}
