//! TLS as the client: with any certificate where TLS is a bonus, with a verified one where it is
//! a condition.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};

/// What connections to other servers are encrypted with.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Takes any certificate: against listeners, not against impostors (RFC 7435).
    pub opportunistic: Arc<ClientConfig>,
    /// Takes certificates that this machine trusts, for the host's own name.
    pub verified: Arc<ClientConfig>,
    /// How many roots are trusted.
    pub roots: usize,
}

impl ClientTls {
    /// Trusts what this machine trusts: an operator who adds a root of their own to the system has
    /// added it here, and updates come with the system.
    pub fn of_machine() -> Self {
        let mut roots = RootCertStore::empty();
        // What can't be read is trusted no less by others; without any root nothing is verified.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::with_roots(roots)
    }

    /// Trusts nobody: for nodes without a machine.
    pub fn without_roots() -> Self {
        Self::with_roots(RootCertStore::empty())
    }

    fn with_roots(roots: RootCertStore) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&TLS13, &TLS12])
                .expect("aws-lc-rs has suites for both versions")
        };
        let any = Arc::new(AnyCertificate::new(Arc::clone(&provider)));
        let opportunistic = builder()
            .dangerous()
            .with_custom_certificate_verifier(any)
            .with_no_client_auth();
        let count = roots.len();
        let verified = builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            opportunistic: Arc::new(opportunistic),
            verified: Arc::new(verified),
            roots: count,
        }
    }
}

/// Takes any certificate, if its key has signed the handshake.
#[derive(Debug)]
pub struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl AnyCertificate {
    /// With the signatures that this provider can verify.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
