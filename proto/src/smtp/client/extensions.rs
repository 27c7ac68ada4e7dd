//! What a peer offers in its answer to EHLO (RFC 5321 §4.1.1.1).

use alloc::string::String;

/// The extensions that make a difference to the client.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extensions {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531. It includes 8BITMIME; without that it does not count.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 1870.
    pub size: bool,
    /// The limit in bytes that SIZE named, if it named one.
    pub message_bytes_max: Option<u64>,
    /// RFC 4954: mechanisms that we know.
    pub auth: Mechanisms,
    /// RFC 9422: `RCPTMAX`.
    pub recipients_max: Option<u32>,
    /// RFC 9422: `MAILMAX`.
    pub mails_max: Option<u32>,
    /// RFC 9422: `RCPTDOMAINMAX`.
    pub recipient_domains_max: Option<u32>,
}

/// The SASL mechanisms that we know.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mechanisms {
    /// RFC 4616.
    pub plain: bool,
    /// draft-murchison-sasl-login.
    pub login: bool,
    /// RFC 7677.
    pub scram_sha_256: bool,
}

impl Extensions {
    /// Reads the lines of a 250, the first of which is the peer's name and is not looked at.
    /// `ehlo-keyword *( SP ehlo-param )`, in any case; what is not known or malformed is passed
    /// over.
    pub(super) fn parse(lines: &[String]) -> Self {
        let mut found = Self::default();
        for line in lines.iter().skip(1) {
            found.parse_line(line);
        }
        found.smtputf8 &= found.eight_bit_mime;
        found
    }

    fn parse_line(&mut self, line: &str) {
        // Old servers write AUTH=LOGIN.
        let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
        let Some(keyword) = words.next() else {
            return;
        };
        match keyword.to_ascii_uppercase().as_str() {
            "PIPELINING" => self.pipelining = true,
            "CHUNKING" => self.chunking = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "DSN" => self.dsn = true,
            "STARTTLS" => self.starttls = true,
            "SIZE" => {
                self.size = true;
                // 0 says that there is no limit that is known (RFC 1870 §3).
                let limit = words.next().and_then(|limit| limit.parse().ok());
                self.message_bytes_max = limit.filter(|limit| *limit > 0);
            }
            "AUTH" => words.for_each(|word| self.auth.add(word)),
            "LIMITS" => self.parse_limits(line),
            _ => {}
        }
    }

    /// `limit-param = limit-name [ "=" limit-value ]` (RFC 9422 §3).
    fn parse_limits(&mut self, line: &str) {
        for parameter in line.split(' ').skip(1) {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let value = value.parse().ok().filter(|value| *value > 0);
            match name.to_ascii_uppercase().as_str() {
                "RCPTMAX" => self.recipients_max = value,
                "MAILMAX" => self.mails_max = value,
                "RCPTDOMAINMAX" => self.recipient_domains_max = value,
                _ => {}
            }
        }
    }
}

impl Mechanisms {
    fn add(&mut self, name: &str) {
        match name.to_ascii_uppercase().as_str() {
            "PLAIN" => self.plain = true,
            "LOGIN" => self.login = true,
            "SCRAM-SHA-256" => self.scram_sha_256 = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec::Vec};

    use super::*;

    fn parse(lines: &[&str]) -> Extensions {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        Extensions::parse(&lines)
    }

    #[test]
    fn first_line_is_a_name() {
        assert_eq!(parse(&["PIPELINING"]), Extensions::default());
    }

    #[test]
    fn keywords_and_parameters_have_no_case() {
        let found = parse(&[
            "mx",
            "Pipelining",
            "chunking",
            "8bitMIME",
            "smtputf8",
            "dsn",
            "starttls",
            "size 1000",
            "auth plain Login scram-sha-256 X",
            "limits rcptmax=5 MAILMAX=2 x=1",
        ]);
        let auth = Mechanisms {
            plain: true,
            login: true,
            scram_sha_256: true,
        };
        let expected = Extensions {
            pipelining: true,
            chunking: true,
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
            starttls: true,
            size: true,
            message_bytes_max: Some(1000),
            auth,
            recipients_max: Some(5),
            mails_max: Some(2),
            recipient_domains_max: None,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn old_forms_are_read_and_faulty_ones_passed_over() {
        assert!(parse(&["mx", "AUTH=LOGIN"]).auth.login);
        let found = parse(&["mx", "SIZE", "LIMITS RCPTMAX=0 MAILMAX=x", "", " "]);
        let expected = Extensions {
            size: true,
            ..Extensions::default()
        };
        assert_eq!(found, expected);
        assert_eq!(parse(&["mx", "SIZE 0"]).message_bytes_max, None);
        assert!(!parse(&["mx", "SMTPUTF8"]).smtputf8);
    }
}
