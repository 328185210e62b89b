//! Who everybody of a site is: certificates of an authority that it has for itself. A site of a former release, which knows of
//! none, has no papers, and all of it speaks openly.

use std::path::{Path, PathBuf};

use trust::{Files, Role, Trust, authority::Authority};

/// An authority, or none.
#[derive(Debug)]
pub struct Papers(Option<PathBuf>);

impl Papers {
    /// An authority in this folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn in_folder(folder: PathBuf) -> anyhow::Result<Self> {
        // The name that a cluster has when nobody gives it another.
        Authority::begin(&folder, "cordboard")?;
        Ok(Self(Some(folder)))
    }

    /// Nobody shows any.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// What a process of ours is started with, to be this one.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn arguments(&self, name: &str, role: Role) -> anyhow::Result<Vec<String>> {
        let Some(files) = self.files(name, role)? else { return Ok(Vec::new()) };
        let named = |name: &str, path: &Path| [name.to_owned(), path.display().to_string()];
        Ok([
            named("--cluster-ca", &files.ca),
            named("--cluster-certificate", &files.certificate),
            named("--cluster-key", &files.key),
        ]
        .concat())
    }

    /// To connect as this one.
    ///
    /// # Errors
    /// As for [`Papers::arguments`].
    pub fn trust(&self, name: &str, role: Role) -> anyhow::Result<Trust> {
        Ok(Trust::of(self.files(name, role)?)?)
    }

    fn files(&self, name: &str, role: Role) -> anyhow::Result<Option<Files>> {
        let Some(folder) = &self.0 else { return Ok(None) };
        Ok(Some(Authority::open(folder)?.issue(name, role, 1)?))
    }
}
