//! Trunks with scripted carriers: by which way a call leaves, what a failure does, logins, registrations, health, caps; and
//! what is refused of calls that come in.

use std::{net::UdpSocket, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{
    floor::{Floor, Person},
    patience::{wait_for, wait_long},
    ports::Ports,
    ua::{End, Rule, State},
};

/// Boris' calls go to a number outside, so that one call to 5001 is one call over a trunk.
const AWAY: &str =
    "---\nkind: Forwarding\nname: away\nagent: boris\nrules: [{ when: always, to: { number: \"+493012345\" } }]\n";
/// Calls come from here.
const INSIDE: &str = "---\nkind: Trunk\nname: inside\naddresses: [127.0.0.1/32]\n";

fn carriers<const N: usize>(ports: &Ports, rules: [Rule; N]) -> anyhow::Result<Vec<Person>> {
    rules.into_iter().zip((0..).map(|n| 1_300 + n * 200)).map(|(rule, hz)| Person::on(ports, hz, rule)).collect()
}

fn trunk(name: &str, hosts: &[String], more: &str) -> String {
    format!("---\nkind: Trunk\nname: {name}\nprefixes: [\"+\"]\nhosts: [{}]\n{more}", hosts.join(", "))
}

fn host(port: u16, priority: u32, weight: u32) -> String {
    format!("{{ host: 127.0.0.1, port: {port}, priority: {priority}, weight: {weight} }}")
}

fn open(ports: &Arc<Ports>, trunks: &str) -> anyhow::Result<Floor> {
    Floor::open_on(ports.clone(), &format!("{AWAY}{INSIDE}{trunks}"))
}

/// One call that ends up at this carrier.
fn goes_to(floor: &Floor, carrier: &Person) -> anyhow::Result<()> {
    let before = carrier.phone.calls().len();
    let call = floor.dial("5001");
    let theirs = carrier.taken(before)?.id;
    floor.joined(&call, carrier, &theirs)?;
    floor.goodbye(&call, carrier, &theirs)
}

#[test]
fn a_way_that_refuses_with_503_or_says_nothing_is_followed_by_the_next() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let all = carriers(&ports, [Rule::Refuse(503), Rule::Answer])?;
    let silent = ports.socket()?;
    let hosts = [host(all[0].port(), 1, 1), host(silent.local_addr()?.port(), 2, 1), host(all[1].port(), 3, 1)];
    let floor = open(&ports, &trunk("provider", &hosts, ""))?;
    goes_to(&floor, &all[1])?;
    let refused = all[0].phone.calls();
    ensure!(refused.len() == 1 && refused[0].state == State::Ended(End::Refused(503)), "{refused:#?}");
    Ok(())
}

#[test]
fn what_the_called_party_says_is_final() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let all = carriers(&ports, [Rule::Refuse(486), Rule::Answer])?;
    let floor = open(&ports, &trunk("provider", &[host(all[0].port(), 1, 1), host(all[1].port(), 2, 1)], ""))?;
    // The forward has failed; what is left is the queue behind the number.
    let call = floor.dial("5001");
    let his = floor.boris.taken(0)?.id;
    floor.joined(&call, &floor.boris, &his)?;
    ensure!(all[0].phone.calls().len() == 1 && all[1].phone.calls().is_empty(), "the second one is not asked");
    Ok(())
}

#[test]
fn priority_goes_before_weight_and_weight_divides() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let all = carriers(&ports, [Rule::Answer; 4])?;
    let [a, b, c, d] = [0, 1, 2, 3].map(|n: usize| all[n].port());
    // The better trunk is divided alike; of the worse one nothing is wanted.
    let trunks = trunk("better", &[host(a, 1, 50), host(b, 1, 50), host(c, 2, 50)], "priority: 1\n")
        + &trunk("worse", &[host(d, 1, 1)], "priority: 2\n");
    let floor = open(&ports, &trunks)?;
    let calls = 16;
    for _ in 0..calls {
        let call = floor.dial("5001");
        floor.customer.phone.wait(&call, "the customer is answered", |call| call.state == State::Up)?;
        let up = |carrier: &Person| carrier.phone.count(|call| call.state == State::Up);
        wait_for("somebody took it", || all.iter().any(|carrier| up(carrier) == 1).then_some(()))?;
        floor.customer.phone.hang_up(&call);
        wait_for("all have hung up", || all.iter().all(|carrier| up(carrier) == 0).then_some(()))?;
    }
    let took: Vec<usize> = all.iter().map(|carrier| carrier.phone.calls().len()).collect();
    // That one of two gets nothing of 16 has a chance of 2 in 65536.
    ensure!(took[0] > 0 && took[1] > 0 && took[0] + took[1] == calls && took[2..] == [0, 0], "{took:?}");
    Ok(())
}

#[test]
fn a_full_trunk_is_passed_over_and_takes_nobody_in() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let all = carriers(&ports, [Rule::Answer; 2])?;
    let trunks = trunk("small", &[host(all[0].port(), 1, 1)], "priority: 1\ncalls_max: 1\n")
        + &trunk("large", &[host(all[1].port(), 1, 1)], "priority: 2\n");
    let floor = open(&ports, &trunks)?;
    let first = floor.dial("5001");
    let theirs = all[0].taken(0)?.id;
    goes_to(&floor, &all[1])?;
    floor.customer.phone.hang_up(&first);
    all[0].left(&theirs)?;
    goes_to(&floor, &all[0])?;

    // Calls that come in count, too: the third one of two is refused.
    let file = floor.cluster.dir().join("two.yaml");
    std::fs::write(&file, format!("{}calls_max: 2\n", INSIDE.trim_start_matches("---\n")))?;
    let said = floor.cluster.cordctl(&["apply", "-f", &file.display().to_string()])?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    wait_long("the third is refused and the others stand", Duration::from_secs(20), || {
        let calls: Vec<String> = (0..3).map(|_| floor.dial("5000")).collect();
        let state = |id: &String| floor.customer.phone.look(id).map(|call| call.state);
        let decided = wait_for("all are decided", || {
            calls.iter().all(|id| matches!(state(id), Some(State::Up | State::Ended(_)))).then_some(())
        });
        let refused = calls.iter().filter(|id| state(id) == Some(State::Ended(End::Refused(503)))).count();
        let up = calls.iter().filter(|id| state(id) == Some(State::Up)).count();
        calls.iter().for_each(|id| floor.customer.phone.hang_up(id));
        let gone = floor.cluster.ask_until(&["call", "list"], |list| list.as_array().is_some_and(Vec::is_empty));
        (decided.is_ok() && gone.is_ok() && refused == 1 && up == 2).then_some(())
    })
}

fn login(realm: &str) -> String {
    format!("login: {{ user: \"4930123\", realm: {realm}, password: secret-of-the-line }}\n")
}

#[test]
fn a_challenge_of_its_realm_is_answered_and_no_other() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let all = carriers(&ports, [Rule::Answer; 3])?;
    for carrier in &all[..2] {
        carrier.phone.shut("example.net", "4930123", "secret-of-the-line");
    }
    let trunks = trunk("foreign", &[host(all[0].port(), 1, 1)], &format!("priority: 1\n{}", login("other.example")))
        + &trunk("right", &[host(all[1].port(), 1, 1)], &format!("priority: 2\n{}", login("example.net")));
    let floor = open(&ports, &trunks)?;
    goes_to(&floor, &all[1])?;
    ensure!(all[0].phone.calls().is_empty() && all[0].phone.door().1 == 0, "nothing was told to the foreign realm");
    ensure!(all[1].phone.door().1 == 0, "the first answer was right");
    let seen = all[1].phone.calls()[0].text.clone();
    ensure!(seen.contains("Authorization: Digest") && !seen.contains("secret-of-the-line"), "{seen}");
    Ok(())
}

#[test]
fn a_trunk_registers_takes_calls_by_that_and_takes_it_back() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let all = carriers(&ports, [Rule::Answer])?;
    all[0].phone.shut("example.net", "4930123", "secret-of-the-line");
    let registration = "registration: { aor: \"sip:4930123@example.net\", expires_seconds: 60 }\n";
    let number = "---\nkind: Number\nname: \"4930123\"\nroute: { queue: support }\n";
    let trunks = trunk("provider", &[host(all[0].port(), 1, 1)], &(login("example.net") + registration)) + number;
    let mut floor = open(&ports, &trunks)?;
    let contacts = wait_for("the trunk is registered", || {
        let (contacts, wrong) = all[0].phone.door();
        (!contacts.is_empty()).then_some((contacts, wrong))
    })?;
    ensure!(contacts.1 == 0 && contacts.0.len() == 1, "{contacts:?}");
    // The carrier calls what was registered.
    let (user, place) = contacts.0[0].trim_start_matches("sip:").split_once('@').context("a contact")?;
    ensure!(place.split(';').next() == Some(floor.sip().to_string().as_str()), "{contacts:?}");
    let call = all[0].phone.call(floor.sip(), user, "1234");
    all[0].phone.wait(&call, "the carrier's call is answered", |call| call.state == State::Up)?;
    all[0].phone.hang_up(&call);
    floor.cluster.terminate("g1")?;
    wait_for("the registration is taken back", || all[0].phone.door().0.is_empty().then_some(()))
}

#[test]
fn a_carrier_that_fails_options_gets_no_calls_until_it_lives_again() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let all = carriers(&ports, [Rule::Answer; 2])?;
    all[0].phone.options(503);
    let hosts = [host(all[0].port(), 1, 1), host(all[1].port(), 2, 1)];
    let floor = open(&ports, &trunk("provider", &hosts, "options_seconds: 5\n"))?;
    // Two failures are down, and with the third question the second answer has been read.
    all[0].phone.wait_options(3)?;
    goes_to(&floor, &all[1])?;
    ensure!(all[0].phone.calls().is_empty(), "it was not called");
    all[0].phone.options(404);
    all[0].phone.wait_options(2)?;
    goes_to(&floor, &all[0])
}

fn say(socket: &UdpSocket, floor: &Floor, branch: &str, call: &str, more: &str) -> anyhow::Result<String> {
    let own = socket.local_addr()?;
    let more = if more.contains("Max-Forwards") { more.to_owned() } else { format!("Max-Forwards: 70\r\n{more}") };
    let text = format!(
        "INVITE sip:5000@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{branch}\r\nFrom: <sip:1@x>;tag={call}\r\n\
         To: <sip:5000@{to}>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\nContact: <sip:1@{own}>\r\n{more}Content-Length: 0\r\n\r\n",
        to = floor.sip()
    );
    socket.send_to(text.as_bytes(), floor.sip())?;
    wait_for("an answer", || {
        let mut buffer = [0; 4_096];
        let length = socket.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        (text.contains(&format!("-{branch}")) && !text.starts_with("SIP/2.0 100")).then_some(text)
    })
}

#[test]
fn loops_worn_out_requests_and_unknown_demands_are_refused() -> anyhow::Result<()> {
    let floor = Floor::open(INSIDE)?;
    let socket = floor.ports.socket()?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let worn = say(&socket, &floor, "worn", "worn", "Max-Forwards: 0\r\n")?;
    ensure!(worn.starts_with("SIP/2.0 483"), "{worn}");
    let demand = say(&socket, &floor, "demand", "demand", "Require: 100rel, foo\r\n")?;
    ensure!(demand.starts_with("SIP/2.0 420") && demand.contains("Unsupported: foo"), "{demand}");
    say(&socket, &floor, "one", "merged", "")?;
    let merged = say(&socket, &floor, "two", "merged", "")?;
    ensure!(merged.starts_with("SIP/2.0 482"), "{merged}");
    Ok(())
}

#[test]
fn who_calls_is_believed_of_trunks_in_our_trust_domain_only() -> anyhow::Result<()> {
    for believed in [true, false] {
        let floor = Floor::open(&format!("{INSIDE}assert_identity: {believed}\n"))?;
        let socket = floor.ports.socket()?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        say(&socket, &floor, "pai", "pai", "P-Asserted-Identity: <sip:+4999@example.net>\r\n")?;
        let rung = floor.anna.phone.wait_any("anna is rung", |_| true)?;
        ensure!(rung.peer == if believed { "+4999" } else { "1" }, "{believed}: {}", rung.text);
    }
    Ok(())
}
