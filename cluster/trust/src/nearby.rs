//! Where the certificates of development clusters on this machine are, by endpoint, so that `cordctl --endpoint` needs no
//! more than before. In a folder that only this user can write; nothing there is believed of anybody else.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// Nobody else may look into the folder, nor plant anything there.
const MODE: u32 = 0o700;

/// What was remembered; forgotten when it is dropped.
#[derive(Debug)]
pub struct Remembered {
    files: Vec<PathBuf>,
}

impl Drop for Remembered {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

/// The certificates of the nodes at these endpoints are in this folder, for as long as what is given back lives.
///
/// # Errors
/// The folder cannot be made, or is somebody else's.
pub fn remember(endpoints: &[String], certificates: &Path) -> io::Result<Remembered> {
    let folder = folder()?;
    match fs::DirBuilder::new().mode(MODE).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    if !is_ours(&folder)? {
        return Err(io::Error::other(format!("{} is somebody else's", folder.display())));
    }
    let own = std::process::id();
    let text = format!("{own} {}\n{}", began(own)?, certificates.display());
    let mut remembered = Remembered { files: Vec::new() };
    for endpoint in endpoints {
        let file = folder.join(endpoint);
        fs::write(&file, &text)?;
        remembered.files.push(file);
    }
    Ok(remembered)
}

/// The folder with the certificates of a development cluster of this user at this endpoint.
#[must_use]
pub fn find(endpoint: &str) -> Option<PathBuf> {
    let folder = folder().ok()?;
    if endpoint.contains('/') || !is_ours(&folder).ok()? {
        return None;
    }
    let text = fs::read_to_string(folder.join(endpoint)).ok()?;
    let (process, certificates) = text.split_once('\n')?;
    // Who was killed could not forget; what listens there now is something else.
    let (process, start) = process.split_once(' ')?;
    if began(process.parse().ok()?).ok()? != start {
        return None;
    }
    let certificates = PathBuf::from(certificates);
    certificates.join("ca.pem").is_file().then_some(certificates)
}

fn folder() -> io::Result<PathBuf> {
    Ok(PathBuf::from(format!("/tmp/cordboard-{}", user()?)))
}

/// A link is nobody's folder.
fn is_ours(folder: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(folder)?;
    Ok(found.is_dir() && found.uid() == user()? && found.mode() & 0o077 == 0)
}

/// When a process began, in the kernel's own count: a number that is given again begins later (proc(5), `starttime`).
fn began(process: u32) -> io::Result<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let behind_name = stat.rsplit_once(')').map(|(_, rest)| rest);
    let start = behind_name.and_then(|rest| rest.split_whitespace().nth(19));
    start.map(ToOwned::to_owned).ok_or_else(|| io::Error::other("/proc tells no start"))
}

/// Who this process is to the system.
fn user() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|own| own.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_found_while_it_runs() {
        let certificates = tempfile::tempdir().expect("a folder");
        // A name that no listener has.
        let endpoint = format!("test-{}:0", std::process::id());
        let remembered = remember(std::slice::from_ref(&endpoint), certificates.path()).expect("remembered");
        assert_eq!(find(&endpoint), None, "there is no authority");
        fs::write(certificates.path().join("ca.pem"), "").expect("written");
        assert_eq!(find(&endpoint).as_deref(), Some(certificates.path()));
        assert_eq!(find("../../etc/passwd"), None);
        let file = folder().expect("a folder").join(&endpoint);
        fs::write(file, format!("1 0\n{}", certificates.path().display())).expect("written");
        assert_eq!(find(&endpoint), None, "of a process that is gone");
        drop(remembered);
        assert_eq!(find(&endpoint), None);
    }
}
