//! What callers and agents hear, by content: tones that cross, music that plays, digits that arrive, strangers who are
//! not heard.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{
    cluster::{Cluster, Plan},
    patience::{hold_for, wait_for},
    ports::Ports,
    rtp::{self, Rtp},
    tone::{self, Law},
    ua::{Phone, Rule, State},
};

/// The notes of the built-in music that always sound (documented in `gateway/media`), and one that never does.
const MUSIC_HZ: [f64; 2] = [262.0, 393.0];
const NOT_MUSIC_HZ: f64 = 325.0;

/// Half a second.
const ENOUGH: usize = 4_000;

/// One end: a telephone and its sound.
struct End {
    phone: Phone,
    rtp: Rtp,
}

impl End {
    fn open(ports: &Ports, laws: &[Law], rule: Rule) -> anyhow::Result<Self> {
        let rtp = Rtp::on(ports.socket()?)?;
        Ok(Self { phone: Phone::on(ports.socket()?, rtp.address, laws, rule)?, rtp })
    }

    /// Until this tone, and not the other, is what is heard.
    fn hears(&self, law: Law, hz: f64, not_hz: f64) -> anyhow::Result<()> {
        let mut last = (0.0, 0.0);
        let heard = wait_for(&format!("{hz} Hz is heard"), || {
            let samples = self.rtp.samples(law, ENOUGH)?;
            last = (tone::amplitude(&samples, hz), tone::amplitude(&samples, not_hz));
            (last.0 > 3_000.0 && last.1 < last.0 / 10.0).then_some(())
        });
        heard.with_context(|| format!("amplitudes {last:?}, packets {}", self.rtp.heard().len()))
    }
}

struct Talk {
    caller: End,
    agent: End,
    call: String,
    answered: String,
    cluster: Cluster,
}

fn documents(agent: SocketAddr, start: &str) -> String {
    format!(
        "kind: Number\nname: \"5000\"\nroute: {{ queue: support }}\n---\nkind: Queue\nname: support\n---\n\
         kind: Agent\nname: anna\ncontact: sip:anna@{agent}\nqueues: [{{ name: support }}]\nstart: {start}\n"
    )
}

impl Talk {
    /// A caller and an agent who talk, each with these codecs.
    fn begin(caller: &[Law], agent: &[Law]) -> anyhow::Result<Self> {
        let ports = Arc::new(Ports::take()?);
        let agent = End::open(&ports, agent, Rule::Answer)?;
        let caller = End::open(&ports, caller, Rule::Refuse(603))?;
        let cluster = Cluster::start_on(ports, Plan::of(&documents(agent.phone.address, "ready")))?;
        let call = caller.phone.call(cluster.sip(1), "5000", "1234");
        caller.phone.wait(&call, "the caller is answered", |call| call.state == State::Up)?;
        let answered = agent.phone.wait_any("the agent talks", |call| call.state == State::Up)?.id;
        Ok(Self { caller, agent, call, answered, cluster })
    }

    fn speak(&self, caller: Law, agent: Law) -> anyhow::Result<()> {
        let media = |end: &End, id: &str| end.phone.look(id).and_then(|call| call.media).context("media of the call");
        self.caller.rtp.say(media(&self.caller, &self.call)?, caller, tone::second_of(700, 8_000.0, caller));
        self.agent.rtp.say(media(&self.agent, &self.answered)?, agent, tone::second_of(1_100, 8_000.0, agent));
        Ok(())
    }
}

#[test]
fn caller_and_agent_hear_each_other_byte_for_byte() -> anyhow::Result<()> {
    let talk = Talk::begin(&[Law::Mu], &[Law::Mu])?;
    talk.speak(Law::Mu, Law::Mu)?;
    talk.caller.hears(Law::Mu, 1_100.0, 700.0)?;
    talk.agent.hears(Law::Mu, 700.0, 1_100.0)?;
    // The same codec on both sides: not one octet is changed on the way.
    for (end, hz) in [(&talk.caller, 1_100), (&talk.agent, 700)] {
        let sound = tone::second_of(hz, 8_000.0, Law::Mu).repeat(2);
        end.rtp.forget();
        let heard = wait_for("a second of sound", || Some(end.rtp.heard()).filter(|heard| heard.len() >= 50))?;
        for packet in &heard {
            let known = sound.windows(packet.payload.len()).any(|part| part == packet.payload);
            ensure!(known, "octets at {hz} Hz were changed");
        }
        rtp::is_one_stream(&heard)?;
    }
    talk.agent.phone.hang_up(&talk.answered);
    talk.caller.phone.wait(&talk.call, "BYE", |call| matches!(call.state, State::Ended(_)))?;
    Ok(())
}

#[test]
fn a_law_and_mu_law_understand_each_other() -> anyhow::Result<()> {
    let talk = Talk::begin(&[Law::Mu], &[Law::A])?;
    talk.speak(Law::Mu, Law::A)?;
    talk.caller.hears(Law::Mu, 1_100.0, 700.0)?;
    talk.agent.hears(Law::A, 700.0, 1_100.0)
}

#[test]
fn music_plays_to_everybody_who_waits_and_ends_with_the_agent() -> anyhow::Result<()> {
    let ports = Arc::new(Ports::take()?);
    let agent = End::open(&ports, &[Law::Mu], Rule::Answer)?;
    let ends = [Law::Mu, Law::A, Law::Mu].map(|law| (law, End::open(&ports, &[law], Rule::Refuse(603))));
    let cluster = Cluster::start_on(ports, Plan::of(&documents(agent.phone.address, "logged-out")))?;
    let mut waiting = Vec::new();
    for (law, end) in ends {
        let end = end?;
        let call = end.phone.call(cluster.sip(1), "5000", &format!("1{}", waiting.len()));
        end.phone.wait(&call, "the caller is answered", |call| call.state == State::Up)?;
        waiting.push((law, end));
    }
    for (law, end) in &waiting {
        let is_music = || {
            let samples = end.rtp.samples(*law, ENOUGH)?;
            let loud = MUSIC_HZ.iter().all(|hz| tone::amplitude(&samples, *hz) > 350.0);
            (loud && tone::amplitude(&samples, NOT_MUSIC_HZ) < 150.0).then_some(())
        };
        wait_for("music is heard", is_music)?;
        rtp::is_one_stream(&end.rtp.heard())?;
    }
    cluster.ask(&["agent", "login", "anna"])?;
    cluster.ask(&["agent", "ready", "anna"])?;
    let answered = agent.phone.wait_any("the agent talks", |call| call.state == State::Up)?;
    ensure!(answered.peer == "10", "the first caller is served first, not {}", answered.peer);
    let (law, first) = &waiting[0];
    let media = answered.media.context("media")?;
    agent.rtp.say(media, Law::Mu, tone::second_of(1_100, 8_000.0, Law::Mu));
    first.hears(*law, 1_100.0, MUSIC_HZ[0])
}

#[test]
fn a_stranger_is_not_heard() -> anyhow::Result<()> {
    let talk = Talk::begin(&[Law::Mu], &[Law::Mu])?;
    talk.speak(Law::Mu, Law::Mu)?;
    talk.agent.hears(Law::Mu, 700.0, 1_900.0)?;
    talk.caller.hears(Law::Mu, 1_100.0, 1_900.0)?;
    // Another machine, and another port of the caller's machine: both know the port, neither is the caller.
    let media = talk.caller.phone.look(&talk.call).and_then(|call| call.media).context("media")?;
    let strangers = [Rtp::on(std::net::UdpSocket::bind("127.0.0.2:0")?)?, Rtp::on(talk.cluster.ports.socket()?)?];
    for stranger in &strangers {
        stranger.say(media, Law::Mu, tone::second_of(1_900, 12_000.0, Law::Mu));
    }
    talk.agent.rtp.forget();
    wait_for("two seconds of sound", || talk.agent.rtp.samples(Law::Mu, 4 * ENOUGH))?;
    talk.agent.hears(Law::Mu, 700.0, 1_900.0)?;
    rtp::is_one_stream(&talk.agent.rtp.heard())?;
    // Nor is the caller's sound sent to them.
    hold_for("strangers hear nothing", Duration::from_millis(300), || {
        strangers.iter().all(|stranger| stranger.heard().is_empty())
    })
}

#[test]
fn digits_reach_the_agent() -> anyhow::Result<()> {
    let talk = Talk::begin(&[Law::Mu], &[Law::Mu])?;
    talk.speak(Law::Mu, Law::Mu)?;
    talk.agent.hears(Law::Mu, 700.0, 1_100.0)?;
    talk.caller.rtp.press(7);
    let ends = wait_for("the digit's end is heard", || {
        let heard = talk.agent.rtp.heard();
        let ends: Vec<_> = heard.into_iter().filter(|p| p.payload_type == 101 && p.payload[1] & 0x80 != 0).collect();
        (!ends.is_empty()).then_some(ends)
    })?;
    ensure!(ends.iter().all(|packet| packet.payload[0] == 7), "{ends:?}");
    talk.agent.hears(Law::Mu, 700.0, 1_100.0)
}

#[test]
fn a_caller_on_hold_is_not_sent_to_and_comes_back_from_another_port() -> anyhow::Result<()> {
    let talk = Talk::begin(&[Law::Mu], &[Law::Mu])?;
    talk.speak(Law::Mu, Law::Mu)?;
    talk.caller.hears(Law::Mu, 1_100.0, 700.0)?;
    talk.caller.phone.offer_again(&talk.call, "sendonly", talk.caller.rtp.address);
    talk.caller.phone.wait(&talk.call, "hold is answered", |call| {
        call.sdp.contains("a=recvonly") && call.answer_to("INVITE") == Some(200)
    })?;
    // What was on its way may still come; then there is nothing.
    let mut before = usize::MAX;
    wait_for("nothing is sent to a held caller", || {
        let now = talk.caller.rtp.heard().len();
        let quiet = now == before;
        before = now;
        std::thread::sleep(Duration::from_millis(200));
        quiet.then_some(())
    })?;
    // The call goes on somewhere else: a new port, as after a change of network.
    let moved = Rtp::on(talk.cluster.ports.socket()?)?;
    talk.caller.phone.offer_again(&talk.call, "sendrecv", moved.address);
    talk.caller.rtp.hush();
    talk.caller.phone.wait(&talk.call, "the call is taken back", |call| call.sdp.contains("a=sendrecv"))?;
    let heard = wait_for("the agent is heard at the new port", || moved.samples(Law::Mu, ENOUGH))?;
    ensure!(tone::amplitude(&heard, 1_100.0) > 3_000.0);
    Ok(())
}
