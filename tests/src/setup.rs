//! What a site looks like before a journey begins.

use std::path::Path;

use rmail_server::config::Config;
use serde_json::{Value, json};

/// The ports of a server without sockets: 25, 587, 465, 143, 993, 9002, 9003.
pub(crate) const PORTS: [u16; 7] = [25, 587, 465, 143, 993, 9002, 9003];

/// Servers, their configuration, and who has an account.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Keys of the configuration that differ from those of every journey.
    pub config: Value,
    /// The accounts, in the order in which they are made.
    pub accounts: Vec<AccountSetup>,
    /// Processes on one `mail_root`.
    pub servers: usize,
}

/// An account.
#[derive(Clone, Debug)]
pub struct AccountSetup {
    /// Its address.
    pub address: String,
    /// Its password.
    pub password: String,
    /// Whether it may administer the server.
    pub is_admin: bool,
}

impl AccountSetup {
    /// An account that is no admin's.
    pub fn new(address: &str, password: &str) -> Self {
        Self {
            address: address.to_owned(),
            password: password.to_owned(),
            is_admin: false,
        }
    }
}

impl Default for Setup {
    /// One server for example.com, with alice and bob.
    fn default() -> Self {
        Self {
            config: json!({}),
            accounts: vec![
                AccountSetup::new("alice@example.com", "wonderland"),
                AccountSetup::new("bob@example.com", "builder's mate"),
            ],
            servers: 1,
        }
    }
}

impl Setup {
    /// The configuration of a server, as in its file: on loopback, with these ports (in the order
    /// 25, 587, 465, 143, 993, 9002, 9003).
    pub fn config_json(&self, mail_root: &Path, ports: [u16; 7]) -> Value {
        let [smtp, submission, smtps, imap, imaps, http, https] = ports;
        let mut config = json!({
            "hostname": "mail.example.com",
            "mail_root": mail_root,
            "domains": ["example.com"],
            "smtp": {
                "host": "127.0.0.1",
                "port": smtp,
                "submission_port": submission,
                "smtps_port": smtps,
            },
            "imap": { "host": "127.0.0.1", "port": imap, "imaps_port": imaps },
            // Simulated machines come from there, and more often than people do.
            "rate_limit": { "whitelist": ["127.0.0.1", "::1", "10.0.0.0/8"] },
            "exchange_api": { "host": "127.0.0.1", "port": http, "secure_port": https },
        });
        merge(&mut config, &self.config);
        config
    }

    /// The configuration of a server without sockets.
    ///
    /// # Panics
    ///
    /// When the journey asks for a faulty one.
    pub fn config(&self, mail_root: &Path) -> Config {
        let json = self.config_json(mail_root, PORTS);
        let (config, warnings) = Config::load(&json.to_string(), mail_root)
            .unwrap_or_else(|faults| panic!("a journey's configuration is faulty: {faults}"));
        assert!(
            warnings.is_empty(),
            "a journey's configuration is odd: {warnings:?}"
        );
        config
    }
}

/// Puts the keys of `changes` over those of `value`.
pub(crate) fn merge(value: &mut Value, changes: &Value) {
    match (value, changes) {
        (Value::Object(members), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(members.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
        (value, change) => *value = change.clone(),
    }
}
