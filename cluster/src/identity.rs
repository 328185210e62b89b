//! Whose folder this is, and which disk. Checked before anything else of it is read.

use std::path::Path;

use crate::store::StoreError;
use crate::vault::{Change, Drawer, Vault};

/// The layout of everything under a node's folder. Raised when an older release could not read it.
const FORMAT: u64 = 1;

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name, the same on all its nodes, from the configuration.
    pub cluster: String,
    /// The node's number, from 1.
    pub node: u64,
}

/// Which disk this is: others tell by it whether a node that comes back still has what it once promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Random, drawn when the folder was first used; never 0. Another one under the same node means that the disk is new.
    pub seal: u64,
    /// How often the folder was opened, this time included. A lower one than before means a stale copy of the disk.
    pub life: u64,
}

impl Identity {
    /// Writes the identity into an empty folder, or compares it with what is there; then counts this life.
    pub(crate) fn claim(&self, vault: &Vault, path: &Path) -> Result<Disk, StoreError> {
        let drawer = vault.drawer("identity")?;
        let foreign = |found: String, wanted: String| StoreError::Foreign { path: path.to_owned(), found, wanted };
        let mut change = Change::default();
        if let Some(cluster) = drawer.get(b"cluster")? {
            let format = number(&drawer, b"format")?;
            if format != FORMAT {
                return Err(foreign(format!("format {format}"), format!("format {FORMAT}")));
            }
            if cluster != self.cluster.as_bytes() {
                let found = format!("cluster {:?}", String::from_utf8_lossy(&cluster));
                return Err(foreign(found, format!("cluster {:?}", self.cluster)));
            }
            let node = number(&drawer, b"node")?;
            if node != self.node {
                return Err(foreign(format!("node {node}"), format!("node {}", self.node)));
            }
        } else {
            change.put(b"cluster", self.cluster.as_bytes());
            change.put(b"node", &self.node.to_be_bytes());
            change.put(b"format", &FORMAT.to_be_bytes());
        }
        // A folder of an earlier release has no seal yet; it is given one now.
        let seal = match number(&drawer, b"seal")? {
            0 => draw()?,
            seal => seal,
        };
        let disk = Disk { seal, life: number(&drawer, b"life")? + 1 };
        change.put(b"seal", &disk.seal.to_be_bytes());
        change.put(b"life", &disk.life.to_be_bytes());
        drawer.apply(change)?;
        vault.sync()?;
        Ok(disk)
    }
}

fn number(drawer: &Drawer, key: &[u8]) -> Result<u64, StoreError> {
    let bytes = drawer.get(key)?.unwrap_or_default();
    Ok(bytes.try_into().map_or(0, u64::from_be_bytes))
}

fn draw() -> Result<u64, StoreError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Log(format!("the system gives no random bytes: {error}")))?;
    Ok(u64::from_be_bytes(bytes).max(1))
}
