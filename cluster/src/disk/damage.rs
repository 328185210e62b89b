//! Tells damage of the log from a write that a power cut has torn, and removes a file that never began. Looks at
//! raft-engine's files before it does; writes nothing.
//!
//! The engine drops whatever comes after the first batch that it cannot read in its last file. After a torn write that is
//! right: nothing after it was ever promised. After a flipped bit it would take back what was acknowledged, silently. Each
//! batch is durable before the next one is written, so a whole batch behind a broken one means damage.

use std::fs;
use std::path::{Path, PathBuf};

use crate::snapshots::sync_folder;
use crate::store::StoreError;

/// What every file begins with. Version 2 has the alignment behind it, which is none, and signs batches by the file's number;
/// version 1 does neither, and is what the engine makes of a last file without a header.
const MAGIC: &[u8] = b"RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5";
const VERSION_1: &[u8] = b"\0\0\0\0\0\0\0\x01";
const VERSION_2: &[u8] = b"\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0";
/// Length and compression, offset of the items.
const BATCH_HEADER: usize = 16;
const CHECKSUM: usize = 4;

/// How far the last file of what was moved together was whole and durable: its number and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rewritten {
    pub(super) file: u64,
    pub(super) bytes: u64,
}

impl Rewritten {
    pub(super) fn encode(self) -> Vec<u8> {
        [self.file.to_be_bytes(), self.bytes.to_be_bytes()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (file, bytes) = bytes.split_first_chunk()?;
        Some(Self { file: u64::from_be_bytes(*file), bytes: u64::from_be_bytes(bytes.try_into().ok()?) })
    }

    /// As it is now, made durable, for the engine does not sync a file that it has only begun.
    pub(super) fn read(log: &Path) -> Result<Option<Self>, StoreError> {
        let Some((file, path)) = files(log, "rewrite")?.pop() else { return Ok(None) };
        fs::File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|source| StoreError::Io { path: path.clone(), source })?;
        Ok(Some(Self { file, bytes: walk(&read(&path)?, file, false) as u64 }))
    }
}

/// Refuses a log that was damaged since it was written. `rewritten` is what was remembered after the last purge.
pub(super) fn check(log: &Path, rewritten: Option<Rewritten>) -> Result<(), StoreError> {
    for kind in ["raftlog", "rewrite"] {
        let mut files = files(log, kind)?;
        let last = files.pop();
        for (number, path) in files {
            // Closed and synced before the next one began.
            let bytes = read(&path)?;
            let whole = walk(&bytes, number, true);
            if whole < bytes.len() {
                return Err(damaged(path, whole));
            }
        }
        let Some((number, path)) = last else { continue };
        let bytes = read(&path)?;
        let whole = walk(&bytes, number, true);
        let damage = if kind == "raftlog" {
            follows(&bytes, whole, number)
        } else {
            // Many batches become durable at once here, so that a torn one may have whole ones behind it.
            rewritten.is_some_and(|held| held.file == number && (whole as u64) < held.bytes)
        };
        if damage {
            return Err(damaged(path, whole));
        }
        if bytes[whole..].iter().any(|byte| *byte != 0) {
            // In the place of the engine's own warning, which sounds like damage.
            tracing::info!(
                file = %path.display(), at = whole,
                "the log ends here; behind it is what a kill or a power cut has torn, or an earlier use of the file, and \
                 nothing that was acknowledged"
            );
        }
    }
    Ok(())
}

/// Number and path of the engine's files of a kind, in order.
fn files(log: &Path, kind: &str) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let failed = |source| StoreError::Io { path: log.to_owned(), source };
    let mut files = Vec::new();
    if !log.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(log).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == kind)) {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })
}

/// Removes the last file of a kind when it has not begun: a full disk, or a power cut at the wrong moment, leaves one without
/// a header. The engine would go on in it, in its oldest format, whose batches do not say which file they are of.
pub(super) fn remove_unbegun(log: &Path) -> Result<(), StoreError> {
    for kind in ["raftlog", "rewrite"] {
        let Some((number, path)) = files(log, kind)?.pop() else { continue };
        if Header::of(&read(&path)?, number).is_none() {
            fs::remove_file(&path).map_err(|source| StoreError::Io { path: path.clone(), source })?;
            sync_folder(log)?;
            tracing::info!(file = %path.display(), "a file of the log that never began is removed");
        }
    }
    Ok(())
}

/// How a file begins.
struct Header {
    bytes: usize,
    /// In the checksum of each batch.
    signature: u32,
}

impl Header {
    fn of(bytes: &[u8], file: u64) -> Option<Self> {
        let version = bytes.strip_prefix(MAGIC)?;
        if version.starts_with(VERSION_1) {
            return Some(Self { bytes: MAGIC.len() + VERSION_1.len(), signature: 0 });
        }
        let begun = version.starts_with(VERSION_2);
        begun.then_some(Self { bytes: MAGIC.len() + VERSION_2.len(), signature: file as u32 })
    }
}

/// Where the first batch ends that is followed by none, or by a broken one.
fn walk(bytes: &[u8], file: u64, verify: bool) -> usize {
    let Some(Header { bytes: mut at, signature }) = Header::of(bytes, file) else { return 0 };
    while let Some(length) = batch(&bytes[at..], signature, verify) {
        at += length;
    }
    at
}

/// Whether a whole batch lies anywhere behind the place where the first broken one begins.
fn follows(bytes: &[u8], broken: usize, file: u64) -> bool {
    // Without a header it may be of either version.
    let signatures = Header::of(bytes, file).map_or(vec![file as u32, 0], |header| vec![header.signature]);
    let rest = bytes.get(broken + 1..).unwrap_or_default();
    let whole = |at: usize| signatures.iter().any(|signature| batch(&rest[at..], *signature, true).is_some());
    (0..rest.len()).any(whole)
}

/// The length of the batch that begins here, if one does. What an earlier use of a file has left is signed otherwise.
fn batch(bytes: &[u8], signature: u32, verify: bool) -> Option<usize> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    let (items, _) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*first) >> 8).ok()?;
    let items = usize::try_from(u64::from_be_bytes(*items)).ok()?;
    if first[7] > 1 || items < BATCH_HEADER || length < items + CHECKSUM || bytes.len() < length {
        return None;
    }
    let is_signed = |part: &[u8], signature: u32| {
        part.split_last_chunk::<CHECKSUM>()
            .is_some_and(|(part, wanted)| crc32fast::hash(part) == u32::from_le_bytes(*wanted) ^ signature)
    };
    let whole = !verify
        || is_signed(&bytes[items..length], signature)
            && (items == BATCH_HEADER || is_signed(&bytes[BATCH_HEADER..items], 0));
    whole.then_some(length)
}

fn damaged(path: PathBuf, at: usize) -> StoreError {
    StoreError::Damaged { path, at: at as u64 }
}
