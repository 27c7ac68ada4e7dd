//! The mail transaction: MAIL, RCPT, and the content by DATA or BDAT.

use alloc::{boxed::Box, format, vec::Vec};

use bytes::Bytes;

use super::{Chunk, Chunks, Data, Dropped, Open, Question, Server, State, queue_calls};
use crate::{
    Action, Close, ForwardPath, Now, UploadId, limits,
    pace::Pace,
    smtp::{
        Call, EnhancedCode, Recipient, Refusal, command,
        dot::{DotDecoder, NewlineCheck},
        header::HeaderFilter,
        reply, trace,
        upload::{Transaction, Upload},
    },
};

impl Server {
    fn decide_mail(&self, mail: &command::Mail) -> Result<(), Refusal> {
        if self.hello.is_none() {
            return Err(Refusal::hello_required());
        }
        if self.is_submission() && self.identity.is_none() {
            return Err(Refusal::authentication_required());
        }
        match &self.open {
            Some(Open {
                chunks: Some(_), ..
            }) => return Err(Refusal::chunks_begun()),
            Some(Open { chunks: None, .. }) => return Err(Refusal::nested_mail()),
            None => {}
        }
        if self.messages >= self.config.messages_max {
            return Err(Refusal::too_many_messages());
        }
        if mail.auth && !self.is_submission() {
            return Err(Refusal::parameter_unknown());
        }
        if mail.size_bytes > self.config.message_bytes_max {
            return Err(Refusal::message_too_large());
        }
        let ascii = mail
            .reverse_path
            .address()
            .is_none_or(|address| address.is_ascii());
        if !ascii && !mail.smtputf8 {
            return Err(Refusal::smtputf8_required());
        }
        Ok(())
    }

    pub(super) fn handle_mail(&mut self, now: Now, mail: command::Mail) {
        if let Err(refusal) = self.decide_mail(&mail) {
            return self.refuse(now, refusal);
        }
        self.refused_chunks = false;
        let call = Call::Mail {
            reverse_path: mail.reverse_path.clone(),
            identity: self.identity.clone(),
            size_bytes: mail.size_bytes,
        };
        let transaction = Transaction {
            reverse_path: mail.reverse_path,
            recipients: Vec::new(),
            size_bytes: mail.size_bytes,
            smtputf8: mail.smtputf8,
            eight_bit_mime: mail.eight_bit_mime,
            notice: mail.notice,
        };
        self.ask(now, call, Question::Mail(transaction));
    }

    fn decide_rcpt(&self, forward_path: &ForwardPath) -> Result<u64, Refusal> {
        let open = self.open.as_ref().ok_or_else(Refusal::mail_required)?;
        if open.chunks.is_some() {
            return Err(Refusal::chunks_begun());
        }
        let ascii = match forward_path {
            ForwardPath::Postmaster => true,
            ForwardPath::Address(address) => address.is_ascii(),
        };
        if !ascii && !open.transaction.smtputf8 {
            return Err(Refusal::smtputf8_required());
        }
        if open.transaction.recipients.len() >= self.config.recipients_max as usize {
            return Err(Refusal::too_many_recipients());
        }
        Ok(open.transaction.size_bytes)
    }

    pub(super) fn handle_rcpt(&mut self, now: Now, recipient: Recipient) {
        match self.decide_rcpt(&recipient.path) {
            Err(refusal) => self.refuse(now, refusal),
            Ok(size_bytes) => {
                let call = Call::Rcpt {
                    forward_path: recipient.path.clone(),
                    size_bytes,
                    identity: self.identity.clone(),
                };
                self.ask(now, call, Question::Rcpt(recipient));
            }
        }
    }

    /// Whether content may come now.
    fn decide_content(&self) -> Result<(), Refusal> {
        let open = self.open.as_ref().ok_or_else(Refusal::mail_required)?;
        match open.transaction.recipients.is_empty() {
            true => Err(Refusal::no_recipients()),
            false => Ok(()),
        }
    }

    pub(super) fn handle_data_command(&mut self, now: Now) {
        if let Err(refusal) = self.decide_content() {
            return self.refuse(now, refusal);
        }
        match self.open.take() {
            Some(Open {
                transaction,
                chunks: None,
            }) => {
                let upload = self.start_upload(now, &transaction);
                self.start_pace(now);
                let go_ahead = "354 End data with <CR><LF>.<CR><LF>\r\n";
                self.send(now, Bytes::from_static(go_ahead.as_bytes()));
                let decoder = DotDecoder::new();
                let data = Data {
                    transaction,
                    upload,
                    decoder,
                };
                self.enter(now, State::Data(Box::new(data)));
            }
            open => {
                self.open = open;
                self.refuse(now, Refusal::chunks_begun());
            }
        }
    }

    fn start_upload(&mut self, now: Now, transaction: &Transaction) -> Upload {
        self.uploads += 1;
        let id = trace::write_id(&mut self.entropy, now.unix);
        let hello = self.hello.as_ref();
        let with = trace::With {
            extended: hello.is_some_and(|hello| hello.extended),
            utf8: transaction.smtputf8,
            tls: self.tls.is_some(),
            authenticated: self.identity.is_some(),
        };
        let text = trace::write_trace(&trace::Trace {
            reverse_path: &transaction.reverse_path,
            name: hello.map_or("unknown", |hello| hello.name.as_str()),
            peer: self.config.peer,
            tls: self.tls.as_ref(),
            hostname: &self.config.hostname,
            with,
            id: &id,
            recipient: match transaction.recipients.as_slice() {
                [only] => Some(&only.path),
                _ => None,
            },
            date: now.unix,
        });
        let filter = self
            .is_submission()
            .then(|| HeaderFilter::new(&id, &self.config.hostname, now.unix));
        let upload = UploadId(self.uploads);
        Upload::new(upload, id, &text, filter, self.config.message_bytes_max)
    }

    pub(super) fn handle_bdat(&mut self, now: Now, size_bytes: u64, last: bool) {
        let decision = self.decide_content();
        let Some(Open {
            transaction,
            chunks,
        }) = self.open.take_if(|_| decision.is_ok())
        else {
            // The octets come all the same (RFC 3030 §4.2).
            self.reset_transaction();
            self.start_pace(now);
            let refusal = decision.err().unwrap_or_else(Refusal::mail_required);
            let counts = !core::mem::replace(&mut self.refused_chunks, !last);
            let dropped = Dropped {
                left_bytes: size_bytes,
                refusal,
                counts,
            };
            self.enter(now, State::Dropping(dropped));
            return self.handle_dropped(now, 0);
        };
        let received = chunks.unwrap_or_else(|| {
            self.start_pace(now);
            Chunks {
                upload: self.start_upload(now, &transaction),
                newlines: NewlineCheck::default(),
            }
        });
        let left_bytes = size_bytes;
        let chunk = Chunk {
            transaction,
            received,
            size_bytes,
            left_bytes,
            last,
        };
        self.enter(now, State::Chunk(Box::new(chunk)));
        if size_bytes == 0 {
            self.end_chunk(now);
        }
    }

    fn start_pace(&mut self, now: Now) {
        self.pace = Pace::start(now.at, limits::SMTP_DATA_TIMEOUT);
    }

    pub(super) fn handle_dropped(&mut self, now: Now, bytes: usize) {
        self.pace.advance(now.at, bytes);
        let State::Dropping(dropped) = &mut self.state else {
            return;
        };
        dropped.left_bytes -= (bytes as u64).min(dropped.left_bytes);
        if dropped.left_bytes > 0 {
            return;
        }
        let refusal = dropped.refusal.clone();
        if dropped.counts {
            return self.refuse(now, refusal);
        }
        self.send(now, reply::write_refusal(&refusal));
        self.enter(now, State::Command);
    }

    pub(super) fn handle_data(&mut self, now: Now, input: &[u8]) -> usize {
        let State::Data(data) = &mut self.state else {
            return 0;
        };
        let Data {
            upload, decoder, ..
        } = &mut **data;
        let take = input.len().min(upload.room_bytes());
        let (consumed, ended) = decoder.decode(&input[..take], |run| upload.write(run));
        if decoder.is_broken() {
            upload.refuse(Refusal::bare_newline());
        }
        queue_calls(upload, &mut self.calls, &mut self.actions);
        keep_pace(&mut self.pace, now, consumed, upload);
        if ended {
            self.end_data(now);
        }
        consumed
    }

    fn end_data(&mut self, now: Now) {
        let State::Data(data) = core::mem::replace(&mut self.state, State::Command) else {
            return;
        };
        if data.decoder.is_broken() {
            // What follows can't be trusted: a peer before us may have seen another end.
            return self.refuse_broken(now);
        }
        self.end_message(now, data.transaction, data.upload);
    }

    pub(super) fn refuse_broken(&mut self, now: Now) {
        self.send(now, reply::write_refusal(&Refusal::bare_newline()));
        self.close(now, Close::Flush);
    }

    pub(super) fn handle_chunk(&mut self, now: Now, input: &[u8]) -> usize {
        let State::Chunk(chunk) = &mut self.state else {
            return 0;
        };
        let Chunks { upload, newlines } = &mut chunk.received;
        let left = usize::try_from(chunk.left_bytes).unwrap_or(usize::MAX);
        let take = input.len().min(upload.room_bytes()).min(left);
        if newlines.is_clean(&input[..take]) {
            upload.write(&input[..take]);
        } else {
            upload.refuse(Refusal::bare_newline());
        }
        chunk.left_bytes -= take as u64;
        let ended = chunk.left_bytes == 0;
        queue_calls(upload, &mut self.calls, &mut self.actions);
        keep_pace(&mut self.pace, now, take, upload);
        if ended {
            self.end_chunk(now);
        }
        take
    }

    fn end_chunk(&mut self, now: Now) {
        let State::Chunk(chunk) = core::mem::replace(&mut self.state, State::Command) else {
            return;
        };
        let Chunk {
            transaction,
            mut received,
            size_bytes,
            last,
            ..
        } = *chunk;
        if last && !received.newlines.is_closed() {
            received.upload.refuse(Refusal::bare_newline());
        }
        if last || received.upload.refusal().is_some() {
            // After a refused chunk the transaction is over (RFC 3030 §4.2).
            self.refused_chunks = !last;
            return self.end_message(now, transaction, received.upload);
        }
        self.open = Some(Open {
            transaction,
            chunks: Some(received),
        });
        let text = format!("{size_bytes} octets received");
        self.reply(now, 250, EnhancedCode(2, 0, 0), &text);
    }

    /// Every octet of the message is here, or it is refused.
    fn end_message(&mut self, now: Now, transaction: Transaction, mut upload: Upload) {
        upload.finish();
        self.continue_message(now, transaction, upload);
    }

    pub(super) fn continue_message(
        &mut self,
        now: Now,
        transaction: Transaction,
        mut upload: Upload,
    ) {
        queue_calls(&mut upload, &mut self.calls, &mut self.actions);
        if let Some(refusal) = upload.refusal() {
            let refusal = refusal.clone();
            return self.refuse(now, refusal);
        }
        match upload.into_last_piece() {
            Err(upload) => self.enter(now, State::Finishing(Box::new((transaction, upload)))),
            Ok(last) => {
                let id = last.id.clone();
                let call = self.calls.allocate();
                let message = last.into_call(transaction, self.identity.clone());
                self.actions.push_back(Action::Call(call, message));
                self.enter(now, State::Committing { call, id });
            }
        }
    }
}

/// So many bytes of a message came. While the world has no room for more, the peer is not late.
fn keep_pace(pace: &mut Pace, now: Now, bytes: usize, upload: &Upload) {
    pace.advance(now.at, bytes);
    if upload.room_bytes() == 0 {
        pace.pause(now.at);
    }
}
