//! Why something that was tried with the server could not be done.

use std::{error::Error as _, fmt, io, net::IpAddr};

use crate::tls::OTHER_CERTIFICATE;

/// What came instead of what should.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is nobody, or the connection broke, or nothing came in time.
    Connection(io::Error),
    /// TLS could not be had.
    Tls(String),
    /// The certificate is not the configured one.
    OtherCertificate,
    /// The rate limiter turned us away, who come from this address.
    Limited(IpAddr, String),
    /// The server answered something that it should not, in its own words.
    Answer(String),
}

/// Whether a refusal is the rate limiter's: of connections and messages it says "from you", of
/// logins that too many failed.
pub(super) fn is_limiters(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("from you") || text.contains("too many failed logins")
}

/// How to be exempt from the limits.
pub(super) fn whitelist_remedy(from: IpAddr) -> String {
    format!(
        "put \"{from}\" into rate_limit.whitelist (where 127.0.0.1 and ::1 are by default), run \
         \"rmail reload\", and then this again"
    )
}

impl Trouble {
    /// What helps.
    pub(super) fn remedy(&self) -> String {
        let text = match self {
            Self::Connection(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => {
                    "start the server; when it runs, its log says what it could not listen on"
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    "look into the server's log for why it does not answer, and whether a \
                     firewall is in between"
                }
                _ => "look into the server's log for why it ended the connection",
            },
            Self::Tls(_) => {
                "see by \"rmail status\" whether this port is rmail's; if it is, look into the \
                 server's log"
            }
            Self::OtherCertificate => {
                "run \"rmail reload\", which has the server read its certificate again; if that \
                 does not help, another program has this port, or another server"
            }
            Self::Limited(from, _) => return whitelist_remedy(*from),
            Self::Answer(_) => "look into the server's log for why it answered so",
        };
        text.to_owned()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => f.write_str("nobody listens there"),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    f.write_str("nothing came in time")
                }
                io::ErrorKind::UnexpectedEof => f.write_str("the server ended the connection"),
                _ => write!(f, "{error}"),
            },
            Self::Tls(reason) => write!(f, "TLS can't be had: {reason}"),
            Self::OtherCertificate => {
                f.write_str("the server shows another certificate than the configured one")
            }
            Self::Limited(from, said) => {
                write!(
                    f,
                    "the diagnostics are being rate-limited, as {from}: {said}"
                )
            }
            Self::Answer(said) => write!(f, "the server says: {said}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::from(error),
            None => Self::Connection(error),
        }
    }
}

impl From<&rustls::Error> for Trouble {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(reason) if *reason == OTHER_CERTIFICATE => {
                Self::OtherCertificate
            }
            error => Self::Tls(error.to_string()),
        }
    }
}

impl From<ureq::Error> for Trouble {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Io(error) => Self::from(error),
            ureq::Error::Rustls(error) => Self::from(&error),
            ureq::Error::Timeout(_) => Self::Connection(io::ErrorKind::TimedOut.into()),
            ureq::Error::ConnectionFailed => {
                Self::Connection(io::ErrorKind::ConnectionRefused.into())
            }
            error => {
                let source = error.source().map(|source| format!(" ({source})"));
                Self::Answer(format!("{error}{}", source.unwrap_or_default()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rmail_proto::smtp::Refusal;

    use super::*;

    #[test]
    fn refusals_of_the_limiter_are_told_from_others() {
        assert!(is_limiters(&Refusal::rate_exceeded().text));
        assert!(is_limiters(&Refusal::too_many_failed_logins().text));
        for other in [
            Refusal::too_many_connections(),
            Refusal::relay_denied(),
            Refusal::credentials_invalid(),
            Refusal::shutting_down(),
        ] {
            assert!(!is_limiters(&other.text), "{other:?}");
        }
    }
}
