//! A client's side of TLS, in memory.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// A TLS connection that takes the server's certificate as it is (it is self-signed, and the
/// clock may be virtual), but not without the key that belongs to it.
#[derive(Debug)]
pub struct ClientTls {
    connection: ClientConnection,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientTls {
    /// Before the handshake.
    pub fn new() -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has suites for both versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let name = ServerName::try_from("mail.example.com").expect("it is a name");
        let mut connection =
            ClientConnection::new(Arc::new(config), name).expect("the configuration fits the name");
        connection.set_buffer_limit(None);
        Self { connection }
    }

    /// Whether the handshake goes on.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Encrypts, once the handshake is done.
    pub fn write(&mut self, bytes: &[u8]) {
        let written = self.connection.writer().write_all(bytes);
        written.expect("the buffer has no bound");
    }

    /// What is to be sent to the server.
    pub fn transmit(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            let written = self.connection.write_tls(&mut bytes);
            written.expect("writing to memory does not fail");
        }
        bytes
    }

    /// Decrypts what the server sent.
    ///
    /// # Panics
    ///
    /// When it is not TLS.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.try_read(bytes).expect("the server speaks TLS")
    }

    /// As [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// When it is not TLS, or an alert.
    pub fn try_read(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut plaintext = Vec::new();
        while !bytes.is_empty() {
            let read = self.connection.read_tls(&mut bytes);
            if read.expect("reading from memory does not fail") == 0 {
                break;
            }
            let state = self.connection.process_new_packets()?;
            let start = plaintext.len();
            plaintext.resize(start + state.plaintext_bytes_to_read(), 0);
            let read = self.connection.reader().read_exact(&mut plaintext[start..]);
            read.expect("rustls said that so many bytes are there");
        }
        Ok(plaintext)
    }
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
