//! sled, with a flush that is one. The only file that names it. Nothing here knows what is stored.
//!
//! sled's own `flush` ends in `sync_file_range`, which promises nothing after a power cut; so after it every file of
//! the database is opened and synced, and its folders too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::guard::stored;
use crate::store::StoreError;

/// Memory for sled's page cache; what lives here is written often and read at start.
const CACHE_BYTES: u64 = 8 << 20;

/// sled's one file that is always there.
const LOG: &str = "db";

/// How long another one who has the database open may take to let go of it.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);

/// One database in one folder.
#[derive(Clone)]
pub(crate) struct Vault {
    db: sled::Db,
    path: Arc<PathBuf>,
    /// Held where sled has a thread of its own, which only logs when its fsync fails: whoever opens a file after somebody was
    /// told of a failure is not told of it any more, but who had it open is.
    log: Option<Arc<File>>,
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
    /// Opens or begins a database. While one begins, a mark stands beside it: sled refuses for ever what a power cut
    /// leaves of its beginning, in which nothing was promised yet.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, None)
    }

    /// The same, of one in which much comes and goes: rows that stay keep whole segments of those that went, and without a
    /// thread that moves them, so often, the file holds all that was ever written.
    pub(crate) fn open_tidied(path: &Path, every_ms: u64) -> Result<Self, StoreError> {
        Self::open_as(path, Some(every_ms))
    }

    fn open_as(path: &Path, tidy_every_ms: Option<u64>) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: path.to_owned(), source };
        let (mark, parent) = (path.with_extension("begun"), path.parent().unwrap_or(path));
        if mark.exists() && path.exists() {
            fs::remove_dir_all(path).map_err(io)?;
        }
        let begins = !path.exists();
        if begins {
            File::create(&mark).and_then(|file| file.sync_all()).map_err(io)?;
            sync_file(parent)?;
        }
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(tidy_every_ms)
            .mode(sled::Mode::HighThroughput);
        let db = open(&config, path)?;
        let log = tidy_every_ms.map(|_| File::open(path.join(LOG)).map(Arc::new)).transpose().map_err(io)?;
        let vault = Self { db, path: Arc::new(path.to_owned()), log };
        if begins {
            vault.sync()?;
            sync_file(parent)?;
            fs::remove_file(&mark).map_err(io)?;
        }
        sync_file(parent)?;
        Ok(vault)
    }

    pub(crate) fn drawer(&self, name: &str) -> Result<Drawer, StoreError> {
        let tree = self.db.open_tree(name).map_err(|error| failed(&self.path, &error))?;
        Ok(Drawer { tree, path: Arc::clone(&self.path) })
    }

    /// Returns when everything put before is on the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        stored(|| self.db.flush().map_err(|error| failed(&self.path, &error)))?;
        if let Some(log) = &self.log {
            log.sync_all().map_err(|source| StoreError::Io { path: self.path.join(LOG), source })?;
        }
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

/// A database that was just closed, here or in a process that ends, keeps its lock for a moment.
fn open(config: &sled::Config, path: &Path) -> Result<sled::Db, StoreError> {
    let began = Instant::now();
    loop {
        remove_unfinished(path)?;
        match stored(|| Ok(config.open()))? {
            Err(error) if is_locked(&error) && began.elapsed() < LOCK_WAIT_MAX => thread::sleep(LOCK_WAIT_MAX / 100),
            outcome => return outcome.map_err(|error| failed(path, &error)),
        }
    }
}

/// Removes what sled was writing when the power went in the middle of an opening: it would believe that this is its last
/// word and find it damaged, for ever. The one before is whole. Not while somebody else has the database open.
fn remove_unfinished(path: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    let Ok(lock) = File::open(path.join("db")) else { return Ok(()) };
    if lock.try_lock().is_err() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(io)? {
        let unfinished = entry.map_err(io)?.path();
        if unfinished.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(&unfinished).map_err(io)?;
        }
    }
    Ok(())
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn failed(path: &Path, error: &sled::Error) -> StoreError {
    let what = match error {
        sled::Error::Corruption { .. } => "it is damaged; move this node's data away and let it rejoin".to_owned(),
        other => other.to_string(),
    };
    StoreError::Database { path: path.to_owned(), what }
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
