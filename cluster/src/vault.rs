//! sled, with a flush that is one. The only file that names it. Nothing here knows what is stored.
//!
//! sled's own `flush` ends in `sync_file_range`, which promises nothing after a power cut; so after it every file of
//! the database is opened and synced, and its folders too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::StoreError;

/// Memory for sled's page cache; what lives here is written often and read at start.
const CACHE_BYTES: u64 = 8 << 20;

/// One database in one folder.
#[derive(Clone)]
pub(crate) struct Vault {
    db: sled::Db,
    path: Arc<PathBuf>,
}

/// One ordered map in a vault.
#[derive(Clone)]
pub(crate) struct Drawer {
    tree: sled::Tree,
    path: Arc<PathBuf>,
}

/// A change of several keys that is whole or absent after a crash.
#[derive(Default)]
pub(crate) struct Change(sled::Batch);

impl Change {
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

impl Vault {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        let db = config.open().map_err(|error| failed(path, &error))?;
        if let Some(parent) = path.parent() {
            sync_file(parent)?;
        }
        Ok(Self { db, path: Arc::new(path.to_owned()) })
    }

    pub(crate) fn drawer(&self, name: &str) -> Result<Drawer, StoreError> {
        let tree = self.db.open_tree(name).map_err(|error| failed(&self.path, &error))?;
        Ok(Drawer { tree, path: Arc::clone(&self.path) })
    }

    /// Returns when everything put before is on the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|error| failed(&self.path, &error))?;
        sync_tree(&self.path)
    }
}

impl Drawer {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.tree.get(key).map_err(|error| failed(&self.path, &error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// Puts a value; true when the key was not there.
    pub(crate) fn put(&self, key: &[u8], value: &[u8]) -> Result<bool, StoreError> {
        let before = self.tree.insert(key, value).map_err(|error| failed(&self.path, &error))?;
        Ok(before.is_none())
    }

    pub(crate) fn apply(&self, change: Change) -> Result<(), StoreError> {
        self.tree.apply_batch(change.0).map_err(|error| failed(&self.path, &error))
    }

    /// Removes a key, if it is there.
    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        self.tree.remove(key).map(drop).map_err(|error| failed(&self.path, &error))
    }

    /// Keys and values of `from..to`, in order.
    pub(crate) fn range(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        let path = Arc::clone(&self.path);
        self.tree.range(from.to_vec()..to.to_vec()).map(move |item| match item {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(error) => Err(failed(&path, &error)),
        })
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Result<Vec<u8>, StoreError>> + use<> {
        let path = Arc::clone(&self.path);
        self.tree.iter().keys().map(move |key| key.map(|key| key.to_vec()).map_err(|error| failed(&path, &error)))
    }
}

fn failed(path: &Path, error: &sled::Error) -> StoreError {
    StoreError::Database { path: path.to_owned(), what: error.to_string() }
}

fn sync_tree(folder: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            sync_file(&entry.path())?;
        }
    }
    sync_file(folder)
}

fn sync_file(path: &Path) -> Result<(), StoreError> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Ok(()) => Ok(()),
        // sled removes its own old files at any time.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::Io { path: path.to_owned(), source }),
    }
}
