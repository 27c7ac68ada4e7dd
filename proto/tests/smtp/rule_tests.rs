//! The five rules of a connection.

use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    Now,
    smtp::{Call, Config, Listener, Refusal, Reply, Server, Tls},
};

use super::world;
use crate::rules::Subject;

/// What a server of this configuration is put through.
#[derive(Debug)]
pub(crate) struct Smtp(pub(crate) Config);

impl Subject for Smtp {
    type Machine = Server;

    // Cancel, discard, refusal, 421, close.
    const ACTIONS_MAX: usize = 6;

    fn machine(&self, now: Now) -> Server {
        Server::new(self.0.clone(), now)
    }

    fn starts_with_tls(&self) -> bool {
        self.0.tls == Tls::Implicit
    }

    fn is_awaited(&self, call: &Call) -> bool {
        !matches!(call, Call::Discard { .. })
    }

    fn reply(&self, call: &Call, choice: u8) -> Reply {
        match (choice % 8, call) {
            (0, Call::Authenticate { .. }) => Reply::Authenticated(world::alice()),
            (0, Call::Mail { .. } | Call::Rcpt { .. } | Call::Discard { .. }) => Reply::Permitted,
            (0, Call::Chunk { .. }) => Reply::ChunkTaken,
            (0, Call::Message { .. }) => Reply::Accepted,
            (1, _) => Reply::Accepted,
            (2, _) => Reply::ChunkTaken,
            (3, _) => Reply::Permitted,
            (4, _) => Reply::Authenticated(world::alice()),
            (5, _) => Reply::Refused(Refusal::temporary_failure()),
            (6, _) => Reply::Refused(Refusal::too_many_connections()),
            (_, _) => Reply::Refused(Refusal::credentials_invalid()),
        }
    }
}

fn subjects() -> impl Strategy<Value = Smtp> {
    let listener = prop_oneof![
        Just(Listener::Inbound),
        Just(Listener::Submission),
        Just(Listener::ImplicitTlsSubmission),
    ];
    let tls =
        prop_oneof![2 => Just(Tls::Unavailable), 1 => Just(Tls::Offered), 1 => Just(Tls::Implicit)];
    (listener, tls, any::<u64>()).prop_map(|(listener, tls, seed)| {
        let config = world::config(listener, tls);
        Smtp(Config {
            seed,
            message_bytes_max: 300_000,
            ..config
        })
    })
}

/// A whole message, small or large, by DATA or in chunks, sometimes cut short.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let opening = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n";
    let size = prop_oneof![0usize..200, 0usize..290_000];
    (any::<bool>(), size, 0usize..100, any::<usize>()).prop_map(
        move |(by_data, size, chance, cut)| {
            let line = b"0123456789abcd: \r\n";
            let text: Vec<u8> = line.iter().copied().cycle().take(size / 18 * 18).collect();
            let mut wire = opening.as_bytes().to_vec();
            if by_data {
                wire.extend_from_slice(b"DATA\r\n");
                wire.extend_from_slice(&text);
                wire.extend_from_slice(b".\r\n");
            } else {
                let (first, last) = text.split_at(cut % (text.len() + 1));
                for (chunk, marker) in [(first, ""), (last, " LAST")] {
                    wire.extend_from_slice(format!("BDAT {}{marker}\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                }
            }
            if chance < 10 {
                wire.truncate(cut % (wire.len() + 1));
            }
            wire
        },
    )
}

/// Input that gets somewhere, most of the time.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let line = |line: &str| Just(format!("{line}\r\n").into_bytes()).boxed();
    let transaction = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>";
    let login = "EHLO a.b\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==";
    let newline = prop_oneof![
        6 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\n.\r\n"),
        1 => Just(".\r\n"),
    ];
    let text = prop_oneof![
        Just("From: a@example.com".to_string()),
        Just("Date: now".to_string()),
        "[a.: @<]{0,6}",
    ];
    prop_oneof![
        4 => line(login),
        4 => line(transaction),
        8 => message(),
        4 => line("DATA"),
        2 => line("BDAT 20 LAST"),
        2 => line("BDAT 7"),
        1 => prop_oneof![line("BDAT 0 LAST"), line("BDAT 200000"), line("BDAT x")],
        1 => prop_oneof![line("RSET"), line("NOOP"), line("HELO x"), line("VRFY x"), line("EXPN")],
        1 => prop_oneof![line("STARTTLS"), line("AUTH LOGIN"), line("AUTH LOGIN ="), line("*")],
        1 => prop_oneof![line("QUIT"), line("HELP")],
        4 => vec((text, newline), 0..8).prop_map(|lines| {
            lines.into_iter().flat_map(|(text, newline)| (text + newline).into_bytes()).collect()
        }),
        2 => Just(b"\r\n.\r\n".to_vec()),
        2 => (0usize..90_000).prop_map(|bytes| b"0123456789abcde\r\n".repeat(bytes / 17)),
        1 => vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn machine_keeps_the_rules(subject in subjects(), steps in crate::rules::steps(input())) {
        crate::rules::check_rules(&subject, &steps);
    }

    #[test]
    fn splitting_changes_nothing(
        subject in subjects(),
        input in vec(input(), 0..12),
        pieces in vec(1usize..5000, 1..6),
        choices in vec(prop_oneof![6 => Just(0u8), 1 => any::<u8>()], 0..8),
    ) {
        let input = [&b"EHLO a.b\r\n"[..], &input.concat()].concat();
        crate::rules::check_splitting(&subject, &input, &pieces, &choices);
    }
}
