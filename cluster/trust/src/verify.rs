//! Whom a handshake believes: a certificate of the cluster's own authority that names this cluster, and, when we connect,
//! the far end that was meant. Host names are not looked at.

use std::sync::Arc;

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::{
    connect::Far,
    identity::{Identity, NameError},
};

/// A certificate of our authority that is still not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Disbelief {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("it is {theirs}, of another cluster than {ours:?}")]
    Cluster { theirs: Identity, ours: String },
    #[error("it is {theirs}, where {meant} was meant")]
    Other { theirs: Identity, meant: String },
}

impl From<Disbelief> for Error {
    fn from(why: Disbelief) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
    }
}

/// Who a certificate names, when it is of this cluster.
pub(crate) fn named(certificate: &CertificateDer<'_>, cluster: &str) -> Result<Identity, Disbelief> {
    let theirs = Identity::of_certificate(certificate)?;
    if theirs.cluster == cluster { Ok(theirs) } else { Err(Disbelief::Cluster { theirs, ours: cluster.to_owned() }) }
}

/// Believes clients of this cluster; those without a certificate are strangers, whom the guard knows what to do with.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) chain: Arc<dyn ClientCertVerifier>,
    pub(crate) cluster: String,
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        named(end_entity, &self.cluster)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Believes the far end that was meant, and no other part of the cluster in its place.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) cluster: String,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let theirs = named(end_entity, &self.cluster)?;
        let meant = server_name.to_str();
        if Far::is(&meant, &theirs) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Disbelief::Other { theirs, meant: meant.into_owned() }.into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// No other version is ever offered, so this is never asked.
fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is spoken here".into())
}
