//! Whose certificates are believed and which is our own, from files, and read again when these change. What cannot be used
//! is said and never takes the place of what could.

use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::time::sleep;
use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};

use crate::{
    identity::{Identity, NameError, Role},
    verify::{Clients, Servers},
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What is spoken under TLS.
const HTTP_2: &[u8] = b"h2";

/// Where the certificates are, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Whose certificates are believed.
    pub ca: PathBuf,
    /// Our own, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Files {
    /// As `cordboard certs` names them in a folder: `ca.pem`, and for `n1` `n1.pem` and `n1.key`, for a person
    /// `user-anna.pem` and `user-anna.key`.
    #[must_use]
    pub fn in_folder(folder: &Path, name: &str, role: Role) -> Self {
        let stem = if role.is_user() { format!("user-{name}") } else { name.to_owned() };
        Self {
            ca: folder.join("ca.pem"),
            certificate: folder.join(format!("{stem}.pem")),
            key: folder.join(format!("{stem}.key")),
        }
    }
}

/// Files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not there, or not PEM.
    #[error("{what} {path}: {why}")]
    File {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The certificate names nobody.
    #[error("certificate {path}: {why}")]
    Name {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        why: NameError,
    },
    /// Key and certificate do not fit, or the like.
    #[error("certificate {path}: {why}")]
    Tls {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The files now name somebody else: that is another process, not a new certificate.
    #[error("certificate {path} is of {now}, this process is {before}")]
    Changed {
        /// Where.
        path: PathBuf,
        /// Whom it names.
        now: Box<Identity>,
        /// Who this process is.
        before: Box<Identity>,
    },
}

/// Whom this process believes and who it is itself; or nobody and nothing, when no files were named. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    files: Files,
    own: Identity,
    loaded: ArcSwap<Loaded>,
    counters: Arc<DoorCounters>,
}

/// What came in, for metrics.
#[derive(Debug, Default)]
pub struct DoorCounters {
    /// Handshakes done, with a certificate.
    pub known: AtomicU64,
    /// Connections of strangers that were let in.
    pub strangers: AtomicU64,
    /// Connections refused: a certificate that is not believed, a handshake that was not done, one stranger too many.
    pub refused: AtomicU64,
    /// Of those, one stranger too many.
    pub strangers_limit: AtomicU64,
    /// Times that whoever came had to wait for others' handshakes.
    pub handshakes_limit: AtomicU64,
}

/// The files, understood.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl Trust {
    /// Everything in the open: no TLS, and everybody may do everything.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(files: Files) -> Result<Self, TrustError> {
        let (own, loaded) = load(&files)?;
        let loaded = ArcSwap::from_pointee(loaded);
        Ok(Self { inner: Some(Arc::new(Inner { files, own, loaded, counters: Arc::default() })) })
    }

    /// From files when there are some.
    ///
    /// # Errors
    /// As for [`Trust::load`].
    pub fn of(files: Option<Files>) -> Result<Self, TrustError> {
        files.map_or_else(|| Ok(Self::off()), Self::load)
    }

    /// Whether certificates are asked for.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.inner.is_some()
    }

    /// Whom our own certificate names.
    #[must_use]
    pub fn own(&self) -> Option<&Identity> {
        self.inner.as_ref().map(|inner| &inner.own)
    }

    /// What has come in so far; of nothing where nobody is asked.
    #[must_use]
    pub fn counters(&self) -> Arc<DoorCounters> {
        self.inner.as_ref().map(|inner| Arc::clone(&inner.counters)).unwrap_or_default()
    }

    pub(crate) fn loaded(&self) -> Option<Arc<Loaded>> {
        self.inner.as_ref().map(|inner| inner.loaded.load_full())
    }

    /// Reads the files again, now.
    ///
    /// # Errors
    /// They cannot be used; what was loaded stays.
    pub fn reload(&self) -> Result<(), TrustError> {
        let Some(inner) = &self.inner else { return Ok(()) };
        let (now, loaded) = load(&inner.files)?;
        if now != inner.own {
            let (path, before) = (inner.files.certificate.clone(), Box::new(inner.own.clone()));
            return Err(TrustError::Changed { path, now: Box::new(now), before });
        }
        inner.loaded.store(Arc::new(loaded));
        Ok(())
    }

    /// Looks at the files for ever. New connections are made with what they say then; those that stand go on.
    pub async fn watch(self) {
        let Some(inner) = &self.inner else { return std::future::pending().await };
        let mut seen = stamp(&inner.files);
        loop {
            sleep(LOOK_EVERY).await;
            let now = stamp(&inner.files);
            if now == seen {
                continue;
            }
            seen = now;
            match self.reload() {
                Ok(()) => tracing::info!(own = %inner.own, "the certificates have been read again"),
                Err(error) => tracing::error!(%error, "the changed certificates cannot be used; what was loaded stays"),
            }
        }
    }
}

/// When each file was written and how long it is.
type Stamp = [Option<(SystemTime, u64)>; 3];

fn stamp(files: &Files) -> Stamp {
    let of = |metadata: Metadata| Some((metadata.modified().ok()?, metadata.len()));
    [&files.ca, &files.certificate, &files.key].map(|path| std::fs::metadata(path).ok().and_then(of))
}

fn load(files: &Files) -> Result<(Identity, Loaded), TrustError> {
    let mut roots = RootCertStore::empty();
    for root in certificates("certificate authority", &files.ca)? {
        roots.add(root).map_err(|why| file("certificate authority", &files.ca, &why))?;
    }
    let roots = Arc::new(roots);
    let chain = certificates("certificate", &files.certificate)?;
    let key = || PrivateKeyDer::from_pem_file(&files.key).map_err(|why| file("key", &files.key, &why));
    let path = || files.certificate.clone();
    let own = Identity::of_certificate(&chain[0]).map_err(|why| TrustError::Name { path: path(), why })?;
    let tls = |why: rustls::Error| TrustError::Tls { path: path(), why: why.to_string() };

    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .map_err(|why| file("certificate authority", &files.ca, &why))?;
    // Whoever believes the same authority would refuse it: better said here, once, in words.
    verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).map_err(|why| TrustError::Tls {
        path: path(),
        why: format!("it would not be believed by who trusts {}: {why}", files.ca.display()),
    })?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(tls)?
        .with_client_cert_verifier(Arc::new(Clients { chain: verifier, cluster: own.cluster.clone() }))
        .with_single_cert(chain.clone(), key()?)
        .map_err(tls)?;
    server.alpn_protocols = vec![HTTP_2.to_vec()];
    // Every connection shows its certificate anew; ours live long, so that costs nothing.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;

    let servers = Servers { roots, cluster: own.cluster.clone(), provider: Arc::clone(&provider) };
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_client_auth_cert(chain, key()?)
        .map_err(tls)?;
    client.alpn_protocols = vec![HTTP_2.to_vec()];
    client.enable_sni = false;
    client.resumption = rustls::client::Resumption::disabled();
    Ok((own, Loaded { server: Arc::new(server), client: Arc::new(client) }))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(|why| file(what, path, &why))?;
    if chain.is_empty() {
        return Err(file(what, path, &"there is no certificate in it"));
    }
    Ok(chain)
}

fn file(what: &'static str, path: &Path, why: &impl ToString) -> TrustError {
    TrustError::File { what, path: path.to_owned(), why: why.to_string() }
}
