//! Against a name server on loopback that knows a few records.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use hickory_resolver::{
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::{Message, ResponseCode},
        rr::{
            Record,
            rdata::{A, SRV},
        },
    },
};
use tokio::net::UdpSocket;

use super::*;

const TTL_SECONDS: u32 = 60;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A name server; `last` is the last byte of the address that `sip.moving.test` has, 0 when it has none.
async fn name_server(last: Arc<AtomicU16>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let answer = answer(&question, u8::try_from(last.load(Ordering::SeqCst)).unwrap());
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

fn answer(question: &Message, last: u8) -> Message {
    let query = question.queries[0].clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_owned();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    let srv =
        |priority, weight, port, target: &str| RData::SRV(SRV::new(priority, weight, port, target.parse().unwrap()));
    let a = |last| RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
    let records = match (name.as_str(), query.query_type()) {
        ("_sip._udp.carrier.test", RecordType::SRV) => vec![
            srv(20, 0, 5080, "b.carrier.test."),
            srv(10, 3, 5070, "a.carrier.test."),
            srv(10, 1, 5070, "nowhere.carrier.test."),
        ],
        ("_sips._tcp.carrier.test", RecordType::SRV) => vec![srv(0, 0, 0, ".")],
        ("a.carrier.test", RecordType::A) => vec![a(2), a(1)],
        ("b.carrier.test", RecordType::A) => vec![a(3)],
        ("plain.test", RecordType::A) => vec![a(9)],
        ("sip.moving.test", RecordType::A) if last > 0 => vec![a(last)],
        _ => Vec::new(),
    };
    answer.metadata.response_code = if records.is_empty() { ResponseCode::NXDomain } else { ResponseCode::NoError };
    answer.add_query(query.clone());
    answer.add_answers(records.into_iter().map(|data| Record::from_rdata(query.name().clone(), TTL_SECONDS, data)));
    answer
}

async fn resolver(last: Arc<AtomicU16>) -> Resolver {
    let server = name_server(last).await;
    let mut config = NameServerConfig::udp(server.ip());
    config.connections[0].port = server.port();
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    Resolver::of(builder, "127.0.0.1".parse().unwrap()).unwrap()
}

fn name(host: &str, port: u16, transport: Transport) -> Name {
    Name { host: host.to_owned(), port, transport }
}

fn hop(last: u8, port: u16, priority: u16, weight: u16) -> Hop {
    Hop { address: SocketAddr::new(Ipv4Addr::new(192, 0, 2, last).into(), port), priority, weight }
}

#[tokio::test]
async fn a_service_record_names_hosts_ports_and_their_rank() {
    let resolver = resolver(Arc::default()).await;
    let found = resolver.look(&name("carrier.test", 0, Transport::Udp)).await.unwrap();
    assert_eq!(found.hops, [hop(1, 5070, 10, 3), hop(2, 5070, 10, 3), hop(3, 5080, 20, 0)]);
    assert!((50_000..=60_000).contains(&found.for_ms), "as long as the records say: {}", found.for_ms);
}

#[tokio::test]
async fn without_service_records_the_host_itself_is_asked_at_the_default_port() {
    let resolver = resolver(Arc::default()).await;
    for (transport, port) in [(Transport::Udp, 5060), (Transport::Tls, 5061)] {
        let found = resolver.look(&name("plain.test", 0, transport)).await.unwrap();
        assert_eq!(found.hops, [hop(9, port, 0, 0)]);
    }
    let found = resolver.look(&name("a.carrier.test", 5099, Transport::Tcp)).await.unwrap();
    assert_eq!(found.hops, [hop(1, 5099, 0, 0), hop(2, 5099, 0, 0)], "with a port no service is asked for");
}

#[tokio::test]
async fn an_address_is_nobodys_question() {
    let resolver = resolver(Arc::default()).await;
    let found = resolver.look(&name("2001:db8::7", 0, Transport::Tls)).await.unwrap();
    assert_eq!(found.hops[0].address, "[2001:db8::7]:5061".parse().unwrap());
}

#[tokio::test]
async fn what_is_not_there_or_not_offered_is_told_apart() {
    let resolver = resolver(Arc::default()).await;
    let missing = resolver.look(&name("missing.test", 0, Transport::Udp)).await;
    assert!(matches!(missing, Err(LookError::Empty)), "{missing:?}");
    let refused = resolver.look(&name("carrier.test", 0, Transport::Tls)).await;
    assert!(matches!(refused, Err(LookError::NotOffered)), "{refused:?}");
}

#[tokio::test]
async fn names_are_kept_fresh_and_keep_what_they_had_when_dns_loses_them() {
    let last = Arc::new(AtomicU16::new(0));
    let resolver = resolver(Arc::clone(&last)).await;
    let told = Arc::new(Mutex::new(Vec::<(Name, Vec<Hop>)>::new()));
    let moving = name("sip.moving.test", 5060, Transport::Udp);
    let plain = name("plain.test", 5060, Transport::Udp);
    let (names, wanted) = watch::channel(vec![moving.clone(), name("192.0.2.77", 0, Transport::Udp)]);
    let told_to = Arc::clone(&told);
    let task = tokio::spawn(keep(resolver, wanted, move |name, hops| told_to.lock().unwrap().push((name, hops))));
    names.send(vec![moving, plain.clone()]).unwrap();
    timeout(PATIENCE, async {
        while told.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(*told.lock().unwrap(), [(plain, vec![hop(9, 5060, 0, 0)])], "what has no answer is not told");
    drop(names);
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[test]
fn an_answer_is_told_when_it_differs_and_a_failure_leaves_it() {
    let told = Mutex::new(Vec::new());
    let tell = |_, hops: Vec<Hop>| told.lock().unwrap().push(hops);
    let name = name("h.test", 0, Transport::Udp);
    let mut kept = Kept { hops: Vec::new(), due: Instant::now(), asked: true };
    let one = || Ok(Found { hops: vec![hop(1, 5060, 0, 0)], for_ms: 1 });
    kept.answered(&name, one(), &tell);
    kept.answered(&name, one(), &tell);
    kept.answered(&name, Err(LookError::Late), &tell);
    kept.answered(&name, one(), &tell);
    assert_eq!(told.lock().unwrap().len(), 1);
    kept.answered(&name, Ok(Found { hops: vec![hop(2, 5060, 0, 0)], for_ms: 1 }), &tell);
    assert_eq!(told.lock().unwrap().len(), 2);
    assert!(!kept.asked);
}
