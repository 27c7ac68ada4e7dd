//! A small world for transcripts: one user, one hosted domain, and a memory of every message.

use std::{collections::BTreeMap, net::Ipv4Addr};

use rmail_proto::{
    AccountId, Address, Domain, ForwardPath, Now, UploadId,
    smtp::{Call, Config, Envelope, Identity, Listener, Refusal, Reply, Server, Tls},
};

use crate::transcript::{Session, World};

/// A message that was accepted.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) envelope: Envelope,
    pub(crate) content: String,
}

/// Answers every call at once, unless a test asks it to hold back.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) messages: Vec<Stored>,
    /// Names of all calls, in order.
    pub(crate) calls: Vec<&'static str>,
    /// The call with this name is not answered.
    pub(crate) hold: Option<&'static str>,
    /// The call with this name is answered so.
    pub(crate) refuse: Option<(&'static str, Refusal)>,
    uploads: BTreeMap<UploadId, Vec<u8>>,
    pub(crate) largest_piece_bytes: usize,
}

impl Memory {
    /// Uploads that were begun and neither finished nor discarded.
    pub(crate) fn open_uploads(&self) -> usize {
        self.uploads.len()
    }
}

impl World<Server> for Memory {
    fn answer(&mut self, call: Call) -> Option<Reply> {
        let name = name(&call);
        self.calls.push(name);
        let refusal = self.refuse.iter().find(|(refused, _)| *refused == name);
        let refusal = refusal.map(|(_, refusal)| Reply::Refused(refusal.clone()));
        let reply = match call {
            Call::Authenticate { username, password } => {
                match username == "alice@example.com" && password.reveal() == "secret" {
                    true => Reply::Authenticated(alice()),
                    false => Reply::Refused(Refusal::credentials_invalid()),
                }
            }
            Call::Mail { .. } => Reply::Permitted,
            Call::Rcpt { forward_path, .. } => match &forward_path {
                ForwardPath::Address(address) if address.domain().as_str() != "example.com" => {
                    Reply::Refused(Refusal::relay_denied())
                }
                ForwardPath::Address(address) if address.local_part() == "nobody" => {
                    Reply::Refused(Refusal::no_such_mailbox())
                }
                ForwardPath::Address(_) | ForwardPath::Postmaster => Reply::Permitted,
            },
            Call::Chunk { upload, data } => {
                self.largest_piece_bytes = self.largest_piece_bytes.max(data.len());
                self.uploads
                    .entry(upload)
                    .or_default()
                    .extend_from_slice(&data);
                Reply::ChunkTaken
            }
            Call::Message {
                upload,
                data,
                envelope,
            } => {
                self.largest_piece_bytes = self.largest_piece_bytes.max(data.len());
                let mut content = self.uploads.remove(&upload).unwrap_or_default();
                content.extend_from_slice(&data);
                if refusal.is_none() {
                    let content = String::from_utf8_lossy(&content).into_owned();
                    self.messages.push(Stored {
                        envelope: *envelope,
                        content,
                    });
                }
                Reply::Accepted
            }
            Call::Discard { upload } => {
                assert!(self.uploads.remove(&upload).is_some(), "nothing to discard");
                Reply::Permitted
            }
        };
        (self.hold != Some(name)).then(|| refusal.unwrap_or(reply))
    }
}

pub(crate) fn name(call: &Call) -> &'static str {
    match call {
        Call::Authenticate { .. } => "Authenticate",
        Call::Mail { .. } => "Mail",
        Call::Rcpt { .. } => "Rcpt",
        Call::Chunk { .. } => "Chunk",
        Call::Message { .. } => "Message",
        Call::Discard { .. } => "Discard",
    }
}

pub(crate) fn alice() -> Identity {
    Identity {
        account: AccountId(1),
        address: Address::parse("alice@example.com").unwrap(),
    }
}

pub(crate) fn config(listener: Listener, tls: Tls) -> Config {
    Config {
        hostname: Domain::parse("mx.example.com").unwrap(),
        listener,
        peer: Ipv4Addr::new(192, 0, 2, 7).into(),
        tls,
        message_bytes_max: 1_000_000,
        recipients_max: 3,
        messages_max: 2,
        seed: 7,
    }
}

pub(crate) type Client = Session<Server, Memory>;

pub(crate) fn connect(config: Config) -> Client {
    Session::new(Memory::default(), |now: Now| Server::new(config, now))
}

/// On port 25 without TLS, after EHLO.
pub(crate) fn inbound() -> Client {
    let mut client = connect(config(Listener::Inbound, Tls::Unavailable));
    greet(&mut client);
    client
}

/// On port 587 without TLS, after EHLO and AUTH.
pub(crate) fn submission() -> Client {
    let mut client = connect(config(Listener::Submission, Tls::Unavailable));
    greet(&mut client);
    client.play(
        "C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==
         S: 235 2.7.0 Authentication successful",
    );
    client
}

pub(crate) fn greet(client: &mut Client) {
    client.send(b"EHLO client.example\r\n");
    assert!(client.take_sent().ends_with("250 HELP\r\n"));
}

/// Up to and including 354.
pub(crate) fn start_data(client: &mut Client) {
    client.play(
        "C: MAIL FROM:<alice@example.com>
         S: 250 2.1.0 Sender ok
         C: RCPT TO:<bob@example.com>
         S: 250 2.1.5 Recipient ok
         C: DATA
         S: 354 *",
    );
}
