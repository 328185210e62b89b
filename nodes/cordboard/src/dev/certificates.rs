//! The certificates of a development cluster: an authority of its own in DIR/tls, kept over restarts. Whoever can read that
//! folder may do everything in this cluster.

use std::path::{Path, PathBuf};

use trust::{
    Files, Role, Trust,
    authority::Authority,
    nearby::{Remembered, remember},
};

/// The name of whoever runs `cordboard dev`, and of `cordctl --dev`.
const USER: &str = "dev";
/// `cordboard dev` calls its cluster so, as nodes do by themselves.
const CLUSTER: &str = "cordboard";
/// Made again at the first start after that.
const DAYS: u32 = 365;

/// None of them with `--open`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Certificates {
    folder: Option<PathBuf>,
    /// Of this process: an admin.
    pub(crate) own: Trust,
}

impl Certificates {
    /// Makes what is missing.
    pub(crate) fn prepare(dir: &Path, open: bool) -> anyhow::Result<Self> {
        if open {
            return Ok(Self::default());
        }
        let folder = dir.join("tls");
        if !folder.join("ca.pem").exists() {
            Authority::begin(&folder, CLUSTER)?;
        }
        let own = Trust::load(made(&folder, USER, Role::Admin)?)?;
        Ok(Self { folder: Some(folder), own })
    }

    /// Says where they are to whoever only knows an endpoint. A machine that does not let us is no reason to stop.
    pub(crate) fn tell(&self, endpoints: &[String]) -> Option<Remembered> {
        let told = remember(endpoints, self.folder.as_deref()?);
        told.inspect_err(|error| eprintln!("`cordctl --endpoint` will need --cluster-ca and the others: {error}")).ok()
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// What a child is started with.
    pub(crate) fn arguments(&self, name: &str, role: Role) -> anyhow::Result<Vec<String>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let Files { ca, certificate, key } = made(folder, name, role)?;
        let flags = [("--cluster-ca", ca), ("--cluster-certificate", certificate), ("--cluster-key", key)];
        Ok(flags.into_iter().flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()]).collect())
    }

    /// What the demo phones are started with: they act as the person does.
    pub(crate) fn own_arguments(&self) -> anyhow::Result<Vec<String>> {
        self.arguments(USER, Role::Admin)
    }
}

/// As it is when it can be used, or new.
fn made(folder: &Path, name: &str, role: Role) -> anyhow::Result<Files> {
    let files = Files::in_folder(folder, name, role);
    if Trust::load(files.clone()).is_ok() {
        return Ok(files);
    }
    Ok(Authority::open(folder)?.issue(name, role, DAYS)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_good_is_kept_and_what_is_not_is_made_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Certificates::prepare(dir.path(), false).expect("made");
        let arguments = first.arguments("n1", Role::Node).expect("made");
        let read = |name: &str| std::fs::read(dir.path().join("tls").join(name)).expect("a file");
        let (ca, node) = (read("ca.pem"), read("n1.pem"));
        std::fs::write(dir.path().join("tls/user-dev.key"), "no key").expect("written");
        let again = Certificates::prepare(dir.path(), false).expect("made again");
        assert_eq!(again.arguments("n1", Role::Node).expect("kept"), arguments);
        assert_eq!((read("ca.pem"), read("n1.pem")), (ca, node));
        assert_eq!(again.own.own().map(|own| own.role), Some(Role::Admin));
        let open = Certificates::prepare(dir.path(), true).expect("nothing");
        assert!(open.arguments("n1", Role::Node).expect("none").is_empty() && !open.own.is_on());
    }
}
