//! A small certificate authority in a folder, for development and tests: `ca.pem` and `ca.key`, and a pair for each part of
//! the cluster and each person. Companies that have an authority of their own only need the same names in their
//! certificates.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{
    files::{Files, Trust},
    identity::{Identity, NameError, Role},
};

/// The name of the authority itself; it is nobody who could connect.
const AUTHORITY: &str = "authority";
/// How long the authority is believed.
const AUTHORITY_DAYS: u64 = 3_650;
/// Clocks differ.
const EARLIER: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// What goes wrong when certificates are made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The folder or a file in it.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There is one already: a new one would make every certificate of the old one worthless.
    #[error("{0} is there already; remove it first if a new authority is really meant")]
    Exists(PathBuf),
    /// A name that a certificate cannot carry.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The library refuses.
    #[error("the certificate cannot be made: {0}")]
    Made(#[from] rcgen::Error),
    /// It was made, and whoever believes this authority would not believe it.
    #[error("the authority in {folder} is none of `cordboard certs ca`: {why}")]
    Foreign {
        /// Where.
        folder: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// An authority in a folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    cluster: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Begins one for a cluster.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn begin(folder: &Path, cluster: &str) -> Result<Self, AuthorityError> {
        let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        if let Some(there) = [&certificate, &key].into_iter().find(|path| path.exists()) {
            return Err(AuthorityError::Exists(there.clone()));
        }
        let params = authority(cluster)?;
        let pair = KeyPair::generate()?;
        let made = params.self_signed(&pair)?;
        fs::create_dir_all(folder).map_err(|why| file(folder, &why))?;
        write(&key, &pair.serialize_pem(), true)?;
        write(&certificate, &made.pem(), false)?;
        Ok(Self { folder: folder.to_owned(), cluster: cluster.to_owned(), issuer: Issuer::new(params, pair) })
    }

    /// The one that is there.
    ///
    /// # Errors
    /// There is none, or it is none of ours.
    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        let foreign = |why: String| AuthorityError::Foreign { folder: folder.to_owned(), why };
        let der = CertificateDer::from_pem_file(&certificate).map_err(|why| file(&certificate, &why))?;
        let identity = Identity::of_certificate(&der).map_err(|why| foreign(why.to_string()))?;
        let text = fs::read_to_string(&key).map_err(|why| file(&key, &why))?;
        let pair = KeyPair::from_pem(&text).map_err(|why| file(&key, &why))?;
        let issuer = Issuer::new(authority(&identity.cluster)?, pair);
        Ok(Self { folder: folder.to_owned(), cluster: identity.cluster, issuer })
    }

    /// The cluster it is for.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Writes a new key and a certificate for somebody, believed for so many days from now. What was there under the name is
    /// replaced, each file whole; processes that watch it take it over.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn issue(&self, name: &str, role: Role, days: u32) -> Result<Files, AuthorityError> {
        let identity = Identity::new(&self.cluster, name, role)?;
        let files = Files::in_folder(&self.folder, name, role);
        if files.certificate == files.ca {
            return Err(NameError::Form(identity.to_string()).into());
        }
        let mut params = params(&identity, Duration::from_secs(u64::from(days) * DAY.as_secs()))?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !role.is_user() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let pair = KeyPair::generate()?;
        let made = params.signed_by(&pair, &self.issuer)?;
        write(&files.key, &pair.serialize_pem(), true)?;
        write(&files.certificate, &made.pem(), false)?;
        // An issuer with another name than the certificate in the folder would only be found out in a handshake.
        let foreign = |why: String| AuthorityError::Foreign { folder: self.folder.clone(), why };
        Trust::load(files.clone()).map_err(|why| foreign(why.to_string()))?;
        Ok(files)
    }
}

fn authority(cluster: &str) -> Result<CertificateParams, AuthorityError> {
    // A user's name, so that no part of the cluster could ever be this.
    let identity = Identity::new(cluster, AUTHORITY, Role::Viewer)?;
    let mut params = params(&identity, Duration::from_secs(AUTHORITY_DAYS * DAY.as_secs()))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(identity: &Identity, life: Duration) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, format!("Cordboard cluster {}", identity.cluster));
    params.distinguished_name.push(DnType::CommonName, identity.name.clone());
    params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
    let now = SystemTime::now();
    params.not_before = (now - EARLIER).into();
    params.not_after = (now + life).into();
    Ok(params)
}

/// Whole or not at all, for whoever reads it at this moment.
fn write(path: &Path, text: &str, secret: bool) -> Result<(), AuthorityError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = || -> io::Result<()> {
        let _ = fs::remove_file(&temporary);
        let mode = if secret { 0o600 } else { 0o644 };
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&temporary, path)
    };
    written().map_err(|why| file(path, &why))
}

fn file(path: &Path, why: &impl ToString) -> AuthorityError {
    AuthorityError::File { path: path.to_owned(), why: why.to_string() }
}
