//! TLS: whom we are, whom we believe, and reading both again when the files change. Knows nothing of SIP.

use std::{fs::Metadata, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::{io::AsyncRead, io::AsyncWrite, net::TcpStream, time::sleep};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream as Outgoing,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        server::WebPkiClientVerifier,
    },
    server::TlsStream as Incoming,
};

use crate::{config::TlsConfig, telemetry::metrics::Metrics};

/// What the files say at present. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    files: TlsConfig,
    loaded: ArcSwap<Loaded>,
}

/// The files, understood.
struct Loaded {
    /// For phones and trunks, who may have to show a certificate.
    phones: Arc<ServerConfig>,
    /// For browsers, who have none.
    browsers: Arc<ServerConfig>,
    out: Arc<ClientConfig>,
}

/// When a file was written, and how long it is.
type Stamp = Vec<Option<(std::time::SystemTime, u64)>>;

impl Tls {
    /// Reads the files.
    pub(crate) fn load(files: TlsConfig) -> anyhow::Result<Self> {
        let loaded = ArcSwap::from_pointee(load(&files)?);
        Ok(Self { inner: Arc::new(Inner { files, loaded }) })
    }

    /// Looks at the files for ever; what cannot be used is said once and what was loaded stays.
    pub(crate) async fn watch(self, poll_ms: u64, metrics: Arc<Metrics>) {
        let mut seen = stamp(&self.inner.files);
        loop {
            sleep(Duration::from_millis(poll_ms)).await;
            let stamp = stamp(&self.inner.files);
            if stamp == seen {
                continue;
            }
            seen = stamp;
            match load(&self.inner.files) {
                Ok(loaded) => {
                    self.inner.loaded.store(Arc::new(loaded));
                    metrics.certificate_reloads.inc();
                    tracing::info!("the TLS certificate has been read again");
                }
                Err(error) => {
                    metrics.certificate_failures.inc();
                    let error = format!("{error:#}");
                    tracing::error!(error, "the changed TLS files cannot be used; what was loaded stays");
                }
            }
        }
    }

    /// The server's half of a handshake.
    pub(crate) async fn accept(&self, stream: TcpStream, browsers: bool) -> io::Result<Incoming<TcpStream>> {
        let loaded = self.inner.loaded.load();
        let config = if browsers { &loaded.browsers } else { &loaded.phones };
        TlsAcceptor::from(Arc::clone(config)).accept(stream).await
    }

    /// The client's half, with somebody who must show a certificate for this name, or for the address when there is none.
    pub(crate) async fn connect<S>(&self, stream: S, remote: SocketAddr, name: Option<&str>) -> io::Result<Outgoing<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned()).map_err(io::Error::other)?,
            None => ServerName::IpAddress(remote.ip().into()),
        };
        let config = Arc::clone(&self.inner.loaded.load().out);
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Whether who connects must show a certificate.
    pub(crate) fn asks_phones(&self) -> bool {
        self.inner.files.client_ca.is_some()
    }
}

/// The one provider that we build with.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn stamp(files: &TlsConfig) -> Stamp {
    let stamp = |metadata: Metadata| Some((metadata.modified().ok()?, metadata.len()));
    let paths = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref(), files.roots.as_ref()];
    paths.into_iter().flatten().map(|path| std::fs::metadata(path).ok().and_then(stamp)).collect()
}

fn load(files: &TlsConfig) -> anyhow::Result<Loaded> {
    let chain = certificates(&files.certificate)?;
    let key = || PrivateKeyDer::from_pem_file(&files.key).with_context(|| format!("key {}", files.key.display()));
    let server = || anyhow::Ok(ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?);
    let browsers = server()?.with_no_client_auth().with_single_cert(chain.clone(), key()?)?;
    let phones = match &files.client_ca {
        None => browsers.clone(),
        Some(path) => {
            let known = WebPkiClientVerifier::builder_with_provider(Arc::new(roots_of(path)?), provider()).build()?;
            server()?.with_client_cert_verifier(known).with_single_cert(chain.clone(), key()?)?
        }
    };
    let roots = match &files.roots {
        Some(path) => roots_of(path)?,
        None => system_roots(),
    };
    let out = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key()?)?;
    Ok(Loaded { phones: Arc::new(phones), browsers: Arc::new(browsers), out: Arc::new(out) })
}

fn certificates(path: &PathBuf) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.with_context(|| format!("certificate {}", path.display()))?;
    anyhow::ensure!(!chain.is_empty(), "there is no certificate in {}", path.display());
    Ok(chain)
}

fn roots_of(path: &PathBuf) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| format!("a root in {}", path.display()))?;
    }
    Ok(roots)
}

/// The system's; without any nobody is believed, and connections out fail.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("the system has no root certificates: TLS connections out will fail");
    }
    roots
}
