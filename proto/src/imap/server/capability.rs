//! What the server says it can do.

use alloc::vec::Vec;

use super::session::{Session, State};
use crate::imap::Tls;

/// In every state.
const ALWAYS: [&str; 5] = ["IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE"];

/// Once somebody is logged in.
const AUTHENTICATED: [&str; 15] = [
    "CHILDREN",
    "CONDSTORE",
    "CREATE-SPECIAL-USE",
    "ESEARCH",
    "IDLE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "MOVE",
    "MULTIAPPEND",
    "NAMESPACE",
    "OBJECTID",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "UIDPLUS",
    "UNSELECT",
];

impl Session {
    /// For CAPABILITY, the greeting, and the answer to a login.
    pub(super) fn capabilities(&self) -> Vec<&'static str> {
        let mut names = Vec::from(ALWAYS);
        match self.state {
            State::NotAuthenticated => {
                if self.may_start_tls() {
                    names.push("STARTTLS");
                }
                let login: &[&str] = match self.may_login() {
                    true => &["AUTH=PLAIN", "AUTH=LOGIN"],
                    false => &["LOGINDISABLED"],
                };
                names.extend(login);
            }
            State::Authenticated | State::Selected(_) => names.extend(AUTHENTICATED),
        }
        names
    }

    /// Whether STARTTLS can be used now.
    pub(super) fn may_start_tls(&self) -> bool {
        self.config.tls == Tls::Offered && !self.is_encrypted
    }

    /// Whether a password may be sent now: not in cleartext, where TLS can be had.
    pub(super) fn may_login(&self) -> bool {
        self.config.tls == Tls::Unavailable || self.is_encrypted
    }
}
