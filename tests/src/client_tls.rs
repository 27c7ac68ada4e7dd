//! A client's side of TLS, in memory.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use rmail_server::tls::AnyCertificate;
use rustls::{
    ClientConfig, ClientConnection, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
    version::{TLS12, TLS13},
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
        let name = ServerName::try_from("mail.example.com").expect("it is a name");
        Self::with_config(Self::config(&[&TLS13, &TLS12]), name)
    }

    /// What [`new`](Self::new) connects with, for these versions alone.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        Self::config_of(aws_lc_rs::default_provider(), versions)
    }

    /// The same, with the suites of this provider alone.
    ///
    /// # Panics
    ///
    /// When no suite is for these versions.
    pub fn config_of(
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let provider = Arc::new(provider);
        let verifier = Arc::new(AnyCertificate::new(Arc::clone(&provider)));
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("there are suites for these versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth()
    }

    /// Before the handshake, in which the server is asked for under this name.
    ///
    /// # Panics
    ///
    /// When the configuration is none for rustls.
    pub fn with_config(config: ClientConfig, name: ServerName<'static>) -> Self {
        let connection = ClientConnection::new(Arc::new(config), name);
        let mut connection = connection.expect("the configuration fits the name");
        connection.set_buffer_limit(None);
        Self { connection }
    }

    /// What rustls knows of it.
    pub fn connection(&mut self) -> &mut ClientConnection {
        &mut self.connection
    }

    /// Lets go of the connection, for somebody who goes on with its keys.
    pub fn into_connection(self) -> ClientConnection {
        self.connection
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
