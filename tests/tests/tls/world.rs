//! What sessions ask for, answered from memory: one user, one mailbox.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, DateTime, EmailId, Flags, InstanceId, MailboxId, ModSeq, ThreadId, Uid,
    UidValidity, UploadId,
    imap::{
        self, Appended, Changes, MessageData, MessageState, No, NoCode, Selected, Snapshot, UidSet,
    },
    mime::{Scanner, Summary},
    smtp::{self, Identity},
};
use rmail_server::session::{Call, Reply};

/// What was asked, and what it left behind.
#[derive(Default)]
pub(crate) struct World {
    /// What sessions asked, in order, for people.
    pub(crate) calls: Vec<String>,
    /// Messages that were accepted by SMTP.
    pub(crate) accepted: Vec<Vec<u8>>,
    /// The messages of INBOX.
    pub(crate) inbox: Vec<Bytes>,
    uploads: BTreeMap<UploadId, Vec<u8>>,
}

impl World {
    /// How many uploads were begun and neither used nor discarded.
    pub(crate) fn open_uploads(&self) -> usize {
        self.uploads.len()
    }

    pub(crate) fn answer(&mut self, call: Call) -> Reply {
        match call {
            Call::Smtp(call, _) => Reply::Smtp(self.answer_smtp(call)),
            Call::Imap(call, _) => Reply::Imap(self.answer_imap(call)),
            Call::Http(_) | Call::SmtpClient(_) | Call::Raw(_) => {
                panic!("the machines are mail servers")
            }
        }
    }

    fn note(&mut self, call: impl Into<String>) {
        self.calls.push(call.into());
    }

    fn receive(&mut self, upload: UploadId, data: &[u8]) {
        let content = self.uploads.entry(upload).or_default();
        content.extend_from_slice(data);
    }

    fn answer_smtp(&mut self, call: smtp::Call) -> smtp::Reply {
        match call {
            smtp::Call::Authenticate { username, .. } => {
                self.note(format!("authenticate {username}"));
                smtp::Reply::Authenticated(Identity {
                    account: AccountId(1),
                    address: Address::parse("alice@example.com").unwrap(),
                })
            }
            smtp::Call::Mail { reverse_path, .. } => {
                let sender = reverse_path.address().map(ToString::to_string);
                self.note(format!("mail {}", sender.unwrap_or_default()));
                smtp::Reply::Permitted
            }
            smtp::Call::Rcpt { forward_path, .. } => {
                self.note(format!("rcpt {forward_path:?}"));
                smtp::Reply::Permitted
            }
            smtp::Call::Chunk { upload, data } => {
                self.receive(upload, &data);
                smtp::Reply::ChunkTaken
            }
            smtp::Call::Message { upload, data, .. } => {
                self.receive(upload, &data);
                let message = self.uploads.remove(&upload).expect("it was just received");
                self.note(format!("message of {} bytes", message.len()));
                self.accepted.push(message);
                smtp::Reply::Accepted
            }
            smtp::Call::Discard { upload } => {
                self.uploads.remove(&upload).expect("it was begun");
                smtp::Reply::Permitted
            }
        }
    }

    fn answer_imap(&mut self, call: imap::Call) -> imap::Reply {
        match call {
            imap::Call::Authenticate { username, .. } => {
                self.note(format!("authenticate {username}"));
                let account = AccountId(1);
                imap::Reply::Authenticated { account }
            }
            imap::Call::Select { name, .. } => {
                self.note(format!("select {name}"));
                imap::Reply::Selected(Box::new(Selected {
                    mailbox: MailboxId(1),
                    uid_validity: uid_validity(),
                    snapshot: self.snapshot(),
                    recent: UidSet::EMPTY,
                }))
            }
            imap::Call::Refresh => imap::Reply::Snapshot {
                snapshot: self.snapshot(),
                recent: UidSet::EMPTY,
            },
            imap::Call::Chunk { upload, data, .. } => {
                self.receive(upload, &data);
                imap::Reply::Done
            }
            imap::Call::Discard { upload } => {
                self.uploads.remove(&upload).expect("it was begun");
                imap::Reply::Done
            }
            imap::Call::AppendCheck { size_bytes, .. } => {
                self.note(format!("append of {size_bytes} bytes"));
                imap::Reply::Done
            }
            imap::Call::Append { messages, .. } => {
                let first = self.inbox.len() + 1;
                for message in messages {
                    let content = self.uploads.remove(&message.upload);
                    self.inbox.push(content.expect("it was received").into());
                }
                self.note(format!("{} messages", self.inbox.len()));
                imap::Reply::Appended(Appended {
                    uid_validity: uid_validity(),
                    uids: (first..=self.inbox.len()).map(uid).collect(),
                })
            }
            imap::Call::Fetch { uids, .. } => imap::Reply::Fetched {
                messages: uids.iter().map(|&uid| self.data(uid)).collect(),
                answered: uids.len(),
            },
            imap::Call::Read {
                uid,
                offset,
                length,
            } => {
                let message = &self.inbox[uid.get() as usize - 1];
                let start = (offset as usize).min(message.len());
                let end = message.len().min(start + length);
                imap::Reply::Bytes(Some(message.slice(start..end)))
            }
            imap::Call::Unselect => imap::Reply::Done,
            call => {
                self.note(format!("{call:?}"));
                let (code, text) = (NoCode::Unavailable, "There is no such thing here".into());
                imap::Reply::No(No { code, text })
            }
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let states = (1..=self.inbox.len()).map(|number| MessageState {
            uid: uid(number),
            flags: Flags::default(),
            modseq: ModSeq(number as u64 + 1),
        });
        Arc::new(Snapshot::default().apply(&Changes {
            modseq: ModSeq(self.inbox.len() as u64 + 1),
            changed: states.collect(),
            vanished: Vec::new(),
            uid_next: Some(uid(self.inbox.len() + 1)),
        }))
    }

    /// Without the content, which is read in pieces.
    fn data(&self, uid: Uid) -> MessageData {
        let content = &self.inbox[uid.get() as usize - 1];
        let mut scanner = Scanner::default();
        scanner.handle_input(content);
        let Summary {
            size_bytes,
            header_bytes,
            envelope,
            body,
            body_structure,
            parts,
            ..
        } = scanner.finish();
        MessageData {
            uid,
            size_bytes,
            internal_date: DateTime::default(),
            email_id: EmailId(1),
            thread_id: ThreadId(1),
            instance_id: InstanceId(1),
            envelope: envelope.into(),
            body: body.into(),
            body_structure: body_structure.into(),
            parts: parts.into(),
            header: content.slice(..header_bytes as usize),
            content: None,
        }
    }
}

fn uid(number: usize) -> Uid {
    Uid::new(number as u32).expect("UIDs count from 1")
}

fn uid_validity() -> UidValidity {
    UidValidity(7.try_into().expect("it is not 0"))
}
