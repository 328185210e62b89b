//! Calls as they should go.

use std::{net::SocketAddr, time::Duration};

use proto::v1::{self, Alert, EndCause, Gone, Join, Listen, RejectionCode, Ring, command::Kind, order::Want};
use tokio::time::timeout;

use crate::{PATIENCE, config, gateway, peer::Peer, ready_gateway, shard::Cluster, until};

pub fn listen() -> Want {
    Want::Listen(Listen { prompt: "music".into(), ..Listen::default() })
}

pub fn ring(agent: &Peer) -> Want {
    Want::Ring(Ring {
        contact: format!("sip:agent@{}", agent.address),
        agent: "agent".into(),
        caller: "ann".into(),
        caller_name: "Ann".into(),
        number: "5000".into(),
        queue: "support".into(),
        ..Ring::default()
    })
}

/// A caller and an agent who talk: the peers, and the call's id. The caller is leg 1, the agent leg 2.
pub async fn talk(cluster: &Cluster, sip: SocketAddr, name: &str) -> (Peer, Peer, u64) {
    let mut caller = Peer::udp(sip).await;
    caller.send(&caller.invite(name, "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, Want::Alert(Alert {}));
    let agent = answered_agent(cluster, sip, offer.call).await;
    cluster.order(offer.call, 1, Want::Join(Join { leg: 2 }));
    cluster.order(offer.call, 2, Want::Join(Join { leg: 1 }));
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, name, &ok)).await;
    cluster.wait("the passport", |kind| matches!(kind, Kind::ConfirmLeg(c) if c.leg == 1).then_some(())).await;
    (caller, agent, offer.call)
}

/// Rings an agent as leg 2 and answers.
pub async fn answered_agent(cluster: &Cluster, sip: SocketAddr, call: u64) -> Peer {
    let mut agent = Peer::udp(sip).await;
    cluster.order(call, 2, ring(&agent));
    let invite = agent.expect("INVITE").await;
    agent.send(&invite.response("180 Ringing", "", "")).await;
    let contact = format!("Contact: <sip:agent@{}>\r\n", agent.address);
    agent.send(&invite.response("200 OK", &contact, &agent.sdp())).await;
    agent.expect("ACK").await;
    let passport = cluster
        .wait("the agent's answer", |kind| match kind {
            Kind::AnswerLeg(answer) if (answer.call, answer.leg) == (call, 2) => Some(answer.passport.clone()),
            _ => None,
        })
        .await;
    assert!(!passport.is_empty());
    agent
}

/// 20 ms of mu-law.
fn rtp(sequence: u16, fill: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 9]);
    packet.extend_from_slice(&[fill; 160]);
    packet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_waits_with_music_reaches_an_agent_talks_and_hangs_up() {
    let cluster = Cluster::start(3).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("whole", "5000")).await;
    caller.expect("SIP/2.0 100").await;
    let offer = cluster.offered().await;
    assert_eq!((offer.number.as_str(), offer.caller.as_str(), offer.caller_name.as_str()), ("5000", "ann", "Ann"));
    assert_eq!((offer.gateway.as_str(), offer.incarnation), ("g1", cluster.watches()[0].1.incarnation));

    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, "whole", &ok)).await;
    let mut buffer = [0; 400];
    let music = timeout(PATIENCE, caller.rtp.recv(&mut buffer)).await.expect("music plays").unwrap();
    assert_eq!(music, 172);

    let mut agent = answered_agent(&cluster, gateway.sip(), offer.call).await;
    cluster.order(offer.call, 1, Want::Join(Join { leg: 2 }));
    cluster.order(offer.call, 2, Want::Join(Join { leg: 1 }));
    let heard = timeout(PATIENCE, async {
        for sequence in 0.. {
            let to = SocketAddr::new(gateway.sip().ip(), ok.audio_port());
            caller.rtp.send_to(&rtp(sequence, 0x2a), to).await.unwrap();
            let mut buffer = [0; 400];
            if let Ok(length) = timeout(Duration::from_millis(20), agent.rtp.recv(&mut buffer)).await
                && length.unwrap() == 172
                && buffer[12..172].iter().all(|byte| *byte == buffer[12])
            {
                return;
            }
        }
    });
    heard.await.expect("the agent hears the caller");

    caller.send(&caller.within("BYE", 2, "whole", &ok)).await;
    caller.expect("SIP/2.0 200").await;
    let end = cluster.ended(offer.call, 1).await;
    assert_eq!(end.cause(), EndCause::Hangup);
    cluster.order(offer.call, 2, Want::Gone(Gone { sip_status: 0, reason: "caller hung up".into() }));
    let bye = agent.expect("BYE").await;
    agent.send(&bye.response("200 OK", "", "")).await;
    assert_eq!(cluster.ended(offer.call, 2).await.cause(), EndCause::Ordered);
    assert_eq!(cluster.picked(|kind| matches!(kind, Kind::EndLeg(_)).then_some(())).len(), 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_over_tcp_is_served_alike() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::tcp(gateway.sip()).await;
    let invite = caller.invite("stream", "5000");
    let (first, second) = invite.split_at(100);
    caller.send(first).await;
    caller.send(second).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, "stream", &ok)).await;
    cluster.wait("the passport", |kind| matches!(kind, Kind::ConfirmLeg(_)).then_some(())).await;
    cluster.order(offer.call, 1, Want::Gone(Gone::default()));
    let bye = caller.expect("BYE").await;
    caller.send(&bye.response("200 OK", "", "")).await;
    cluster.ended(offer.call, 1).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_rung_over_tcp_when_the_contact_says_so() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("tcpagent", "5000")).await;
    let offer = cluster.offered().await;
    let contact = format!("sip:agent@{};transport=tcp", listener.local_addr().unwrap());
    cluster.order(offer.call, 2, Want::Ring(Ring { contact, ..Default::default() }));
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut buffer = vec![0; 4096];
    let length = timeout(PATIENCE, tokio::io::AsyncReadExt::read(&mut stream, &mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..length].starts_with(b"INVITE "));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_told_twice_do_nothing_twice_and_older_ones_nothing_at_all() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("twice", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, Want::Alert(Alert {}));
    caller.expect("SIP/2.0 180").await;
    let mut agent = Peer::udp(gateway.sip()).await;
    cluster.order(offer.call, 2, ring(&agent));
    let invite = agent.expect("INVITE").await;
    agent.send(&invite.response("180 Ringing", "", "")).await;
    cluster.repeat();
    cluster.repeat();
    cluster.order_with_revision(offer.call, 1, 0, Want::Gone(Gone { sip_status: 603, reason: String::new() }));
    caller.expect_none("SIP/2.0", Duration::from_millis(300)).await;
    agent.expect_none("INVITE", Duration::from_millis(300)).await;
    assert!(cluster.picked(|kind| matches!(kind, Kind::EndLeg(_)).then_some(())).is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_gives_up_while_waiting_is_reported_and_the_agents_phone_stops() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("gaveup", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, Want::Alert(Alert {}));
    caller.expect("SIP/2.0 180").await;
    let mut agent = Peer::udp(gateway.sip()).await;
    cluster.order(offer.call, 2, ring(&agent));
    let invite = agent.expect("INVITE").await;
    agent.send(&invite.response("180 Ringing", "", "")).await;
    caller.send(&caller.cancel("gaveup", "5000")).await;
    let refusal = caller.expect("SIP/2.0 487").await;
    caller.send(&caller.ack_refusal("gaveup", "5000", &refusal)).await;
    assert_eq!(cluster.ended(offer.call, 1).await.cause(), EndCause::Cancelled);
    cluster.order(offer.call, 2, Want::Gone(Gone { sip_status: 487, reason: String::new() }));
    let cancel = agent.expect("CANCEL").await;
    agent.send(&cancel.response("200 OK", "", "")).await;
    agent.send(&invite.response("487 Request Terminated", "", "")).await;
    agent.expect("ACK").await;
    assert_eq!(cluster.ended(offer.call, 2).await.cause(), EndCause::Ordered);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_agent_and_one_who_is_not_there_are_reported_as_what_they_are() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("busy", "5000")).await;
    let offer = cluster.offered().await;
    let mut agent = Peer::udp(gateway.sip()).await;
    cluster.order(offer.call, 2, ring(&agent));
    let invite = agent.expect("INVITE").await;
    agent.send(&invite.response("486 Busy Here", "", "")).await;
    agent.expect("ACK").await;
    let end = cluster.ended(offer.call, 2).await;
    assert_eq!((end.cause(), end.sip_status), (EndCause::Busy, 486));
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let began = std::time::Instant::now();
    cluster.order(offer.call, 3, Want::Ring(Ring { contact: format!("sip:agent@{nobody}"), ..Default::default() }));
    assert_eq!(cluster.ended(offer.call, 3).await.cause(), EndCause::Unreachable);
    assert!(began.elapsed() < Duration::from_secs(3), "ICMP says so at once");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_offer_is_refused_to_the_caller_and_not_reported_back() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    for (name, code, status) in
        [("full", RejectionCode::LimitReached, "SIP/2.0 503"), ("gone", RejectionCode::UnknownNumber, "SIP/2.0 404")]
    {
        cluster.reject(code);
        let mut caller = Peer::udp(gateway.sip()).await;
        caller.send(&caller.invite(name, "5000")).await;
        let refusal = caller.expect(status).await;
        caller.send(&caller.ack_refusal(name, "5000", &refusal)).await;
    }
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("nowhere", "4711")).await;
    caller.expect("SIP/2.0 404").await;
    assert_eq!(cluster.picked(|kind| matches!(kind, Kind::OfferCall(_)).then_some(())).len(), 2);
    assert!(cluster.picked(|kind| matches!(kind, Kind::EndLeg(_)).then_some(())).is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_rtp_port_the_caller_is_refused_and_the_shard_hears_why() {
    let cluster = Cluster::start(1).await;
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut config = config(&cluster);
    config.rtp_ports = port..=port;
    let gateway = ready_gateway(config).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("noport", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    let refusal = caller.expect("SIP/2.0 503").await;
    assert!(!refusal.header("Retry-After").is_empty());
    assert_eq!(cluster.ended(offer.call, 1).await.cause(), EndCause::Media);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_pressed_reach_the_shard() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("keys", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, listen());
    let ok = caller.expect("SIP/2.0 200").await;
    caller.send(&caller.within("ACK", 1, "keys", &ok)).await;
    let body = "Signal=7\r\nDuration=160\r\n";
    let info = caller.within("INFO", 2, "keys", &ok).replace(
        "Content-Length: 0\r\n\r\n",
        &format!("Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    );
    caller.send(&info).await;
    let digits = cluster
        .wait("the key", |kind| match kind {
            Kind::PressDigits(v1::PressDigits { call, leg: 1, digits, .. }) if *call == offer.call => {
                Some(digits.clone())
            }
            _ => None,
        })
        .await;
    assert_eq!(digits, "7");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_over_two_lanes_each_get_their_own_answer() {
    let cluster = Cluster::start(1).await;
    let mut config = config(&cluster);
    config.lanes = 2;
    let gateway = ready_gateway(config).await;
    let mut callers = Vec::new();
    for number in 0..20 {
        let mut caller = Peer::udp(gateway.sip()).await;
        caller.send(&caller.invite(&format!("many{number}"), "5000")).await;
        callers.push(caller);
    }
    let calls = until("all offers", || {
        let calls = cluster.picked(|kind| match kind {
            Kind::OfferCall(offer) => Some(offer.call),
            _ => None,
        });
        (calls.len() == 20).then_some(calls)
    })
    .await;
    for call in calls {
        cluster.order(call, 1, listen());
    }
    for (number, mut caller) in callers.into_iter().enumerate() {
        let ok = caller.expect("SIP/2.0 200").await;
        caller.send(&caller.within("ACK", 1, &format!("many{number}"), &ok)).await;
        caller.send(&caller.within("BYE", 2, &format!("many{number}"), &ok)).await;
        caller.expect("SIP/2.0 200 OK").await;
    }
    until("all ends", || {
        (cluster.picked(|kind| matches!(kind, Kind::EndLeg(_)).then_some(())).len() == 20).then_some(())
    })
    .await;
    gateway.stop().await;
}
