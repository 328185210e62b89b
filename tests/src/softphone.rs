//! baresip as a real softphone: configured in a temporary folder, its sound made by itself, its keys pressed over
//! `ctrl_tcp` on loopback. Knows nothing of what it should hear.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::{cluster::Cluster, patience::wait_for, ports::Ports};

/// Where Debian keeps baresip's modules.
const MODULES: &str = "/usr/lib/baresip/modules";
/// Events that are read at once, bytes.
const READ_MAX: usize = 4_096;

/// The tone that it says all the time.
pub const TONE_HZ: u32 = 440;

/// How it speaks SIP, and whether its sound is protected.
#[derive(Clone, Debug)]
pub enum Way {
    /// In the open.
    Udp,
    /// Over one connection, which it opens.
    Tcp,
    /// Over TLS, believing this authority (PEM), with SRTP and nothing less.
    Tls(PathBuf),
}

impl Way {
    fn transport(&self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
        }
    }

    fn config(&self) -> String {
        match self {
            Self::Udp | Self::Tcp => String::new(),
            Self::Tls(authority) => format!("module srtp.so\nsip_cafile {}\n", authority.display()),
        }
    }

    fn account(&self) -> &'static str {
        match self {
            Self::Udp | Self::Tcp => "",
            Self::Tls(_) => ";mediaenc=srtp-mand",
        }
    }
}

/// A running baresip; killed when dropped.
#[derive(Debug)]
pub struct Softphone {
    child: Child,
    keys: TcpStream,
    events: String,
    dir: TempDir,
}

impl Softphone {
    /// Starts it as this user of this server; it registers by itself.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(ports: &Ports, server: SocketAddr, user: &str, password: &str) -> anyhow::Result<Self> {
        Self::start_by(&Way::Udp, ports, server, user, password)
    }

    /// The same in this way.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_by(way: &Way, ports: &Ports, server: SocketAddr, user: &str, password: &str) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("cb-phone-").tempdir_in("/tmp")?;
        // It hears SIP over TLS one port above.
        let (sip, keys, rtp) = (ports.run(2)?, ports.one()?, ports.run(20)?);
        let config = format!(
            "module_path {MODULES}\nmodule g711.so\nmodule ausine.so\nmodule sndfile.so\nmodule_app account.so\n\
             module_app menu.so\nmodule ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{keys}\nsip_listen 127.0.0.1:{sip}\n\
             net_interface 127.0.0.1\nrtp_ports {rtp}-{}\naudio_source ausine,{TONE_HZ}\nsnd_path {}\n\
             ausrc_channels 2\nauplay_channels 1\nausrc_srate 48000\n\
             audio_buffer 20-160\nrtp_timeout 0\nsip_trans_def {}\ncall_local_timeout 120\n{}",
            rtp + 19,
            dir.path().display(),
            way.transport(),
            way.config(),
        );
        fs::write(dir.path().join("config"), config)?;
        fs::write(
            dir.path().join("accounts"),
            format!(
                "<sip:{user}@{server};transport={}>;auth_user={user};auth_pass={password};regint=120;\
                 answermode=manual;audio_codecs=PCMU/8000/1{}\n",
                way.transport(),
                way.account()
            ),
        )?;
        fs::write(dir.path().join("contacts"), "")?;
        let said = fs::File::create(dir.path().join("said"))?;
        let child = Command::new("baresip")
            .arg("-f")
            .arg(dir.path())
            .args(["-4", "-s", "-t", "120"])
            .env("HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("is baresip installed?")?;
        let address = SocketAddr::from(([127, 0, 0, 1], keys));
        let keys = wait_for("baresip listens on ctrl_tcp", || {
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
        });
        let keys = keys.with_context(|| fs::read_to_string(dir.path().join("said")).unwrap_or_default())?;
        keys.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(Self { child, keys, events: String::new(), dir })
    }

    /// Presses a key of its menu: `accept`, `hangup`.
    ///
    /// # Errors
    /// It is gone.
    pub fn press(&mut self, command: &str) -> anyhow::Result<()> {
        let json = format!("{{\"command\":\"{command}\"}}");
        // A netstring: https://cr.yp.to/proto/netstrings.txt
        write!(self.keys, "{}:{json},", json.len())?;
        Ok(())
    }

    /// It has registered, and this agent, whose phone it is, takes calls.
    ///
    /// # Errors
    /// It is not so in time.
    pub fn take_calls_of(&mut self, agent: &str, cluster: &Cluster) -> anyhow::Result<()> {
        self.wait_for("200 OK (Cordboard) [1 binding]")?;
        cluster.ask_until(&["agent", "show", agent], |agent| {
            agent["contacts"].as_array().is_some_and(|contacts| contacts.len() == 1)
        })?;
        cluster.cordctl(&["agent", "login", agent])?;
        cluster.ask(&["agent", "ready", agent])?;
        Ok(())
    }

    /// Until it has told such an event over `ctrl_tcp`, or printed it.
    ///
    /// # Errors
    /// It never did; what it said is in the error.
    pub fn wait_for(&mut self, event: &str) -> anyhow::Result<()> {
        let seen = wait_for(&format!("baresip says {event}"), || {
            let mut buffer = [0; READ_MAX];
            if let Ok(length) = self.keys.read(&mut buffer) {
                self.events += &String::from_utf8_lossy(&buffer[..length]);
            }
            (self.events.contains(event) || self.said().contains(event)).then_some(())
        });
        match seen {
            Ok(()) => Ok(()),
            Err(error) => bail!("{error}\n{}\n{}", self.events, self.said()),
        }
    }

    /// How often it has told such an event over `ctrl_tcp`.
    pub fn heard_of(&mut self, event: &str) -> usize {
        let mut buffer = [0; READ_MAX];
        while let Ok(length) = self.keys.read(&mut buffer) {
            if length == 0 {
                break;
            }
            self.events += &String::from_utf8_lossy(&buffer[..length]);
        }
        self.events.matches(event).count()
    }

    /// What it has heard until now: 16 bit samples of its recording, 8 kHz.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        let files = fs::read_dir(self.dir.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        let decoded = files.into_iter().find(|path| path.to_string_lossy().ends_with("-dec.wav"));
        let wav = decoded.and_then(|path| fs::read(path).ok()).unwrap_or_default();
        // Beyond the RIFF head, which has 44 bytes when nothing but sound follows.
        wav.get(44..).unwrap_or_default().chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Its own words, with all SIP messages.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
    }
}

impl Drop for Softphone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
