//! Why there is no certificate to serve with.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Each names the file, the cause and the remedy.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{path} can't be read: {cause}; {remedy}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
        /// What helps.
        remedy: String,
    },
    /// A file is too large to be a certificate or a key.
    #[error(
        "{path} is no PEM file: it is larger than any certificate or key",
        path = path.display()
    )]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// The certificate file holds no certificate.
    #[error(
        "{path} holds no certificate; it needs at least one block \"-----BEGIN \
         CERTIFICATE-----\", the server's own first",
        path = path.display()
    )]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// A certificate is not well formed.
    #[error(
        "{path} holds a damaged certificate ({cause}); put a fresh copy there",
        path = path.display()
    )]
    BadCertificate {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The key file holds no key that can be used.
    #[error(
        "{path} holds no private key without a passphrase ({cause}); \"openssl pkey -in OLD \
         -out NEW\" writes one",
        path = path.display()
    )]
    NoKey {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The key is of a kind that TLS does not know here.
    #[error(
        "{path} holds a private key that can't be used ({cause}); use an ECDSA P-256 or \
         P-384, an Ed25519, or an RSA key of 2048 bits or more",
        path = path.display()
    )]
    BadKey {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Key and certificate do not belong together.
    #[error(
        "the key in {key} does not fit the certificate in {cert}; set tls.cert_file and \
         tls.key_file to a pair (and put the server's own certificate first in the chain)",
        cert = cert_file.display(), key = key_file.display()
    )]
    Mismatch {
        /// The certificate.
        cert_file: PathBuf,
        /// The key.
        key_file: PathBuf,
    },
    /// A self-signed certificate can't be written.
    #[error(
        "{path} can't be written: {cause}; mail_root must belong to the user the server runs \
         as",
        path = path.display()
    )]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// A self-signed certificate can't be made.
    #[error(
        "a self-signed certificate for {hostname} can't be made: {cause}; set tls.cert_file \
         and tls.key_file"
    )]
    Generation {
        /// The name it was for.
        hostname: String,
        /// What is wrong.
        cause: String,
    },
}
