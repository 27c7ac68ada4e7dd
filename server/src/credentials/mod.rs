//! Passwords: the record that an account keeps of one, and the check against it.
//!
//! A record is a line of text: a version, a space, and a JSON object with one member for each
//! verifier.
//!
//! ```text
//! v1 {"argon2id":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$..."}
//! ```
//!
//! Verifiers that are not known here are passed over, so that a record can hold those of SCRAM
//! (RFC 5802, RFC 7677) beside, made from the same password when it is set or next seen.

mod cache;
mod check;
mod scram;

use core::fmt;

use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version, password_hash::phc};
use aws_lc_rs::constant_time;
use rmail_proto::Secret;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    cache::PasswordCache,
    check::{Verdict, check},
    scram::answer_scram,
};
use crate::limits;

/// What an account keeps of its password.
#[derive(Clone, PartialEq)]
pub struct Credential {
    argon2id: PasswordHash,
}

/// Why a record can't be used: it was damaged, or written by a newer rmail.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CredentialError {
    /// It doesn't begin with a version that is known here.
    #[error("the credential record is of an unknown version")]
    UnknownVersion,
    /// It is of this version, but not well formed, or asks for more work than the limits allow.
    #[error("the credential record is damaged")]
    Damaged,
}

/// The JSON object of a record.
#[derive(Deserialize, Serialize)]
struct Verifiers {
    argon2id: String,
}

const VERSION_PREFIX: &str = "v1 ";

impl Credential {
    /// Makes the record of a new password, with a salt that nobody has used before.
    ///
    /// Takes some 20 ms of processor time and 19 MiB of memory.
    pub fn new(password: &Secret<String>, salt: [u8; 16]) -> Self {
        let hasher = hasher(own_params(), Version::V0x13);
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        let bounds = "salt, password and parameters are within Argon2's bounds";
        hash(&hasher, password, &salt, &mut output).expect(bounds);
        let argon2id = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: phc::ParamsString::try_from(hasher.params()).expect(bounds),
            salt: Some(phc::Salt::new(&salt).expect(bounds)),
            hash: Some(phc::Output::new(&output).expect(bounds)),
        };
        Self { argon2id }
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// `UnknownVersion`, `Damaged`.
    pub fn parse(record: &str) -> Result<Self, CredentialError> {
        let json = record
            .strip_prefix(VERSION_PREFIX)
            .ok_or(CredentialError::UnknownVersion)?;
        let verifiers: Verifiers =
            serde_json::from_str(json).map_err(|_| CredentialError::Damaged)?;
        let argon2id =
            PasswordHash::new(&verifiers.argon2id).map_err(|_| CredentialError::Damaged)?;
        match is_affordable(&argon2id) {
            true => Ok(Self { argon2id }),
            false => Err(CredentialError::Damaged),
        }
    }

    /// Whether this is the password. Takes as long as [`new`](Self::new).
    pub fn verify(&self, password: &Secret<String>) -> bool {
        let record = &self.argon2id;
        let version = record.version.map(Version::try_from).transpose();
        let (Ok(params), Ok(version), Some(salt), Some(expected)) = (
            Params::try_from(record),
            version,
            &record.salt,
            &record.hash,
        ) else {
            return false;
        };
        let hasher = hasher(params, version.unwrap_or_default());
        let mut buffer = [0; phc::Output::MAX_LENGTH];
        let output = &mut buffer[..expected.len()];
        hash(&hasher, password, salt, output).is_ok()
            && constant_time::verify_slices_are_equal(output, expected.as_bytes()).is_ok()
    }
}

impl fmt::Display for Credential {
    /// The record, as it is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verifiers = Verifiers {
            argon2id: self.argon2id.to_string(),
        };
        let json = serde_json::to_string(&verifiers).map_err(|_| fmt::Error)?;
        write!(f, "{VERSION_PREFIX}{json}")
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// Whether a record is of this password; `None` stands for an account that is not there.
///
/// The answer for an unknown account, and for a record that can't be used, takes the same work as
/// for any other.
pub fn verify(record: Option<&str>, password: &Secret<String>) -> bool {
    match record.map(Credential::parse) {
        Some(Ok(credential)) => credential.verify(password),
        Some(Err(_)) | None => {
            // The work of hashing is the point here; its result matches nothing.
            let _ = core::hint::black_box(Credential::new(password, [0; 16]));
            false
        }
    }
}

fn own_params() -> Params {
    let params = Params::new(
        limits::ARGON2_MEMORY_KIB,
        limits::ARGON2_PASSES,
        limits::ARGON2_LANES,
        None,
    );
    params.expect("the parameters are within Argon2's bounds")
}

fn hasher(params: Params, version: Version) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, version, params)
}

/// Hashes in memory of our own. It is reserved in a piece that glibc gives back to the system as
/// soon as it is free, of which only what is used is there; smaller pieces it would keep, in each
/// thread, for good.
fn hash(
    hasher: &Argon2<'_>,
    password: &Secret<String>,
    salt: &[u8],
    output: &mut [u8],
) -> Result<(), argon2::Error> {
    let count = hasher.params().block_count();
    let mut blocks = Vec::with_capacity(count.max(limits::ARGON2_RESERVED_BYTES / Block::SIZE));
    blocks.resize(count, Block::new());
    hasher.hash_password_into_with_memory(password.reveal().as_bytes(), salt, output, blocks)
}

/// Whether a hash is complete, an Argon2id one, and within the limits.
fn is_affordable(hash: &phc::PasswordHash) -> bool {
    let complete = hash.salt.is_some() && hash.hash.is_some();
    let is_argon2id = hash.algorithm.as_str() == Algorithm::Argon2id.as_str();
    let Ok(params) = Params::try_from(hash) else {
        return false;
    };
    complete
        && is_argon2id
        && params.m_cost() <= limits::ARGON2_MEMORY_KIB_MAX
        && params.t_cost() <= limits::ARGON2_PASSES_MAX
        && params.p_cost() <= limits::ARGON2_LANES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn record_knows_its_password_and_no_other() {
        let record = Credential::new(&secret("correct horse"), [7; 16]).to_string();
        assert!(record.starts_with("v1 {\"argon2id\":\"$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify(Some(&record), &secret("correct horse")));
        for other in ["correct horse ", "Correct horse", ""] {
            assert!(!verify(Some(&record), &secret(other)));
        }
    }

    #[test]
    fn same_password_with_another_salt_gives_another_record() {
        let record = |salt| Credential::new(&secret("x"), [salt; 16]).to_string();
        assert_ne!(record(1), record(2));
        assert_eq!(record(1), record(1));
    }

    #[test]
    fn unknown_account_has_no_password() {
        assert!(!verify(None, &secret("anything")));
    }

    #[test]
    fn verifiers_of_later_versions_are_passed_over() {
        let record = Credential::new(&secret("x"), [7; 16]).to_string();
        let more = record.replace("v1 {", "v1 {\"scram-sha-256\":\"i=4096\",");
        assert!(verify(Some(&more), &secret("x")));
    }

    #[test]
    fn records_that_cannot_be_used_are_told_apart_and_match_nothing() {
        let good = Credential::new(&secret("x"), [7; 16]).to_string();
        let greedy = good.replace("m=19456", "m=4194304");
        let other_algorithm = good.replace("$argon2id$", "$argon2d$");
        for damaged in [
            "v1 ",
            "v1 {}",
            "v1 {\"argon2id\":\"$argon2id$\"}",
            &greedy,
            &other_algorithm,
        ] {
            assert_eq!(
                Credential::parse(damaged),
                Err(CredentialError::Damaged),
                "{damaged}"
            );
            assert!(!verify(Some(damaged), &secret("x")));
        }
        for unknown in ["", "v2 {}", "$argon2id$v=19$"] {
            assert_eq!(
                Credential::parse(unknown),
                Err(CredentialError::UnknownVersion)
            );
        }
    }

    #[test]
    fn parsed_record_prints_as_it_was() {
        let record = Credential::new(&secret("x"), [7; 16]).to_string();
        assert_eq!(Credential::parse(&record).unwrap().to_string(), record);
    }
}
