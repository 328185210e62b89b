//! What a folder takes on the disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes, of all that is in it.
pub(crate) fn taken(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| match entry.metadata().ok()? {
        metadata if metadata.is_dir() => Some(taken(&entry.path())),
        metadata => Some(metadata.blocks() * 512),
    });
    bytes.sum()
}
