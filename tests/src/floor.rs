//! People with telephones and ears around one cluster: each says a tone of their own, so that who hears whom can be checked.
//! Knows no story.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::{
    cluster::{Cluster, Plan},
    patience::wait_for,
    ports::Ports,
    rtp::Rtp,
    tone::{self, Law},
    ua::{Call, End, Phone, Rule, State},
};

/// Half a second: what is looked at to say who is heard.
const LISTEN_SAMPLES: usize = 4_000;
/// A tone of this amplitude or more is heard; what people say has 6000.
const HEARD: f64 = 1_500.0;
/// A tone below it is not there.
const UNHEARD: f64 = 200.0;

/// Somebody with a telephone.
#[derive(Debug)]
pub struct Person {
    /// Their telephone.
    pub phone: Phone,
    /// Their ear and mouth.
    pub ear: Rtp,
    /// The tone that they say.
    pub hz: u32,
}

impl Person {
    /// Somebody who says this tone, with a telephone that does this with calls.
    ///
    /// # Errors
    /// No port is left.
    pub fn on(ports: &Ports, hz: u32, rule: Rule) -> anyhow::Result<Self> {
        let ear = Rtp::on(ports.socket()?)?;
        let phone = Phone::on(ports.socket()?, ear.address, &[Law::Mu], rule)?;
        Ok(Self { phone, ear, hz })
    }

    /// The port of their telephone.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.phone.address.port()
    }

    /// Says the tone into this call.
    ///
    /// # Errors
    /// The call has no media.
    pub fn speak(&self, call: &str) -> anyhow::Result<()> {
        let to = self.phone.look(call).and_then(|call| call.media).context("a call with media")?;
        self.ear.say(to, Law::Mu, tone::second_of(self.hz, 6_000.0, Law::Mu));
        Ok(())
    }

    /// Until they hear all of these and none of those.
    ///
    /// # Errors
    /// They never do.
    pub fn hears(&self, these: &[&Person], not: &[&Person]) -> anyhow::Result<()> {
        let mut last = String::new();
        let heard = wait_for("the right people are heard", || {
            let samples = self.ear.samples(Law::Mu, LISTEN_SAMPLES)?;
            let size = |who: &&Person| tone::amplitude(&samples, f64::from(who.hz));
            let sizes = |people: &[&Person]| people.iter().map(|who| (who.hz, size(who) as i64)).collect::<Vec<_>>();
            last = format!("wanted {:?}, not wanted {:?}", sizes(these), sizes(not));
            (these.iter().all(|who| size(who) > HEARD) && not.iter().all(|who| size(who) < UNHEARD)).then_some(())
        });
        heard.with_context(|| format!("at {} Hz: {last}", self.hz))
    }

    /// Until they hear something that nobody of these says.
    ///
    /// # Errors
    /// They never do.
    pub fn hears_music(&self, not: &[&Person]) -> anyhow::Result<()> {
        self.ear.forget();
        wait_for("music is heard", || {
            let samples = self.ear.samples(Law::Mu, LISTEN_SAMPLES)?;
            let loud = samples.iter().map(|sample| i64::from(sample.unsigned_abs())).sum::<i64>()
                > 100 * LISTEN_SAMPLES as i64;
            (loud && not.iter().all(|who| tone::amplitude(&samples, f64::from(who.hz)) < UNHEARD)).then_some(())
        })
    }

    /// Until a call is up that did not exist when there were so many.
    ///
    /// # Errors
    /// It never is.
    pub fn taken(&self, before: usize) -> anyhow::Result<Call> {
        self.phone.wait_any("a call is taken", |call| call.order > before as u64 && call.state == State::Up)
    }

    /// Until the other side has hung up.
    ///
    /// # Errors
    /// It never does.
    pub fn left(&self, call: &str) -> anyhow::Result<Call> {
        self.phone.wait(call, "the other side hangs up", |call| call.state == State::Ended(End::ByThem))
    }
}

/// A cluster with people around it.
#[derive(Debug)]
pub struct Floor {
    /// The cluster.
    pub cluster: Cluster,
    /// Ports of this test.
    pub ports: Arc<Ports>,
    /// Who calls; their telephone takes no calls.
    pub customer: Person,
    /// The agent of queue `support`, number 5000.
    pub anna: Person,
    /// An agent behind the number 5001, of queue `back`.
    pub boris: Person,
    /// The agent of queue `sales`, number 5002.
    pub clara: Person,
}

impl Floor {
    /// One gateway with these documents besides.
    ///
    /// # Errors
    /// It does not start.
    pub fn open(more: &str) -> anyhow::Result<Self> {
        Self::open_on(Arc::new(Ports::take()?), more)
    }

    /// The same on ports that the documents name.
    ///
    /// # Errors
    /// It does not start.
    pub fn open_on(ports: Arc<Ports>, more: &str) -> anyhow::Result<Self> {
        let customer = Person::on(&ports, 500, Rule::Refuse(603))?;
        let [anna, boris, clara] = [700, 900, 1_100].map(|hz| Person::on(&ports, hz, Rule::Answer));
        let (anna, boris, clara) = (anna?, boris?, clara?);
        let config = documents(&[("anna", &anna), ("boris", &boris), ("clara", &clara)]) + more;
        let cluster = Cluster::start_on(ports.clone(), Plan::of(&config))?;
        Ok(Self { cluster, ports, customer, anna, boris, clara })
    }

    /// Where SIP is heard.
    #[must_use]
    pub fn sip(&self) -> SocketAddr {
        self.cluster.sip(1)
    }

    /// The customer calls this number; the Call-ID.
    #[must_use]
    pub fn dial(&self, number: &str) -> String {
        self.customer.phone.call(self.sip(), number, "1234")
    }

    /// The customer talks to anna, both speak and hear; their Call-IDs.
    ///
    /// # Errors
    /// They do not.
    pub fn talk(&self) -> anyhow::Result<(String, String)> {
        let before = self.anna.phone.calls().len();
        let call = self.dial("5000");
        let hers = self.anna.taken(before)?.id;
        self.joined(&call, &self.anna, &hers)?;
        Ok((call, hers))
    }

    /// The customer and this one hear each other.
    ///
    /// # Errors
    /// They do not.
    pub fn joined(&self, call: &str, other: &Person, theirs: &str) -> anyhow::Result<()> {
        self.customer.phone.wait(call, "the customer is answered", |call| call.state == State::Up)?;
        self.customer.speak(call)?;
        other.speak(theirs)?;
        self.customer.hears(&[other], &[])?;
        other.hears(&[&self.customer], &[])
    }

    /// The id of the one call that lives.
    ///
    /// # Errors
    /// There is not one.
    pub fn call_id(&self) -> anyhow::Result<String> {
        let list =
            self.cluster.ask_until(&["call", "list"], |list| list.as_array().is_some_and(|all| all.len() == 1))?;
        list[0]["call"].as_str().map(ToOwned::to_owned).context("a call has an id")
    }

    /// `cordctl call ...` that must succeed.
    ///
    /// # Errors
    /// It does not.
    pub fn order(&self, words: &[&str]) -> anyhow::Result<Value> {
        self.cluster.ask(&[&["call"], words].concat())
    }

    /// The records of this kind (`transfer`) of a call, once they fit.
    ///
    /// # Errors
    /// They never do.
    pub fn transfers(&self, call: &str, fits: impl Fn(&[Value]) -> bool) -> anyhow::Result<Vec<Value>> {
        let of = |shown: &Value| -> Vec<Value> {
            let records = shown["records"].as_array().into_iter().flatten();
            records.filter(|record| record["type"] == "transfer").cloned().collect()
        };
        let shown = self.cluster.ask_until(&["call", "explain", call], |shown| fits(&of(shown)))?;
        Ok(of(&shown))
    }

    /// The customer hangs up, and the last one is hung up on.
    ///
    /// # Errors
    /// They are not.
    pub fn goodbye(&self, call: &str, other: &Person, theirs: &str) -> anyhow::Result<()> {
        self.customer.phone.hang_up(call);
        other.left(theirs)?;
        let ended = self.customer.phone.wait(call, "BYE is answered", |call| call.answer_to("BYE").is_some())?;
        ensure!(ended.answer_to("BYE") == Some(200), "{ended:#?}");
        Ok(())
    }
}

fn documents(agents: &[(&str, &Person)]) -> String {
    let queue = |name: &str| {
        format!(
            "---\nkind: Queue\nname: {name}\nring_seconds: 20\nwrap_up_seconds: 0\nbusy_delay_seconds: 1\n\
             unreachable_delay_seconds: 1\nrona: stay-ready\nrona_delay_seconds: 1\n"
        )
    };
    let mut text = "kind: Number\nname: \"5000\"\nroute: { queue: support }\n---\n\
                    kind: Number\nname: \"5001\"\nroute: { agent: boris, queue: back }\n---\n\
                    kind: Number\nname: \"5002\"\nroute: { queue: sales }\n"
        .to_owned();
    for ((name, person), queues) in agents.iter().zip(["support", "back", "sales"]) {
        text += &queue(queues);
        text += &format!(
            "---\nkind: Agent\nname: {name}\ncontact: sip:{name}@127.0.0.1:{}\nqueues: [{queues}]\nstart: ready\n",
            person.port()
        );
    }
    text
}
