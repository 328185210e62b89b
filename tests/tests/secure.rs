//! Softphones (baresip) over connections: TLS with SRTP, and a phone on TCP that is reached through the gateway that has its
//! connection while another one has the call.

use std::{fs, net::SocketAddr, sync::Arc};

use anyhow::{Context as _, ensure};
use tests::{
    cluster::{Cluster, Plan},
    patience::wait_for,
    ports::Ports,
    rtp::Rtp,
    softphone::{Softphone, TONE_HZ, Way},
    tone::{self, Law},
    ua::{Call, End, Phone, Rule, State},
};

const DOCUMENTS: &str = "kind: Number\nname: \"5000\"\nroute: { queue: support }\n---\nkind: Queue\nname: support\n\
                         wrap_up_seconds: 0\n---\n\
                         kind: Agent\nname: erik\npassword: erik-secret\nqueues: [{ name: support }]\n";

struct Desk {
    caller: Phone,
    ear: Rtp,
    phone: Softphone,
    talks: usize,
}

impl Desk {
    /// The softphone has registered and its agent waits for calls.
    fn open(ports: &Ports, cluster: &Cluster, mut phone: Softphone) -> anyhow::Result<Self> {
        phone.take_calls_of("erik", cluster)?;
        let ear = Rtp::on(ports.socket()?)?;
        let caller = Phone::on(ports.socket()?, ear.address, &[Law::Mu], Rule::Refuse(603))?;
        Ok(Self { caller, ear, phone, talks: 0 })
    }

    /// A call over this gateway is taken, and both sides hear each other.
    fn talk(&mut self, gateway: SocketAddr) -> anyhow::Result<Call> {
        self.talks += 1;
        let call = self.caller.call(gateway, "5000", "1234");
        let nth = |phone: &mut Softphone, event: &str, count: usize| {
            let seen = wait_for(&format!("{event} number {count}"), || (phone.heard_of(event) >= count).then_some(()));
            seen.with_context(|| phone.said())
        };
        nth(&mut self.phone, "CALL_INCOMING", self.talks)?;
        self.phone.press("accept")?;
        nth(&mut self.phone, "CALL_ESTABLISHED", self.talks)?;
        let up = self.caller.wait(&call, "the caller is answered", |call| call.state == State::Up)?;
        self.ear.say(up.media.context("media")?, Law::Mu, tone::second_of(700, 8_000.0, Law::Mu));
        self.ear.forget();
        wait_for("the softphone's tone is heard", || {
            let samples = self.ear.samples(Law::Mu, 4_000)?;
            (tone::amplitude(&samples, f64::from(TONE_HZ)) > 1_000.0).then_some(())
        })
        .with_context(|| self.phone.said())?;
        wait_for("the softphone hears the caller", || {
            let samples = self.phone.heard();
            let last = samples.get(samples.len().checked_sub(4_000)?..)?;
            (tone::amplitude(last, 700.0) > 3_000.0).then_some(())
        })
        .with_context(|| self.phone.said())?;
        Ok(up)
    }

    fn ended(&self, call: &Call, end: End) -> anyhow::Result<()> {
        self.caller.wait(&call.id, "the call is over", |call| call.state == State::Ended(end)).map(drop)
    }
}

/// One call is hung up by the phone, another one by the caller; nothing is left of either.
fn both_ways(desk: &mut Desk, cluster: &Cluster, gateway: SocketAddr) -> anyhow::Result<()> {
    let call = desk.talk(gateway)?;
    desk.phone.press("hangup")?;
    desk.ended(&call, End::ByThem)?;
    cluster.wait_for_agent("erik", "ready")?;
    let call = desk.talk(gateway)?;
    desk.caller.hang_up(&call.id);
    desk.ended(&call, End::ByUs)?;
    let closed = wait_for("the softphone is hung up", || (desk.phone.heard_of("CALL_CLOSED") >= 2).then_some(()));
    closed.with_context(|| desk.phone.said())?;
    let list =
        cluster.ask_until(&["call", "list", "--ended"], |list| list.as_array().is_some_and(|list| list.len() == 2))?;
    let completed = |call: &serde_json::Value| call["outcome"] == "completed" && call["agent"] == "erik";
    ensure!(list.as_array().is_some_and(|list| list.iter().all(completed)), "{list}");
    Ok(())
}

#[test]
fn a_phone_on_tcp_at_one_gateway_takes_a_call_of_the_other() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let cluster = Cluster::start_on(ports.clone(), Plan { gateways: 2, ..Plan::of(DOCUMENTS) })?;
    let phone = Softphone::start_by(&Way::Tcp, &ports, cluster.sip(1), "erik", "erik-secret")?;
    let mut desk = Desk::open(&ports, &cluster, phone)?;
    both_ways(&mut desk, &cluster, cluster.sip(2))?;
    let calls = cluster.ask(&["call", "list", "--ended"])?;
    ensure!(calls.as_array().is_some_and(|all| all.iter().all(|call| call["gateway"] == "g2")), "{calls}");
    Ok(())
}

#[test]
fn a_phone_on_tls_talks_srtp_with_a_caller_in_the_open() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let mut cluster = Cluster::start_on(ports.clone(), Plan::of(DOCUMENTS))?;
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    let (certificate, key) = (cluster.dir().join("tls.pem"), cluster.dir().join("tls.key"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let tls = SocketAddr::from(([127, 0, 0, 1], ports.one()?));
    let (shown, secret) = (certificate.display().to_string(), key.display().to_string());
    let more = ["--tls-listen", &tls.to_string(), "--tls-certificate", &shown, "--tls-key", &secret];
    let gateway = cluster.gateway("g9", &more.map(ToOwned::to_owned))?;

    let phone = Softphone::start_by(&Way::Tls(certificate), &ports, tls, "erik", "erik-secret")?;
    let mut desk = Desk::open(&ports, &cluster, phone)?;
    both_ways(&mut desk, &cluster, gateway.sip)?;
    let said = desk.phone.said();
    ensure!(said.contains("RTP/SAVP") && said.contains("a=crypto:"), "{said}");
    Ok(())
}
