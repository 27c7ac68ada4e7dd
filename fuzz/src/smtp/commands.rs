//! Command lines, and the addresses in them.

use rmail_proto::mime::Scanner;

use super::{
    command::{Command, is_auth, is_bdat, parse_command},
    from::parse_from,
};
use crate::{
    Address, ForwardPath, ReversePath, limits,
    response::{Value, parse_values},
};

/// A command means the same in any case of its verb and with white space behind it, and its paths
/// are read as they print.
pub(crate) fn command(input: &[u8]) {
    let Ok(line) = std::str::from_utf8(input) else {
        return;
    };
    if line.len() > limits::SMTP_AUTH_LINE_BYTES {
        return;
    }
    let parsed = parse_command(line);
    assert_eq!(parse_command(&format!("{line} \t")), parsed);
    let verb_bytes = line.find([' ', '\t']).unwrap_or(line.len());
    let (verb, rest) = line.split_at(verb_bytes);
    let other_case: String = verb.chars().map(flip_case).collect();
    assert_eq!(parse_command(&format!("{other_case}{rest}")), parsed);
    match parsed {
        Ok(Command::Mail(mail)) => check_reverse_path(mail.reverse_path),
        Ok(Command::Rcpt { forward_path, .. }) => check_forward_path(forward_path),
        Ok(Command::Ehlo { name } | Command::Helo { name }) => {
            assert!(name.len() <= limits::DOMAIN_BYTES);
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        Ok(Command::Auth { .. }) => assert!(is_auth(input)),
        Ok(Command::Bdat { .. }) => assert!(is_bdat(input)),
        Ok(
            Command::Data
            | Command::Rset
            | Command::Noop
            | Command::Vrfy
            | Command::Help
            | Command::Quit
            | Command::StartTls
            | Command::NotOffered,
        ) => {}
        Err(refusal) => {
            assert!((500..=599).contains(&refusal.code), "{refusal:?}");
            assert!(!refusal.text.contains(['\r', '\n']), "{refusal:?}");
        }
    }
}

fn flip_case(c: char) -> char {
    match c.is_ascii_uppercase() {
        true => c.to_ascii_lowercase(),
        false => c.to_ascii_uppercase(),
    }
}

fn check_reverse_path(path: ReversePath) {
    let line = format!("MAIL FROM:{path}");
    match parse_command(&line) {
        Ok(Command::Mail(mail)) => assert_eq!(mail.reverse_path, path),
        other => panic!("{line}: {other:?}"),
    }
}

fn check_forward_path(path: ForwardPath) {
    let line = format!("RCPT TO:{path}");
    match parse_command(&line) {
        Ok(Command::Rcpt { forward_path, .. }) => assert_eq!(forward_path, path),
        other => panic!("{line}: {other:?}"),
    }
}

/// Whoever reads an address as it prints reads the same one: the parser of paths, the one of
/// submitted From fields, and the one of ENVELOPE.
pub(crate) fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(address) = Address::parse(text) else {
        return;
    };
    let local_part = address.local_part();
    let host = address.domain().as_str();
    assert!((1..=limits::LOCAL_PART_BYTES).contains(&local_part.len()));
    assert!((1..=limits::DOMAIN_BYTES).contains(&host.len()));
    let printed = address.to_string();
    assert_eq!(Address::parse(&printed), Ok(address.clone()));
    assert_eq!(parse_from(printed.as_bytes()), Ok(vec![address.clone()]));
    if printed.len() + 2 <= limits::PATH_BYTES && !printed.starts_with('@') {
        check_reverse_path(ReversePath::Address(address.clone()));
        check_forward_path(ForwardPath::Address(address.clone()));
    }
    let mut scanner = Scanner::new();
    scanner.handle_input(format!("From: {printed}\r\n\r\n").as_bytes());
    let envelope = parse_values(&scanner.finish().envelope);
    let Some([Value::List(fields)]) = envelope.as_deref() else {
        panic!("{envelope:?}");
    };
    let expected = Value::List(vec![Value::List(vec![
        Value::Nil,
        Value::Nil,
        Value::Text(local_part.into()),
        Value::Text(host.into()),
    ])]);
    assert_eq!(fields[2], expected, "{printed}");
}
