//! The documents a development cluster starts with: the user's file, or a small demo centre.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use proto::v1::{ApplyRequest, GetDocumentsRequest, SourceFile, admin_client::AdminClient, document};
use tokio::time::{Instant, sleep};
use tonic::{Code, transport::Endpoint};
use trust::{Far, Trust};

use crate::{args::DevArgs, demo};

/// Everybody on this machine may call; given when no document names a trunk.
const LOOPBACK_TRUNK: &str = "kind: Trunk\nname: loopback\naddresses: [127.0.0.0/8, \"::1/128\"]\n";

/// Larger files are refused before they are read, bytes.
const FILE_MAX: u64 = 32 << 20;

/// How long it is tried to apply them.
const APPLY_MAX: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

/// Where the built-in demo agents listen.
pub(crate) const fn demo_agents_port(sip_port: u16) -> u16 {
    sip_port.saturating_add(20)
}

/// What this run starts with. The contacts of the demo agents follow this run's ports.
pub(crate) fn load(args: &DevArgs) -> anyhow::Result<Vec<SourceFile>> {
    if let Some(path) = &args.config {
        return Ok(vec![read(path)?]);
    }
    let mut files = vec![SourceFile { name: "demo.yaml".into(), text: include_str!("demo.yaml").into() }];
    if args.demo {
        files.push(demo::documents(demo_agents_port(args.sip_port)));
    }
    Ok(files)
}

/// An earlier run with `--demo` left agents behind whose phones are not there now.
pub(crate) async fn send_demo_agents_home(trust: &Trust, nodes: &[String]) {
    let Some(node) = nodes.first() else { return };
    if let Err(error) = demo::log_out(trust, node).await {
        eprintln!("agents of an earlier --demo may still be logged in: {error:#}");
    }
}

fn read(path: &Path) -> anyhow::Result<SourceFile> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > FILE_MAX {
        bail!("{} has {size} bytes; {FILE_MAX} is the most", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(SourceFile { name: path.display().to_string(), text })
}

fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Aborted)
}

/// Hands the documents to the directory, and a trunk for loopback if there is none.
pub(crate) async fn apply(trust: &Trust, endpoints: &[String], files: Vec<SourceFile>) -> anyhow::Result<()> {
    let endpoint = endpoints.first().context("there is no node")?;
    let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))?;
    let channel = trust.connect(&endpoint, Far::AnyNode).await?;
    let mut admin = AdminClient::new(channel).max_decoding_message_size(usize::MAX);
    hand_over(&mut admin, files).await?;
    let request = GetDocumentsRequest { kind: "Trunk".into(), name: String::new() };
    let documents = admin.get_documents(request).await?.into_inner().documents;
    if !documents.iter().any(|document| matches!(document.kind, Some(document::Kind::Trunk(_)))) {
        let file = SourceFile { name: "loopback.yaml".into(), text: LOOPBACK_TRUNK.into() };
        hand_over(&mut admin, vec![file]).await?;
    }
    Ok(())
}

async fn hand_over(admin: &mut AdminClient<tonic::transport::Channel>, files: Vec<SourceFile>) -> anyhow::Result<()> {
    let request = ApplyRequest { files, dry_run: false, by: "cordboard dev".into() };
    let deadline = Instant::now() + APPLY_MAX;
    let reply = loop {
        match admin.apply(request.clone()).await {
            Ok(reply) => break reply.into_inner(),
            // The leader may change while all start at once. What has been applied after all is unchanged the second time.
            Err(status) if is_passing(status.code()) && Instant::now() < deadline => sleep(AGAIN).await,
            Err(status) => return Err(status).context("the documents could not be applied"),
        }
    };
    if reply.errors.is_empty() {
        return Ok(());
    }
    let errors: Vec<_> = reply
        .errors
        .iter()
        .map(|error| {
            let allowed =
                if error.allowed.is_empty() { String::new() } else { format!(" (allowed: {})", error.allowed) };
            format!("{}:{}: {}: {}{allowed}", error.file, error.line, error.field, error.message)
        })
        .collect();
    bail!("nothing was applied:\n{}", errors.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Role};

    fn dev(line: &str) -> Result<DevArgs, clap::Error> {
        match Args::try_parse_from(line.split_whitespace())?.role {
            Role::Dev(args) => Ok(args),
            role => panic!("{line} is {role:?}"),
        }
    }

    #[test]
    fn without_a_file_the_demo_centre_is_read_and_its_agents_only_when_they_play() {
        let files = load(&dev("cordboard dev").expect("arguments")).expect("documents");
        assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["demo.yaml"]);
        let files = load(&dev("cordboard dev --demo --sip-port 6000").expect("arguments")).expect("documents");
        assert!(files[1].text.contains("contact: sip:demo1@127.0.0.1:6020"), "{}", files[1].text);
    }

    #[test]
    fn a_file_is_read_instead_of_the_demo_centre() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "kind: Queue\nname: q\n").expect("written");
        let path = file.path().display();
        let files = load(&dev(&format!("cordboard dev --config {path}")).expect("arguments")).expect("documents");
        assert_eq!((files.len(), files[0].text.as_str()), (1, "kind: Queue\nname: q\n"));
        let both = dev(&format!("cordboard dev --config {path} --demo")).expect_err("the demo has its own centre");
        assert_eq!(both.kind(), clap::error::ErrorKind::ArgumentConflict);
    }

    #[test]
    fn a_missing_or_huge_file_is_named() {
        let missing = load(&dev("cordboard dev --config no/such.yaml").expect("arguments")).expect_err("missing");
        assert!(format!("{missing:#}").contains("no/such.yaml"), "{missing:#}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(FILE_MAX + 1).expect("grown");
        let path = file.path().display();
        let huge = load(&dev(&format!("cordboard dev --config {path}")).expect("arguments")).expect_err("huge");
        assert!(format!("{huge:#}").contains("is the most"), "{huge:#}");
    }

    #[test]
    fn numbers_beyond_what_dev_can_start_are_refused() {
        for line in ["--nodes 0", "--nodes 10", "--gateways 0", "--gateways 5"] {
            assert!(dev(&format!("cordboard dev {line}")).is_err(), "{line}");
        }
    }
}
