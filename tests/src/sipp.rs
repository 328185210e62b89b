//! SIPp as caller and as agent: one process per scenario of `tests/sipp`, bounded by its own timeout. Judges nothing but
//! whether SIPp saw what the scenario says.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::{patience::wait_long, ports::Ports};

/// Within it every scenario must be over.
const TIMEOUT_SECONDS: u64 = 60;

/// What SIPp is to do.
#[derive(Clone, Debug)]
pub struct Scenario {
    name: String,
    words: Vec<(String, String)>,
    remote: SocketAddr,
    port: Option<u16>,
    number: String,
    calls: u32,
    tcp: bool,
    credentials: Option<(String, String)>,
}

impl Scenario {
    /// The file `tests/sipp/NAME.xml`, against this address.
    #[must_use]
    pub fn of(name: &str, remote: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            words: Vec::new(),
            remote,
            port: None,
            number: "5000".to_owned(),
            calls: 1,
            tcp: false,
            credentials: None,
        }
    }

    /// An agent: nobody is called, calls come to this port.
    #[must_use]
    pub fn agent(name: &str, port: u16) -> Self {
        Self { port: Some(port), ..Self::of(name, SocketAddr::from(([127, 0, 0, 1], 9))) }
    }

    /// What is dialled, or who registers.
    #[must_use]
    pub fn number(self, number: &str) -> Self {
        Self { number: number.to_owned(), ..self }
    }

    /// How many calls.
    #[must_use]
    pub fn calls(self, calls: u32) -> Self {
        Self { calls, ..self }
    }

    /// From this port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// Over TCP.
    #[must_use]
    pub fn tcp(self) -> Self {
        Self { tcp: true, ..self }
    }

    /// Replaces `{{word}}` in the file.
    #[must_use]
    pub fn word(mut self, word: &str, value: &str) -> Self {
        self.words.push((format!("{{{{{word}}}}}"), value.to_owned()));
        self
    }

    /// For REGISTER.
    #[must_use]
    pub fn credentials(self, user: &str, password: &str) -> Self {
        Self { credentials: Some((user.to_owned(), password.to_owned())), ..self }
    }

    /// Starts it.
    ///
    /// # Errors
    /// SIPp or the scenario is not there.
    pub fn start(self, ports: &Ports) -> anyhow::Result<Sipp> {
        let dir = tempfile::Builder::new().prefix("cb-sipp-").tempdir_in("/tmp")?;
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sipp").join(format!("{}.xml", self.name));
        let mut text = fs::read_to_string(&source).with_context(|| format!("no scenario {}", source.display()))?;
        for (word, value) in &self.words {
            text = text.replace(word, value);
        }
        ensure!(!text.contains("{{"), "scenario {} wants a word that was not given", self.name);
        let file = dir.path().join("scenario.xml");
        fs::write(&file, text)?;
        let port = self.port.map_or_else(|| ports.one(), Ok)?;
        let mut command = Command::new("sipp");
        command.arg(self.remote.to_string()).arg("-sf").arg(&file).current_dir(dir.path());
        for (name, value) in [
            ("-i", "127.0.0.1".to_owned()),
            ("-p", port.to_string()),
            ("-mp", ports.run(4)?.to_string()),
            ("-cp", ports.one()?.to_string()),
            ("-s", self.number.clone()),
            ("-m", self.calls.to_string()),
            ("-l", self.calls.to_string()),
            ("-timeout", format!("{TIMEOUT_SECONDS}s")),
            ("-recv_timeout", (TIMEOUT_SECONDS * 1_000).to_string()),
            ("-error_file", "errors".to_owned()),
            ("-message_file", "messages".to_owned()),
        ] {
            command.arg(name).arg(value);
        }
        command.args([
            "-trace_err",
            "-trace_msg",
            "-nostdin",
            "-timeout_error",
            "-t",
            if self.tcp { "t1" } else { "u1" },
        ]);
        if let Some((user, password)) = &self.credentials {
            command.args(["-au", user, "-ap", password]);
        }
        let screen = fs::File::create(dir.path().join("screen"))?;
        command.stdin(Stdio::null()).stdout(screen.try_clone()?).stderr(screen);
        let child = command.spawn().context("cannot start sipp: is the package sip-tester installed?")?;
        Ok(Sipp { name: self.name, port, child, dir })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// It did not see what the scenario says.
    pub fn run(self, ports: &Ports) -> anyhow::Result<()> {
        self.start(ports)?.finish()
    }
}

/// A running SIPp; killed when dropped.
#[derive(Debug)]
pub struct Sipp {
    name: String,
    /// Its SIP port.
    pub port: u16,
    child: Child,
    dir: TempDir,
}

impl Sipp {
    /// Waits until all its calls were as the scenario says.
    ///
    /// # Errors
    /// They were not; what it saw is in the error.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let patience = Duration::from_secs(TIMEOUT_SECONDS + 15);
        let ended = wait_long("sipp ends", patience, || self.child.try_wait().ok().flatten());
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!("sipp {} ended with {status}\n{}", self.name, self.said()),
            Err(error) => bail!("sipp {}: {error}\n{}", self.name, self.said()),
        }
    }

    /// What it has sent and received until now.
    #[must_use]
    pub fn messages(&self) -> String {
        fs::read_to_string(self.dir.path().join("messages")).unwrap_or_default()
    }

    /// Until this text was in a message.
    ///
    /// # Errors
    /// It never was.
    pub fn wait_for(&self, text: &str) -> anyhow::Result<()> {
        let seen = wait_long(&format!("sipp {} sees {text}", self.name), Duration::from_secs(30), || {
            self.messages().contains(text).then_some(())
        });
        seen.with_context(|| self.said())
    }

    fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        format!("--- errors\n{}\n--- messages\n{}", read("errors"), read("messages"))
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
