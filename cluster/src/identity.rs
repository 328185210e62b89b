//! Whose folder this is. Checked before anything else of it is read.

use std::path::Path;

use crate::store::StoreError;
use crate::vault::{Change, Vault};

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

impl Identity {
    /// Writes the identity into an empty folder, or compares it with what is there.
    pub(crate) fn claim(&self, vault: &Vault, path: &Path) -> Result<(), StoreError> {
        let drawer = vault.drawer("identity")?;
        let foreign = |found: String, wanted: String| StoreError::Foreign { path: path.to_owned(), found, wanted };
        let Some(cluster) = drawer.get(b"cluster")? else {
            let mut change = Change::default();
            change.put(b"cluster", self.cluster.as_bytes());
            change.put(b"node", &self.node.to_be_bytes());
            change.put(b"format", &FORMAT.to_be_bytes());
            drawer.apply(change)?;
            return vault.sync();
        };
        let number = |key: &[u8]| -> Result<u64, StoreError> {
            let bytes = drawer.get(key)?.unwrap_or_default();
            Ok(bytes.try_into().map_or(0, u64::from_be_bytes))
        };
        let format = number(b"format")?;
        if format != FORMAT {
            return Err(foreign(format!("format {format}"), format!("format {FORMAT}")));
        }
        if cluster != self.cluster.as_bytes() {
            let found = format!("cluster {:?}", String::from_utf8_lossy(&cluster));
            return Err(foreign(found, format!("cluster {:?}", self.cluster)));
        }
        let node = number(b"node")?;
        if node != self.node {
            return Err(foreign(format!("node {node}"), format!("node {}", self.node)));
        }
        Ok(())
    }
}
