//! Parses command lines (RFC 5321 §4.1).

use super::{MailNotice, Notify, RcptNotice, Refusal, Return, dsn};
use crate::{Address, Domain, ForwardPath, ReversePath, limits};

/// A command line without its CRLF.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Command<'a> {
    Ehlo {
        name: &'a str,
    },
    Helo {
        name: &'a str,
    },
    Mail(Mail),
    Rcpt {
        forward_path: ForwardPath,
        notice: RcptNotice,
    },
    Data,
    Bdat {
        size_bytes: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
    Auth {
        mechanism: &'a str,
        initial: Option<&'a str>,
    },
    /// A command of RFC 5321 or its forebears that is not offered.
    NotOffered,
}

/// MAIL with its parameters.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Mail {
    pub(super) reverse_path: ReversePath,
    /// `SIZE=` (RFC 1870), 0 when it was not given.
    pub(super) size_bytes: u64,
    /// `BODY=8BITMIME` (RFC 6152).
    pub(super) eight_bit_mime: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub(super) smtputf8: bool,
    /// Whether `AUTH=` (RFC 4954 §5) was given, which needs a listener that offers AUTH.
    pub(super) auth: bool,
    /// `RET=` and `ENVID=` (RFC 3461).
    pub(super) notice: MailNotice,
}

/// `verb [SP arguments]`; white space before the CRLF is tolerated.
pub(super) fn parse_command(line: &str) -> Result<Command<'_>, Refusal> {
    let line = line.trim_end_matches([' ', '\t']);
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    if is("EHLO") {
        parse_name(rest).map(|name| Command::Ehlo { name })
    } else if is("HELO") {
        parse_name(rest).map(|name| Command::Helo { name })
    } else if is("MAIL") {
        parse_mail(rest).map(Command::Mail)
    } else if is("RCPT") {
        parse_rcpt(rest)
    } else if is("DATA") {
        without_arguments(rest, Command::Data)
    } else if is("BDAT") {
        parse_bdat(rest)
    } else if is("RSET") {
        without_arguments(rest, Command::Rset)
    } else if is("NOOP") {
        Ok(Command::Noop)
    } else if is("VRFY") {
        match rest {
            "" => Err(Refusal::argument_malformed()),
            _ => Ok(Command::Vrfy),
        }
    } else if is("HELP") {
        Ok(Command::Help)
    } else if is("QUIT") {
        without_arguments(rest, Command::Quit)
    } else if is("STARTTLS") {
        without_arguments(rest, Command::StartTls)
    } else if is("AUTH") {
        parse_auth(rest)
    } else if ["EXPN", "TURN", "ETRN", "ATRN", "SEND", "SOML", "SAML"]
        .into_iter()
        .any(is)
    {
        Ok(Command::NotOffered)
    } else {
        Err(Refusal::command_unknown())
    }
}

/// Whether the line's verb is AUTH, whose lines may be longer than others.
pub(super) fn is_auth(line: &[u8]) -> bool {
    line.get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"AUTH "))
}

/// Whether the line's verb is BDAT, which octets follow.
pub(super) fn is_bdat(line: &[u8]) -> bool {
    let verb = line.split(|byte| matches!(byte, b' ' | b'\t')).next();
    verb.is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

fn without_arguments<'a>(rest: &str, command: Command<'a>) -> Result<Command<'a>, Refusal> {
    match rest {
        "" => Ok(command),
        _ => Err(Refusal::argument_malformed()),
    }
}

/// `Domain / address-literal` (RFC 5321 §4.1.1.1). Many clients send other names, which are no
/// ground to refuse mail (§4.1.4): any word passes that is safe in a Received field.
fn parse_name(rest: &str) -> Result<&str, Refusal> {
    let name = rest.trim_matches(' ');
    let safe = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;\\\"".contains(&byte);
    if (1..=limits::DOMAIN_BYTES).contains(&name.len()) && name.bytes().all(safe) {
        Ok(name)
    } else {
        Err(Refusal::argument_malformed())
    }
}

/// `"MAIL FROM:" Reverse-path [SP Mail-parameters]` (RFC 5321 §4.1.1.2).
fn parse_mail(rest: &str) -> Result<Mail, Refusal> {
    let rest = strip_keyword(rest, "FROM:").ok_or_else(Refusal::argument_malformed)?;
    let (path, parameters) = split_path(rest).ok_or_else(Refusal::reverse_path_malformed)?;
    let reverse_path = match path {
        "" => ReversePath::Null,
        _ => ReversePath::Address(parse_path(path).ok_or_else(Refusal::reverse_path_malformed)?),
    };
    let mut mail = Mail {
        reverse_path,
        size_bytes: 0,
        eight_bit_mime: false,
        smtputf8: false,
        auth: false,
        notice: MailNotice::default(),
    };
    let mut seen = Seen::default();
    for parameter in split_parameters(parameters)? {
        mail.set_parameter(parameter, &mut seen)?;
    }
    Ok(mail)
}

/// Which parameters came, so that none comes twice.
#[derive(Default)]
struct Seen {
    size: bool,
    body: bool,
}

impl Mail {
    fn set_parameter(
        &mut self,
        (keyword, value): (&str, Option<&str>),
        seen: &mut Seen,
    ) -> Result<(), Refusal> {
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        let first = if is("SIZE") {
            // size-value = 1*20DIGIT (RFC 1870 §5)
            let digits = value
                .filter(|value| value.len() <= 20)
                .and_then(parse_digits);
            self.size_bytes = digits.ok_or_else(Refusal::argument_malformed)?;
            !core::mem::replace(&mut seen.size, true)
        } else if is("BODY") {
            // body-value = "7BIT" / "8BITMIME" (RFC 6152 §2); BINARYMIME is not offered.
            let value = value.ok_or_else(Refusal::argument_malformed)?;
            self.eight_bit_mime = value.eq_ignore_ascii_case("8BITMIME");
            if !self.eight_bit_mime && !value.eq_ignore_ascii_case("7BIT") {
                return Err(Refusal::parameter_unknown());
            }
            !core::mem::replace(&mut seen.body, true)
        } else if is("SMTPUTF8") {
            let first = !core::mem::replace(&mut self.smtputf8, true);
            first && value.is_none()
        } else if is("AUTH") {
            let first = !core::mem::replace(&mut self.auth, true);
            first && value.is_some()
        } else if is("RET") {
            let value = value.ok_or_else(Refusal::argument_malformed)?;
            self.notice.ret.replace(Return::parse(value)?).is_none()
        } else if is("ENVID") {
            let value = value.ok_or_else(Refusal::argument_malformed)?;
            self.notice
                .envid
                .replace(dsn::parse_envid(value)?)
                .is_none()
        } else {
            return Err(Refusal::parameter_unknown());
        };
        if first {
            Ok(())
        } else {
            Err(Refusal::argument_malformed())
        }
    }
}

/// `"RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP
/// Rcpt-parameters]` (RFC 5321 §4.1.1.3). The parameters are those of RFC 3461.
fn parse_rcpt(rest: &str) -> Result<Command<'_>, Refusal> {
    let rest = strip_keyword(rest, "TO:").ok_or_else(Refusal::argument_malformed)?;
    let (path, parameters) = split_path(rest).ok_or_else(Refusal::forward_path_malformed)?;
    let forward_path = if path.eq_ignore_ascii_case("postmaster") {
        ForwardPath::Postmaster
    } else {
        ForwardPath::Address(parse_path(path).ok_or_else(Refusal::forward_path_malformed)?)
    };
    let mut notice = RcptNotice::default();
    for (keyword, value) in split_parameters(parameters)? {
        let value = value.ok_or_else(Refusal::argument_malformed);
        let is_first = if keyword.eq_ignore_ascii_case("NOTIFY") {
            notice.notify.replace(Notify::parse(value?)?).is_none()
        } else if keyword.eq_ignore_ascii_case("ORCPT") {
            notice.orcpt.replace(dsn::parse_orcpt(value?)?).is_none()
        } else {
            return Err(Refusal::parameter_unknown());
        };
        if !is_first {
            return Err(Refusal::argument_malformed());
        }
    }
    Ok(Command::Rcpt {
        forward_path,
        notice,
    })
}

/// `bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ]` (RFC 3030 §2).
fn parse_bdat(rest: &str) -> Result<Command<'_>, Refusal> {
    let (size, marker) = rest.split_once(' ').unwrap_or((rest, ""));
    let size_bytes = parse_digits(size).ok_or_else(Refusal::argument_malformed)?;
    let last = marker.eq_ignore_ascii_case("LAST");
    if last || marker.is_empty() {
        Ok(Command::Bdat { size_bytes, last })
    } else {
        Err(Refusal::argument_malformed())
    }
}

/// `auth-command = "AUTH" SP sasl-mech [SP initial-response]` (RFC 4954 §8).
fn parse_auth(rest: &str) -> Result<Command<'_>, Refusal> {
    let (mechanism, initial) = match rest.split_once(' ') {
        Some((mechanism, initial)) => (mechanism, Some(initial)),
        None => (rest, None),
    };
    if mechanism.is_empty() || initial.is_some_and(|initial| initial.contains(' ')) {
        return Err(Refusal::argument_malformed());
    }
    Ok(Command::Auth { mechanism, initial })
}

fn strip_keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let text = text.trim_start_matches(' ');
    let start = text.get(..keyword.len())?;
    // A space after the colon is against the grammar, and common.
    let rest = text[keyword.len()..].trim_start_matches(' ');
    start.eq_ignore_ascii_case(keyword).then_some(rest)
}

/// `Path = "<" ... ">"`: what is between the brackets, and what follows them. A bracket may stand
/// in a quoted local-part.
fn split_path(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let mut quoted = false;
    let mut escaped = false;
    let end = inner.bytes().position(|byte| {
        let ends = byte == b'>' && !quoted;
        if !escaped && byte == b'"' {
            quoted = !quoted;
        }
        escaped = quoted && !escaped && byte == b'\\';
        ends
    })?;
    // The brackets count (RFC 5321 §4.5.3.1.3).
    (end + 2 <= limits::PATH_BYTES).then(|| (&inner[..end], &inner[end + 1..]))
}

/// `[ A-d-l ":" ] Mailbox`, `A-d-l = At-domain *( "," At-domain )` (RFC 5321 §4.1.2). A source
/// route is checked and dropped (Appendix C).
fn parse_path(path: &str) -> Option<Address> {
    let mailbox = match path.starts_with('@') {
        false => path,
        true => {
            let (route, mailbox) = path.split_once(':')?;
            let good = |at_domain: &str| {
                let domain = at_domain.strip_prefix('@');
                domain.is_some_and(|domain| Domain::parse(domain).is_ok())
            };
            route.split(',').all(good).then_some(mailbox)?
        }
    };
    Address::parse(mailbox).ok()
}

/// `esmtp-param *(SP esmtp-param)`, `esmtp-param = esmtp-keyword ["=" esmtp-value]` (RFC 5321
/// §4.1.2).
fn split_parameters(
    text: &str,
) -> Result<impl Iterator<Item = (&str, Option<&str>)> + '_, Refusal> {
    let is_keyword = |keyword: &str| {
        keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_value = |value: &str| {
        !value.is_empty()
            && value
                .chars()
                .all(|c| c > ' ' && c != '=' && !c.is_control())
    };
    let split = |parameter: &'_ str| match parameter.split_once('=') {
        Some((keyword, value)) => is_keyword(keyword) && is_value(value),
        None => is_keyword(parameter),
    };
    let spaced = text.is_empty() || text.starts_with(' ');
    if !spaced || !text.split(' ').filter(|word| !word.is_empty()).all(split) {
        return Err(Refusal::argument_malformed());
    }
    let words = text.split(' ').filter(|word| !word.is_empty());
    Ok(words.map(|word| match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    }))
}

/// `1*DIGIT` that fits.
fn parse_digits(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use proptest::prelude::*;

    use super::*;

    fn code(line: &str) -> (u16, alloc::string::String) {
        let refusal = parse_command(line).expect_err(line);
        (refusal.code, refusal.enhanced.to_string())
    }

    fn mail(line: &str) -> Mail {
        match parse_command(line) {
            Ok(Command::Mail(mail)) => mail,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn forward_path(line: &str) -> alloc::string::String {
        match parse_command(line) {
            Ok(Command::Rcpt { forward_path, .. }) => forward_path.to_string(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn verbs_and_keywords_have_no_case() {
        assert_eq!(parse_command("qUiT"), Ok(Command::Quit));
        assert_eq!(parse_command("ehlo a.b"), Ok(Command::Ehlo { name: "a.b" }));
        let mail = mail("mail from:<A@b.c> size=10 body=8bitmime smtputf8 auth=<>");
        assert_eq!(mail.reverse_path.to_string(), "<A@b.c>");
        assert_eq!(mail.size_bytes, 10);
        assert!(mail.eight_bit_mime && mail.smtputf8 && mail.auth);
    }

    #[test]
    fn null_reverse_path_is_a_reverse_path_only() {
        assert_eq!(mail("MAIL FROM:<>").reverse_path, ReversePath::Null);
        assert_eq!(code("RCPT TO:<>"), (501, "5.1.3".into()));
    }

    #[test]
    fn source_routes_are_stripped() {
        assert_eq!(forward_path("RCPT TO:<@a.b,@c.d:user@e.f>"), "<user@e.f>");
        assert_eq!(code("RCPT TO:<@a.b,c.d:user@e.f>"), (501, "5.1.3".into()));
        assert_eq!(code("RCPT TO:<@a.b>"), (501, "5.1.3".into()));
    }

    #[test]
    fn bracket_in_a_quoted_local_part_ends_no_path() {
        assert_eq!(
            forward_path("RCPT TO:<\"a>\\\"b\"@c.d>"),
            "<\"a>\\\"b\"@c.d>"
        );
        assert_eq!(forward_path("RCPT TO:<PostMaster>"), "<postmaster>");
    }

    #[test]
    fn faulty_parameters_are_told_from_unknown_ones() {
        for parameters in [
            "SIZE=",
            "SIZE=1x",
            "SIZE=1 SIZE=1",
            "SMTPUTF8=1",
            "=",
            "BODY",
            "-A",
            "RET=ALL",
            "RET=FULL RET=HDRS",
            "ENVID=a+b",
        ] {
            let line = format!("MAIL FROM:<a@b.c> {parameters}");
            assert_eq!(code(&line), (501, "5.5.4".into()), "{parameters}");
        }
        for parameters in ["X-A=1", "BODY=BINARYMIME", "NOTIFY=NEVER"] {
            let line = format!("MAIL FROM:<a@b.c> {parameters}");
            assert_eq!(code(&line), (555, "5.5.4".into()), "{parameters}");
        }
        assert_eq!(code("RCPT TO:<a@b.c> RET=FULL"), (555, "5.5.4".into()));
        for parameters in [
            "NOTIFY",
            "NOTIFY=OFTEN",
            "ORCPT=a@b.c",
            "NOTIFY=NEVER NOTIFY=DELAY",
        ] {
            let line = format!("RCPT TO:<a@b.c> {parameters}");
            assert_eq!(code(&line), (501, "5.5.4".into()), "{parameters}");
        }
        assert_eq!(code("MAIL FROM:<a@b.c>SIZE=1"), (501, "5.5.4".into()));
        assert_eq!(code("MAIL FROM:a@b.c"), (501, "5.1.7".into()));
    }

    #[test]
    fn longest_path_fits_and_one_byte_more_does_not() {
        let label = "d".repeat(49);
        let domain = [label.as_str(); 5].join(".");
        let line = |local_part: &str| format!("RCPT TO:<{local_part}@{domain}>");
        let local_part = "a".repeat(limits::PATH_BYTES - domain.len() - 3);
        assert!(parse_command(&line(&local_part)).is_ok());
        assert_eq!(code(&line(&(local_part + "a"))), (501, "5.1.3".into()));
    }

    #[test]
    fn bdat_names_octets_and_perhaps_last() {
        let bdat = |size_bytes, last| Ok(Command::Bdat { size_bytes, last });
        assert_eq!(parse_command("BDAT 0 last"), bdat(0, true));
        assert_eq!(parse_command("BDAT 86"), bdat(86, false));
        for line in [
            "BDAT",
            "BDAT -1",
            "BDAT 1 LATE",
            "BDAT 99999999999999999999",
        ] {
            assert_eq!(code(line), (501, "5.5.4".into()), "{line}");
        }
    }

    #[test]
    fn greeting_names_that_could_forge_a_trace_field_are_refused() {
        for line in ["EHLO", "EHLO a b", "EHLO a(b)", "HELO <a>", "HELO a;b"] {
            assert_eq!(code(line), (501, "5.5.4".into()), "{line}");
        }
        assert!(parse_command("EHLO [IPv6:::1]").is_ok());
        assert!(parse_command("EHLO my_laptop").is_ok());
    }

    proptest! {
        #[test]
        fn any_line_is_parsed_or_refused(
            verb in prop_oneof![Just("MAIL FROM:<"), Just("RCPT TO:<"), Just("BDAT "), Just("")],
            rest in "\\PC{0,40}",
        ) {
            let _ = parse_command(&format!("{verb}{rest}"));
        }
    }
}
