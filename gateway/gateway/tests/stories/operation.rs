//! What an operator sees: health, readiness, metrics, gRPC, traces, stopping; and registration of agents.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gateway::Gateway;
use md5::{Digest as _, Md5};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use proto::v1::{Credential, Listen, command::Kind, order::Want};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::{calls::talk, config, gateway, peer::Peer, ready_gateway, shard::Cluster, until};

pub async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_directory_a_gateway_lives_but_is_not_ready_and_callers_may_come_back() {
    let cluster = Cluster::start(1).await;
    cluster.directory(|view| view.version = 0);
    let gateway = Gateway::start(config(&cluster)).await.unwrap();
    let http = gateway.http().unwrap();
    assert!(get(http, "/health").await.starts_with("HTTP/1.1 200"));
    assert!(get(http, "/ready").await.starts_with("HTTP/1.1 503"));
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("early", "5000")).await;
    let refusal = caller.expect("SIP/2.0 503").await;
    assert!(!refusal.header("Retry-After").is_empty());
    let mut caller = Peer::tcp(gateway.sip()).await;
    caller.send(&caller.invite("earlytcp", "5000")).await;
    caller.expect("SIP/2.0 503").await;
    cluster.directory(|view| view.version = 1);
    until("readiness", || gateway.is_ready().then_some(())).await;
    assert!(get(http, "/ready").await.starts_with("HTTP/1.1 200"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_answered_over_grpc_and_the_services_are_listed() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let url = format!("http://{}", gateway.grpc());
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let mut status = 0;
    for _ in 0..100 {
        let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
        status = health.check(request).await.unwrap().into_inner().status;
        if status == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 1, "serving");
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures::stream::once(std::future::ready(request));
    let mut replies = ServerReflectionClient::new(channel).server_reflection_info(requests).await.unwrap().into_inner();
    assert!(format!("{:?}", replies.message().await.unwrap()).contains("grpc.health.v1.Health"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_what_happened() {
    let cluster = Cluster::start(1).await;
    let gateway = gateway(&cluster).await;
    let mut caller = Peer::udp(gateway.sip()).await;
    caller.send(&caller.invite("counted", "5000")).await;
    let offer = cluster.offered().await;
    cluster.order(offer.call, 1, Want::Listen(Listen { prompt: "music".into(), ..Listen::default() }));
    caller.expect("SIP/2.0 200").await;
    let text = get(gateway.http().unwrap(), "/metrics").await;
    for line in [
        "cordboard_gateway_calls_offered_total 1",
        "cordboard_gateway_sip_in_total{kind=\"INVITE\"} 1",
        "cordboard_gateway_legs{phase=\"listening\"} 1",
        "cordboard_gateway_outcomes_total{result=\"accepted\"}",
        "cordboard_gateway_commands_pending 0",
        "cordboard_gateway_media{count=\"open_legs\"} 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("ann"), "nobody's name is in the metrics");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_gateway_refuses_new_calls_and_hangs_up_the_others_in_bounded_time() {
    let cluster = Cluster::start(1).await;
    let mut config = config(&cluster);
    config.drain_ms = 1_500;
    let gateway = ready_gateway(config).await;
    let (mut caller, mut agent, call) = talk(&cluster, gateway.sip(), "stopped").await;
    let sip = gateway.sip();
    let began = Instant::now();
    let stopping = tokio::spawn(gateway.stop());
    let mut late = Peer::udp(sip).await;
    // Whoever comes before the stop has begun is offered as ever.
    let refused = async {
        for turn in 0.. {
            late.send(&late.invite(&format!("late{turn}"), "5000")).await;
            let own = format!("late{turn}@test");
            let answer = loop {
                let answer = late.expect("SIP/2.0 ").await;
                if answer.header("Call-ID") == own {
                    break answer;
                }
            };
            if answer.0.starts_with("SIP/2.0 503") {
                return answer;
            }
        }
        unreachable!("the turns do not end")
    };
    let answer = tokio::time::timeout(crate::PATIENCE, refused).await.expect("it refuses at last");
    assert!(!answer.header("Retry-After").is_empty());
    for peer in [&mut caller, &mut agent] {
        let bye = peer.expect("BYE").await;
        peer.send(&bye.response("200 OK", "", "")).await;
    }
    cluster.ended(call, 1).await;
    cluster.ended(call, 2).await;
    stopping.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(6));
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn register(peer: &mut Peer, agent: &str, password: &str) {
    register_with(peer, agent, password, "").await;
}

/// Lets an agent register with the password `right`.
pub fn enrol(cluster: &Cluster, agent: &str) {
    let ha1_md5 = Md5::digest(format!("{agent}:cordboard:right")).to_vec();
    cluster.directory(|view| {
        view.credentials.push(Credential { agent: agent.into(), shard: 1, ha1_md5, ha1_sha256: vec![0; 32] });
    });
}

/// Registers, with further header lines.
pub async fn register_with(peer: &mut Peer, agent: &str, password: &str, more: &str) {
    peer.send(&peer.register(agent, 1, "")).await;
    let challenge = peer.expect("SIP/2.0 401").await;
    let challenges = challenge.headers("WWW-Authenticate");
    let challenge = challenges
        .iter()
        .find(|challenge| !challenge.contains("SHA-256"))
        .unwrap_or_else(|| panic!("no MD5 challenge in {challenges:?}"));
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let uri = format!("sip:{}", peer.gateway);
    let (ha1, ha2) = (md5(&format!("{agent}:cordboard:{password}")), md5(&format!("REGISTER:{uri}")));
    let response = md5(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
    let authorization = format!(
        "Authorization: Digest username=\"{agent}\", realm=\"cordboard\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"c\"\r\n{more}"
    );
    peer.send(&peer.register(agent, 2, &authorization)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_registers_with_the_right_password_and_not_with_a_wrong_one() {
    let cluster = Cluster::start(1).await;
    enrol(&cluster, "agent7");
    let gateway = gateway(&cluster).await;
    let mut phone = Peer::udp(gateway.sip()).await;
    register(&mut phone, "agent7", "wrong").await;
    let refusal = phone.expect("SIP/2.0 4").await;
    assert!(refusal.0.starts_with("SIP/2.0 401") || refusal.0.starts_with("SIP/2.0 403"), "{}", refusal.0);
    assert!(cluster.heard().is_empty(), "the shard is not bothered");
    let mut phone = Peer::udp(gateway.sip()).await;
    register(&mut phone, "agent7", "right").await;
    phone.expect("SIP/2.0 200").await;
    let bound = cluster
        .wait("the binding", |kind| match kind {
            Kind::RegisterContact(bound) => Some(bound.clone()),
            _ => None,
        })
        .await;
    assert_eq!((bound.agent.as_str(), bound.gateway.as_str(), bound.expires_seconds), ("agent7", "g1", 300));
    assert!(bound.contact.contains(&phone.address.to_string()), "{}", bound.contact);
    gateway.stop().await;
}

/// An OTLP receiver that keeps what it gets.
#[derive(Clone, Default)]
struct Receiver {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
        self.spans.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_is_one_trace_and_names_nobody() {
    let receiver = Receiver::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(receiver.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let cluster = Cluster::start(1).await;
    let mut config = config(&cluster);
    config.otlp = Some(otlp);
    let gateway = ready_gateway(config).await;
    let (mut caller, mut agent, call) = talk(&cluster, gateway.sip(), "traced").await;
    let heard = cluster.heard();
    let (_, offer) = heard.first().unwrap();
    let traceparent = offer.trace.as_ref().unwrap().traceparent.clone();
    cluster.order(call, 2, Want::Gone(proto::v1::Gone::default()));
    let bye = agent.expect("BYE").await;
    agent.send(&bye.response("200 OK", "", "")).await;
    cluster.order(call, 1, Want::Gone(proto::v1::Gone::default()));
    let bye = caller.expect("BYE").await;
    caller.send(&bye.response("200 OK", "", "")).await;
    cluster.ended(call, 1).await;
    gateway.stop().await;
    let spans = receiver.spans.lock().unwrap().clone();
    let root = spans.iter().find(|span| span.name == "call").expect("a root span");
    let trace: String = root.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(traceparent.contains(&trace));
    let submits: Vec<_> = spans.iter().filter(|span| span.name == "submit" && span.trace_id == root.trace_id).collect();
    assert!(!submits.is_empty() && submits.iter().all(|span| span.parent_span_id == root.span_id));
    let text = format!("{spans:?}");
    assert!(!text.contains("ann") && !text.contains("5000"), "{text}");
}
