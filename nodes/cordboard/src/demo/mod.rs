//! `cordboard demo`: callers and agents for a development cluster, so that there is something to watch. A child of
//! `cordboard dev --demo`; it speaks SIP and RTP like any phone and prints nothing. Never a part of the cluster.

mod duty;
mod phones;
mod script;
mod tone;

use std::net::{Ipv4Addr, UdpSocket};

use anyhow::Context as _;
use proto::v1::SourceFile;

use crate::args::DemoArgs;
pub(crate) use duty::log_out;
use phones::Phones;

/// The agents that sit here.
pub(crate) const AGENTS: [&str; 4] = ["demo1", "demo2", "demo3", "demo4"];
/// What the callers dial; both are in the demo centre.
const NUMBERS: [&str; 2] = ["5000", "5001"];

/// The documents of the demo agents, who are reached at `port`.
pub(crate) fn documents(port: u16) -> SourceFile {
    let text = AGENTS.map(|name| {
        let contact = format!("sip:{name}@{}:{port}", Ipv4Addr::LOCALHOST);
        let queues = "queues: [{ name: support }, { name: sales }]";
        format!("kind: Agent\nname: {name}\ncontact: {contact}\n{queues}\nstart: ready\n")
    });
    SourceFile { name: "demo-agents.yaml".into(), text: text.join("---\n") }
}

/// Plays until the process is told to stop.
pub(crate) async fn run(args: DemoArgs, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let trust = args.trust.load()?;
    let address = (Ipv4Addr::LOCALHOST, args.agents_port);
    let socket = UdpSocket::bind(address)
        .with_context(|| format!("the demo phones cannot listen on {}:{} (UDP)", address.0, address.1))?;
    let phones = Phones::new(socket, args.gateway)?;
    // It ends with the process; there is nothing to say goodbye to that a caller would not leave behind too.
    let played = tokio::task::spawn_blocking(move || phones.play());
    tokio::select! {
        outcome = played => outcome?,
        () = duty::keep(&trust, &args.nodes) => Ok(()),
        () = stop => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_name_every_agent_at_the_given_port() {
        let file = documents(25_080);
        assert_eq!(file.text.split("---\n").count(), AGENTS.len());
        for name in AGENTS {
            assert!(file.text.contains(&format!("contact: sip:{name}@127.0.0.1:25080\n")), "{}", file.text);
        }
    }
}
