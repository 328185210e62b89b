//! The files of documents that a command names: files, directories, stdin. Never reads YAML.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use proto::v1::SourceFile;

use crate::failure::{Failure, counted};

/// Bytes of all files together; the server has the same limit.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
const FILES_MAX: usize = 10_000;

/// Reads what was named, for the command `what`.
pub(super) fn read(what: &str, paths: &[PathBuf]) -> Result<Vec<SourceFile>, Failure> {
    let mut files = Vec::new();
    let mut left = BYTES_MAX;
    if paths.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(Failure::Usage(format!("{what}: stdin (-) can be read only once")));
    }
    for path in paths {
        if is_stdin(path) {
            files.push(source(what, "stdin", io::stdin().lock(), &mut left)?);
        } else if path.is_dir() {
            for path in documents_in(what, path)? {
                files.push(open(what, &path, &mut left)?);
            }
        } else {
            files.push(open(what, path, &mut left)?);
        }
    }
    Ok(files)
}

/// Whether a path means stdin.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn documents_in(what: &str, dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: io::Error| Failure::Usage(format!("{what}: cannot read {}: {error}", dir.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() || paths.len() > FILES_MAX {
        let found = counted(paths.len(), "file");
        let dir = dir.display();
        return Err(Failure::Usage(format!("{what}: {dir} has {found} *.yaml or *.yml; 1 to {FILES_MAX} are needed")));
    }
    paths.sort();
    Ok(paths)
}

fn open(what: &str, path: &Path, left: &mut u64) -> Result<SourceFile, Failure> {
    let name = path.display().to_string();
    let file = fs::File::open(path).map_err(|error| Failure::Usage(format!("{what}: cannot read {name}: {error}")))?;
    source(what, &name, file, left)
}

fn source(what: &str, name: &str, from: impl Read, left: &mut u64) -> Result<SourceFile, Failure> {
    let mut text = String::new();
    let read = from
        .take(*left + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::Usage(format!("{what}: cannot read {name}: {error}")))?;
    *left = left
        .checked_sub(read.try_into().unwrap_or(u64::MAX))
        .ok_or_else(|| Failure::Usage(format!("{what}: {name}: more than {BYTES_MAX} bytes of files")))?;
    Ok(SourceFile { name: name.to_owned(), text })
}
