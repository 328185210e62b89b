//! Far ends that name addresses where nothing must be sent.

use proto::v1::{EndCause, Gone, command::Kind, order::Want};

use crate::{
    calls::{listen, ring, talk},
    gateway,
    operation::{enrol, get, register_with},
    peer::Peer,
    shard::Cluster,
};

/// The port on which a node hears gRPC.
fn node_port(cluster: &Cluster) -> String {
    cluster.endpoints()[0].rsplit(':').next().unwrap().to_owned()
}

/// The same description with another audio port.
fn aimed(sdp: &str, port: &str) -> String {
    let audio = sdp.split("m=audio ").nth(1).unwrap().split(' ').next().unwrap();
    sdp.replace(&format!("m=audio {audio} "), &format!("m=audio {port} "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_transferred_into_the_cluster() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let (mut caller, _agent, _) = talk(&cluster, gateway.sip(), "refers").await;
    let ok = caller.last_ok.clone().unwrap();
    let targets = [format!("sip:5000@{}", cluster.endpoints()[0]), "sip:x@169.254.169.254".to_owned()];
    for (cseq, target) in (2..).zip(targets) {
        let more = format!("Contact: <sip:ann@{}>\r\nRefer-To: <{target}>\r\nContent-Length: 0", caller.address);
        let refer = caller.within("REFER", cseq, "refers", &ok).replace("Content-Length: 0", &more);
        caller.send(&refer).await;
        let answer = caller.expect("SIP/2.0 6").await;
        assert!(answer.0.starts_with("SIP/2.0 603"), "{}", answer.0);
    }
    assert!(cluster.picked(|kind| matches!(kind, Kind::ReferLeg(_)).then_some(())).is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_registers_where_machines_keep_secrets() {
    let cluster = Cluster::start(1).await;
    enrol(&cluster, "agent7");
    let gateway = gateway(&cluster).await;
    let bound = |kind: &Kind| match kind {
        Kind::RegisterContact(bound) => Some(bound.clone()),
        _ => None,
    };
    let node = format!("Path: <sip:{};lr>\r\n", cluster.endpoints()[0]);
    for path in ["Path: <sip:169.254.169.254;lr>\r\n", &node] {
        let mut phone = Peer::udp(gateway.sip()).await;
        register_with(&mut phone, "agent7", "right", path).await;
        phone.expect("SIP/2.0 403").await;
    }
    assert!(cluster.picked(bound).is_empty(), "the shard is not bothered");
    // Without a proxy before it, a phone is where its messages come from, whatever it says of itself.
    let mut phone = Peer::udp(gateway.sip()).await;
    let address = phone.address;
    phone.address = "169.254.169.254:5060".parse().unwrap();
    register_with(&mut phone, "agent7", "right", "").await;
    phone.expect("SIP/2.0 200").await;
    let contact = cluster.wait("the binding", bound).await.contact;
    assert!(contact.contains(&address.to_string()), "{contact}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sound_and_no_request_goes_to_a_node() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let port = node_port(&cluster);
    let mut caller = Peer::udp(gateway.sip()).await;
    let invite = caller.invite("sound", "5000");
    let (head, sdp) = invite.split_once("\r\n\r\n").unwrap();
    let other = aimed(sdp, &port);
    let length = |sdp: &str| format!("Content-Length: {}", sdp.len());
    caller.send(&format!("{}\r\n\r\n{other}", head.replace(&length(sdp), &length(&other)))).await;
    caller.expect("SIP/2.0 488").await;
    assert!(cluster.heard().is_empty(), "the shard is not bothered");

    // An agent's answer.
    let mut caller = Peer::udp(gateway.sip()).await;
    let astray = caller.invite("contact", "5000").replace(
        &format!("Contact: <sip:ann@{};", caller.address),
        &format!("Contact: <sip:ann@{};", cluster.endpoints()[0]),
    );
    caller.send(&astray.replace("transport=udp", "x=y")).await;
    let call = cluster.offered().await.call;
    cluster.order(call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, "contact", &ok)).await;
    let mut agent = Peer::udp(gateway.sip()).await;
    cluster.order(call, 2, ring(&agent));
    let invite = agent.expect("INVITE").await;
    let contact = format!("Contact: <sip:agent@{}>\r\n", agent.address);
    agent.send(&invite.response("200 OK", &contact, &aimed(&agent.sdp(), &port))).await;
    agent.expect("ACK").await;
    agent.expect("BYE").await;
    assert_eq!(cluster.ended(call, 2).await.cause(), EndCause::Media);

    // A caller who says that requests are to go there.
    cluster.wait("the passport", |kind| matches!(kind, Kind::ConfirmLeg(_)).then_some(())).await;
    cluster.order(call, 1, Want::Gone(Gone::default()));
    cluster.ended(call, 1).await;
    let metrics = get(gateway.http().unwrap(), "/metrics").await;
    assert!(metrics.contains("cordboard_gateway_egress_refused_total 3"), "{metrics}");
    gateway.stop().await;
}
