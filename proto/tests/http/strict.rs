//! What the machine takes for a request, a strict reading of RFC 9112 takes for one as well.

use proptest::prelude::*;

use crate::world::connect;

/// Whether this head is one by the grammar of RFC 9112 and RFC 9110, read without any of the room
/// that they leave to recipients. Written apart from the machine; only the query may hold more
/// than RFC 3986 allows.
fn is_strict_head(head: &str) -> bool {
    let head = head.strip_prefix("\r\n").unwrap_or(head);
    let Some(head) = head.strip_suffix("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
        return false;
    };
    let fields: Option<Vec<(String, &str)>> = lines.map(strict_field).collect();
    let Some(fields) = fields else {
        return false;
    };
    let all = |name: &str| -> Vec<&str> {
        let named = fields.iter().filter(|field| field.0 == name);
        named.map(|field| field.1).collect()
    };
    let is_version = matches!(version, "HTTP/1.0" | "HTTP/1.1");
    let hosts = all("host");
    let is_hosted = match hosts.as_slice() {
        [] => version == "HTTP/1.0",
        [host] => is_strict_authority(host),
        [_, ..] => false,
    };
    let is_framed = match (
        all("content-length").as_slice(),
        all("transfer-encoding").as_slice(),
    ) {
        ([], []) => true,
        ([length], []) => !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()),
        ([], [codings]) => version == "HTTP/1.1" && codings.eq_ignore_ascii_case("chunked"),
        (_, _) => false,
    };
    is_token(method) && is_strict_target(method, target) && is_version && is_hosted && is_framed
}

fn is_token(text: &str) -> bool {
    const TCHAR: &str = "!#$%&'*+-.^_`|~";
    let is_tchar = |c: char| c.is_ascii_alphanumeric() || TCHAR.contains(c);
    !text.is_empty() && text.chars().all(is_tchar)
}

fn strict_field(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_value = value
        .chars()
        .all(|c| c == '\t' || (c >= ' ' && c != '\x7f'));
    let value = value.trim_matches([' ', '\t']);
    (is_token(name) && is_value).then(|| (name.to_ascii_lowercase(), value))
}

fn is_strict_authority(text: &str) -> bool {
    let (host, port) = match text.rfind(':') {
        Some(at) if !text.ends_with(']') => (&text[..at], &text[at + 1..]),
        _ => (text, ""),
    };
    let is_literal = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c);
    let is_literal_char = |c: char| c.is_ascii_hexdigit() || ":.".contains(c);
    let is_host = match is_literal {
        true => host[1..host.len() - 1].chars().all(is_literal_char),
        false => !host.is_empty() && host.chars().all(is_name),
    };
    is_host && port.chars().all(|c| c.is_ascii_digit())
}

fn is_strict_target(method: &str, target: &str) -> bool {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !target.starts_with('/') => {
            let at = rest.find(['/', '?']).unwrap_or(rest.len());
            let is_scheme = ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
            if !is_scheme || !is_strict_authority(&rest[..at]) {
                return false;
            }
            match &rest[at..] {
                path if path.starts_with('/') => path.to_owned(),
                query => format!("/{query}"),
            }
        }
        _ => target.to_owned(),
    };
    if method == "OPTIONS" && target == "*" {
        return true;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let is_pchar = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/".contains(c);
    let is_raw = |c: char| is_pchar(c) || "?\"<>[\\]^`{|}".contains(c);
    path.starts_with('/')
        && path.chars().all(is_pchar)
        && query.chars().all(is_raw)
        && target.match_indices('%').all(|(at, _)| {
            let digits = target.get(at + 1..at + 3).unwrap_or_default();
            digits.len() == 2 && digits.chars().all(|c| c.is_ascii_hexdigit())
        })
}

#[test]
fn strict_reading_takes_what_is_plain() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a:1/b?c HTTP/1.1\r\nHost: [::1]:1\r\nX: \r\n\r\n",
        "OPTIONS * HTTP/1.0\r\n\r\n",
    ] {
        assert!(is_strict_head(head), "{head:?}");
        let mut client = connect();
        client.send(head.as_bytes());
        assert_eq!(client.world.requests.len(), 1, "{head:?}");
    }
}

/// Pieces of heads, right and wrong.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![
        6 => prop_oneof![Just("GET"), Just("POST"), Just("OPTIONS"), Just("HEAD")],
        1 => prop_oneof![Just("get"), Just(""), Just("G(T"), Just("PRI"), Just(" GET")],
    ];
    let plain = prop_oneof![
        Just("/"),
        Just("/a/b?c=d"),
        Just("*"),
        Just("http://a/"),
        Just("/%41"),
    ];
    let target = prop_oneof![
        6 => plain.prop_map(String::from),
        2 => "[/*a%:?#\"@ \\\\-]{0,6}",
        1 => "(http|HTTPS|ftp)://[a:@/?\\[\\]1]{0,6}",
    ];
    let version = prop_oneof![
        8 => Just("HTTP/1.1"), 2 => Just("HTTP/1.0"),
        1 => prop_oneof![Just("HTTP/1.2"), Just("http/1.1"), Just(""), Just("HTTP/1.1 ")],
    ];
    let name = prop_oneof![
        6 => prop_oneof![
            Just("Host"), Just("Content-Length"), Just("Transfer-Encoding"), Just("X"),
        ].prop_map(String::from),
        1 => "[Hh \t:(X\u{e9}]{0,4}",
    ];
    let value = prop_oneof![
        8 => prop_oneof![
            Just("a"), Just("a:1"), Just("0"), Just("3"), Just("chunked"), Just(""), Just("[::1]"),
            Just("gzip, chunked"), Just("3, 3"),
        ].prop_map(String::from),
        1 => "[a0:, \t\"\\\\@\\[\\]\u{e9}\0\x7f]{0,6}",
    ];
    let colon = prop_oneof![8 => Just(": "), 1 => Just(":"), 1 => Just(" :"), 1 => Just("")];
    let newline = prop_oneof![
        20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\n "),
        1 => Just("\r\r\n"),
    ];
    let field = (name, colon, value, newline.clone())
        .prop_map(|(name, colon, value, newline)| format!("{name}{colon}{value}{newline}"));
    let blank = || prop_oneof![12 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just("")];
    let before = prop_oneof![12 => Just(""), 1 => Just("\r\n"), 1 => Just("\n")];
    let host = prop_oneof![6 => Just("Host: a\r\n"), 1 => Just("")];
    let line = (before, method, blank(), target, blank(), version, newline).prop_map(
        |(before, method, first, target, second, version, newline)| {
            format!("{before}{method}{first}{target}{second}{version}{newline}")
        },
    );
    let fields = proptest::collection::vec(field, 0..4);
    (line, host, fields, any::<(bool, u16, u8)>()).prop_map(
        |(line, host, fields, (mutates, at, byte))| {
            let mut head = (line + host + &fields.concat() + "\r\n").into_bytes();
            if mutates {
                let at = usize::from(at) % head.len();
                head[at] = byte;
            }
            head
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_taken_is_a_request_by_a_strict_reading(head in head()) {
        let mut client = connect();
        let taken = client.offer(&head);
        if !client.world.requests.is_empty() {
            let latin: String = head[..taken].iter().map(|&byte| char::from(byte)).collect();
            let end = latin.find("\r\n\r\n").unwrap() + 4;
            prop_assert!(is_strict_head(&latin[..end]), "{:?}", &latin[..end]);
        }
    }
}
