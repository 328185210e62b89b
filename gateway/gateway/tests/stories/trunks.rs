//! Calls that leave by trunks.

use proto::v1::{self, EndCause, command::Kind, order::Want};

use crate::{calls::listen, gateway, operation::get, peer::Peer, shard::Cluster};

/// A trunk whose one host is this peer; a lower priority is tried first.
fn trunk(name: &str, peer: &Peer, priority: u32) -> v1::TrunkRoute {
    let host = peer.address.ip().to_string();
    let host = v1::TrunkHost { host, port: peer.address.port().into(), ..v1::TrunkHost::default() };
    v1::TrunkRoute { trunk: Some(v1::Trunk { name: name.into(), hosts: vec![host], priority, ..v1::Trunk::default() }) }
}

fn dial(target: &str) -> Want {
    Want::Dial(v1::Dial { target: target.to_owned(), caller: "ann".into(), ..v1::Dial::default() })
}

#[tokio::test]
async fn a_number_leaves_by_the_next_trunk_when_the_first_is_overloaded_and_a_refusal_is_final() {
    let cluster = Cluster::start(1).await;
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let (mut first, mut second) = (Peer::udp(nowhere).await, Peer::udp(nowhere).await);
    cluster.directory(|view| view.routes = vec![trunk("first", &first, 1), trunk("second", &second, 2)]);
    let gateway = gateway(&cluster).await;
    (first.gateway, second.gateway) = (gateway.sip(), gateway.sip());
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("out", "5000")).await;
    let call = cluster.offered().await.call;
    cluster.order(call, 1, listen());

    cluster.order(call, 2, dial("+4930"));
    let invite = first.expect("INVITE").await;
    assert!(invite.0.starts_with(&format!("INVITE sip:+4930@{} SIP/2.0\r\n", first.address)), "{}", invite.0);
    first.send(&invite.response("503 Service Unavailable", "", "")).await;
    first.expect("ACK").await;
    let again = second.expect("INVITE").await;
    assert_ne!(again.header("CSeq"), invite.header("CSeq"), "a request of its own");
    assert_ne!(again.header("Via"), invite.header("Via"));
    let contact = format!("Contact: <sip:x@{}>\r\n", second.address);
    second.send(&again.response("200 OK", &contact, &second.sdp())).await;
    second.expect("ACK").await;
    let answered = |kind: &Kind| matches!(kind, Kind::AnswerLeg(answer) if answer.leg == 2).then_some(());
    cluster.wait("the answer", answered).await;

    cluster.order(call, 3, dial("+4940"));
    let invite = first.expect("INVITE").await;
    first.send(&invite.response("486 Busy Here", "", "")).await;
    let end = cluster.ended(call, 3).await;
    assert_eq!((end.cause(), end.sip_status), (EndCause::Busy, 486));
    gateway.stop().await;
}

#[tokio::test]
async fn who_calls_is_believed_of_a_trunk_that_asserts_it_and_metrics_tell_of_trunks() {
    for (asserts, caller) in [(true, "+4930"), (false, "ann")] {
        let cluster = Cluster::start(1).await;
        cluster.directory(|view| {
            let addresses = vec!["127.0.0.1".to_owned()];
            let trunk = v1::Trunk { name: "near".into(), addresses, assert_identity: asserts, ..v1::Trunk::default() };
            view.routes = vec![v1::TrunkRoute { trunk: Some(trunk) }];
        });
        let gateway = gateway(&cluster).await;
        let mut peer = Peer::udp(gateway.sip()).await;
        let asserted = "P-Asserted-Identity: <sip:+4930@carrier.example>\r\nCSeq:";
        peer.send(&peer.invite("who", "5000").replacen("CSeq:", asserted, 1)).await;
        assert_eq!(cluster.offered().await.caller, caller);
        let metrics = get(gateway.http().unwrap(), "/metrics").await;
        assert!(metrics.contains(r#"cordboard_gateway_trunk_calls{trunk="near"} 1"#), "{metrics}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn no_call_goes_into_the_cluster() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("in", "5000")).await;
    let call = cluster.offered().await.call;
    cluster.order(call, 2, dial(&format!("sip:x@{}", cluster.endpoints()[0])));
    assert_eq!(cluster.ended(call, 2).await.sip_status, 403);
    cluster.order(call, 3, dial("+4930"));
    assert_eq!(cluster.ended(call, 3).await.cause(), EndCause::Unreachable);
    gateway.stop().await;
}
