//! Real handshakes over loopback: who gets in as whom, and who does not.

use std::{net::SocketAddr, path::Path, sync::atomic::Ordering::Relaxed, time::Duration};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Server},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use trust::{Far, Files, Guard, Role, Roles, Trust, authority::Authority};

const PATIENCE: Duration = Duration::from_secs(20);
const DAYS: u32 = 2;

fn table(path: &str) -> Option<Roles> {
    match path {
        "/grpc.health.v1.Health/Check" => Some(Roles::of(&[Role::Node, Role::Operator])),
        "/grpc.health.v1.Health/Watch" => Some(Roles::of(&Role::ALL)),
        _ => None,
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn authority(folder: &Path, cluster: &str) -> Authority {
    Authority::begin(folder, cluster).expect("an authority")
}

fn certificate(authority: &Authority, name: &str, role: Role) -> Trust {
    Trust::load(authority.issue(name, role, DAYS).expect("issued")).expect("loaded")
}

async fn serve(trust: &Trust) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let server = Server::builder().layer(Guard::new(table)).add_service(health);
    tokio::spawn(server.serve_with_incoming(trust.accept(listener)));
    address
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).expect("a URI").connect_timeout(PATIENCE)
}

async fn call(channel: Channel) -> Result<(), Status> {
    let request = HealthCheckRequest { service: String::new() };
    let answer = timeout(PATIENCE, HealthClient::new(channel).check(request)).await.expect("an answer in time");
    answer.map(drop)
}

async fn watch(channel: Channel) -> Result<(), Status> {
    let request = HealthCheckRequest { service: String::new() };
    let answer = timeout(PATIENCE, HealthClient::new(channel).watch(request)).await.expect("an answer in time");
    answer.map(drop)
}

async fn ask(trust: &Trust, address: SocketAddr, far: Far) -> Result<(), Code> {
    match trust.connect(&endpoint(address), far).await {
        Ok(channel) => call(channel).await.map_err(|status| status.code()),
        Err(_) => Err(Code::Unavailable),
    }
}

#[tokio::test]
async fn each_role_may_what_the_table_says_and_strangers_only_what_is_for_all() {
    let folder = folder();
    let authority = authority(folder.path(), "east");
    let address = serve(&certificate(&authority, "n1", Role::Node)).await;
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Stranger) {
        let somebody = certificate(&authority, "x1", role);
        let may = matches!(role, Role::Node | Role::Operator);
        let expected = if may { Ok(()) } else { Err(Code::PermissionDenied) };
        assert_eq!(ask(&somebody, address, Far::AnyNode).await, expected, "{role}");
    }
    // Without TLS, and with TLS but without a certificate, one is the same stranger.
    let open = endpoint(address).connect().await.expect("connected");
    let refused = call(open.clone()).await.expect_err("a stranger");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    assert!(refused.message().contains("--cluster-certificate"), "{refused:?}");
    watch(open).await.expect("health is for everybody");
}

#[tokio::test]
async fn without_certificates_everybody_is_let_in() {
    let address = serve(&Trust::off()).await;
    assert_eq!(ask(&Trust::off(), address, Far::AnyNode).await, Ok(()));
}

#[tokio::test]
async fn of_another_authority_neither_side_believes_the_other() {
    let (here, there) = (folder(), folder());
    let ours = authority(here.path(), "east");
    let theirs = authority(there.path(), "east");
    let address = serve(&certificate(&ours, "n1", Role::Node)).await;
    let other = certificate(&theirs, "n2", Role::Node);
    assert!(other.connect(&endpoint(address), Far::AnyNode).await.is_err());
    // One that would believe anybody is refused all the same.
    let mixed = mixed(here.path(), there.path());
    assert!(ask(&mixed, address, Far::AnyNode).await.is_err());
    assert_eq!(ask(&certificate(&ours, "n3", Role::Node), address, Far::AnyNode).await, Ok(()));
}

/// Believes the first authority and shows a certificate of the second.
fn mixed(believed: &Path, own: &Path) -> Trust {
    let both = own.join("both.pem");
    let text = [believed, own].map(|folder| std::fs::read_to_string(folder.join("ca.pem")).expect("a root")).concat();
    std::fs::write(&both, text).expect("written");
    Trust::load(Files { ca: both, ..Files::in_folder(own, "n2", Role::Node) }).expect("loaded")
}

#[tokio::test]
async fn of_another_cluster_by_the_same_authority_nobody_gets_in() {
    let folder = folder();
    let authority = authority(folder.path(), "east");
    let address = serve(&certificate(&authority, "n1", Role::Node)).await;
    let files = signed(folder.path(), "cordboard://west/node/n1");
    let west = Trust::load(files).expect("loaded");
    assert!(west.connect(&endpoint(address), Far::AnyNode).await.is_err(), "west does not believe east");
    assert!(ask(&west, address, Far::AnyNode).await.is_err());
    for uri in ["https://example.net/", "cordboard://east/node/n1?role=admin", "cordboard://east/user/a?role=root"] {
        let error = Trust::load(signed(folder.path(), uri)).expect_err("it names nobody").to_string();
        assert!(error.contains("cordboard://CLUSTER"), "{error}");
    }
}

/// A certificate with any name, by the authority in the folder.
fn signed(folder: &Path, uri: &str) -> Files {
    signed_until(folder, uri, (2999, 1, 1))
}

fn signed_until(folder: &Path, uri: &str, (year, month, day): (i32, u8, u8)) -> Files {
    let pair = KeyPair::from_pem(&std::fs::read_to_string(folder.join("ca.key")).expect("a key")).expect("a key");
    let mut root = CertificateParams::new(Vec::<String>::new()).expect("params");
    root.distinguished_name = rcgen::DistinguishedName::new();
    root.distinguished_name.push(rcgen::DnType::OrganizationName, "Cordboard cluster east");
    root.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("params");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("ASCII"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let own = KeyPair::generate().expect("a key");
    let made = params.signed_by(&own, &Issuer::new(root, pair)).expect("signed");
    let files = Files::in_folder(folder, "signed", Role::Node);
    std::fs::write(&files.certificate, made.pem()).expect("written");
    std::fs::write(&files.key, own.serialize_pem()).expect("written");
    files
}

#[tokio::test]
async fn a_node_does_not_pass_for_another_nor_a_person_for_a_node() {
    let folder = folder();
    let authority = authority(folder.path(), "east");
    let address = serve(&certificate(&authority, "n1", Role::Node)).await;
    let n2 = certificate(&authority, "n2", Role::Node);
    assert_eq!(ask(&n2, address, Far::Node("n1".into())).await, Ok(()));
    assert!(n2.connect(&endpoint(address), Far::Node("n3".into())).await.is_err());
    assert!(n2.connect(&endpoint(address), Far::AnyGateway).await.is_err());
    // A person's certificate is none of a server.
    let anna = serve(&certificate(&authority, "anna", Role::Admin)).await;
    assert!(n2.connect(&endpoint(anna), Far::AnyNode).await.is_err());
}

#[tokio::test]
async fn changed_files_are_taken_over_and_bad_ones_are_not() {
    let folder = folder();
    let first = authority(folder.path(), "east");
    let server = certificate(&first, "n1", Role::Node);
    let address = serve(&server).await;
    let client = certificate(&first, "n2", Role::Node);
    let standing = client.connect(&endpoint(address), Far::AnyNode).await.expect("connected");
    call(standing.clone()).await.expect("an answer");

    // A new authority, and with it new certificates.
    for name in ["ca.pem", "ca.key"] {
        std::fs::remove_file(folder.path().join(name)).expect("removed");
    }
    let second = authority(folder.path(), "east");
    assert!(server.reload().is_err(), "the old certificate is not of the new authority");
    assert_eq!(ask(&client, address, Far::AnyNode).await, Ok(()), "what was loaded stays");
    second.issue("n1", Role::Node, DAYS).expect("issued");
    server.reload().expect("read again");
    assert!(ask(&client, address, Far::AnyNode).await.is_err(), "the old ones are believed no longer");
    second.issue("n2", Role::Node, DAYS).expect("issued");
    client.reload().expect("read again");
    assert_eq!(ask(&client, address, Far::AnyNode).await, Ok(()));
    call(standing).await.expect("what stands goes on");

    // Another name in the same file is no renewal.
    let other = second.issue("n9", Role::Node, DAYS).expect("issued");
    for (from, to) in [(&other.certificate, "n1.pem"), (&other.key, "n1.key")] {
        std::fs::copy(from, folder.path().join(to)).expect("copied");
    }
    let error = server.reload().expect_err("another name").to_string();
    assert!(error.contains("cordboard://east/node/n9") && error.contains("cordboard://east/node/n1"), "{error}");
    std::fs::write(folder.path().join("n1.key"), "no key").expect("written");
    assert!(server.reload().is_err());
    assert_eq!(ask(&client, address, Far::Node("n1".into())).await, Ok(()));
}

#[tokio::test]
async fn a_watched_file_is_read_again_by_itself() {
    let folder = folder();
    let authority = authority(folder.path(), "east");
    let server = certificate(&authority, "n1", Role::Node);
    let address = serve(&server).await;
    tokio::spawn(server.clone().watch());
    let client = certificate(&authority, "n2", Role::Node);
    assert_eq!(ask(&client, address, Far::AnyNode).await, Ok(()));
    for name in ["ca.pem", "ca.key"] {
        std::fs::remove_file(folder.path().join(name)).expect("removed");
    }
    // Both sides; the client by hand, so that only the server's watching is waited for.
    let second = Authority::begin(folder.path(), "east").expect("an authority");
    second.issue("n1", Role::Node, DAYS).expect("issued");
    let renewed = certificate(&second, "n2", Role::Node);
    let taken = async {
        while ask(&renewed, address, Far::AnyNode).await != Ok(()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, taken).await.expect("the new certificates are taken over");
}

#[tokio::test]
async fn what_would_not_be_believed_is_not_started_with() {
    let folder = folder();
    let authority = authority(folder.path(), "east");
    let old = signed_until(folder.path(), "cordboard://east/node/n1", (2021, 1, 1));
    let expired = Trust::load(old).expect_err("it is old").to_string();
    assert!(expired.contains("expired"), "{expired}");
    assert!(authority.issue("ca", Role::Node, DAYS).is_err(), "that is the authority's own name");
    assert!(authority.issue("../n1", Role::Node, DAYS).is_err());
    assert!(Authority::begin(folder.path(), "east").is_err(), "there is one");
    let again = Authority::open(folder.path()).expect("opened");
    assert_eq!(again.cluster(), "east");
    let n1 = certificate(&again, "n1", Role::Node);
    assert_eq!(n1.own().map(ToString::to_string).as_deref(), Some("cordboard://east/node/n1"));
    let missing = Files { key: folder.path().join("none.key"), ..Files::in_folder(folder.path(), "n1", Role::Node) };
    let error = Trust::load(missing).expect_err("no key").to_string();
    assert!(error.contains("none.key"), "{error}");
}

#[tokio::test]
async fn who_says_nothing_is_closed_and_keeps_nobody_waiting() {
    let folder = folder();
    let authority = authority(folder.path(), "east");
    let address = serve(&certificate(&authority, "n1", Role::Node)).await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(TcpStream::connect(address).await.expect("connected"));
    }
    assert_eq!(ask(&certificate(&authority, "n2", Role::Node), address, Far::AnyNode).await, Ok(()));
    for stream in &mut silent {
        let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("closed in time");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

#[tokio::test]
async fn strangers_have_their_limit_and_who_has_a_certificate_gets_in_all_the_same() {
    let folder = folder();
    let authority = authority(folder.path(), "east");
    let server = certificate(&authority, "n1", Role::Node);
    let address = serve(&server).await;
    let counters = server.counters();
    let mut strangers = Vec::new();
    let full = async {
        while counters.strangers_limit.load(Relaxed) == 0 {
            let mut stranger = TcpStream::connect(address).await.expect("connected");
            stranger.write_all(b"PRI * HTTP/2.0\r\n").await.expect("written");
            strangers.push(stranger);
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, full).await.expect("there is a limit");
    assert!(strangers.len() > 250 && counters.strangers.load(Relaxed) >= 250, "{}", strangers.len());
    assert_eq!(ask(&certificate(&authority, "n2", Role::Node), address, Far::AnyNode).await, Ok(()));
    assert_eq!(counters.known.load(Relaxed), 1);
}
