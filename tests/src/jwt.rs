//! JSON Web Tokens as an attacker writes them: any header, any claims, any key.

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

/// A token in parts.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// The first part.
    pub header: Value,
    /// The second.
    pub claims: Value,
}

impl Jwt {
    /// Takes a good token apart.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn parse(token: &str) -> Self {
        let mut parts = token.split('.').map(|part| {
            let json = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
            serde_json::from_slice(&json).unwrap_or_default()
        });
        let mut next = || parts.next().expect("a token has three parts");
        Self {
            header: next(),
            claims: next(),
        }
    }

    /// The same with another member in the header.
    pub fn with_header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// The same with another claim.
    pub fn with_claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// With a signature of this key, whatever the header says.
    pub fn sign(&self, algorithm: hmac::Algorithm, key: &str) -> String {
        let signed = self.unsigned();
        let key = hmac::Key::new(algorithm, key.as_bytes());
        let mac = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac))
    }

    /// With HMAC-SHA256 of this key.
    pub fn sign_hs256(&self, key: &str) -> String {
        self.sign(hmac::HMAC_SHA256, key)
    }

    /// The first two parts.
    pub fn unsigned(&self) -> String {
        let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }
}
