//! The server's side of an SMTP session.

use alloc::{boxed::Box, collections::VecDeque, format, string::String, vec::Vec};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{
    Call, Config, EnhancedCode, Identity, Listener, Recipient, Refusal, Reply, Tls,
    auth::{self, Exchange, Step},
    command::{self, Command},
    dot::{DotDecoder, NewlineCheck},
    header::HeaderFilter,
    reply, trace,
    upload::{Transaction, Upload},
};
use crate::{
    Action, CallId, CallIds, Close, Connection, Entropy, Event, ForwardPath, Instant, Line,
    LineBuffer, Now, SendCredit, Timeout, Timer, TlsInfo, UploadId, limits,
};

/// An SMTP server connection (RFC 5321) as a state machine: port 25, 587 or 465.
///
/// | state | waits for | then |
/// |---|---|---|
/// | handshake | `TlsEstablished` | command, with everything forgotten (RFC 3207 §4.2) |
/// | command | a command line | any state |
/// | exchange | a line of a SASL exchange | exchange, asking, command |
/// | asking | the answer to AUTH, MAIL or RCPT | command |
/// | data | mail data up to CRLF.CRLF | finishing, committing, command, closed |
/// | chunk | the octets of a BDAT | finishing, committing, command |
/// | dropping | the octets of a BDAT that was refused | command |
/// | finishing | answers to the pieces of a complete message | committing, command |
/// | committing | the answer to the last piece | command |
/// | closed | nothing | |
///
/// A client that talks before the greeting is served like any other. `PeerClosed` is to come
/// after the last input was consumed: a message that is complete by then is still committed and
/// answered, everything else ends. On `Shutdown`, what is being received or asked is finished,
/// and 421 takes the place of the next command.
///
/// Permanent refusals are counted, and too many in a row without an accepted message end the
/// session; refusals of a whole message are not, so that they are always heard.
#[derive(Debug)]
pub struct Server {
    config: Config,
    entropy: Entropy,
    state: State,
    /// When the state was entered, or data last came.
    state_since: Instant,
    actions: VecDeque<Action<Call>>,
    calls: CallIds,
    uploads: u64,
    line: LineBuffer,
    credit: SendCredit,
    /// When bytes last went out, or were first queued after all had.
    sent_at: Instant,
    tls: Option<TlsInfo>,
    hello: Option<Hello>,
    identity: Option<Identity>,
    open: Option<Open>,
    started_at: Instant,
    errors: u32,
    auth_failures: u32,
    messages: u32,
    peer_closed: bool,
    shutdown_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Handshake,
    Command,
    Exchange(Exchange),
    Asking { call: CallId, question: Question },
    Data(Box<Data>),
    Chunk(Box<Chunk>),
    Dropping { left_bytes: u64, refusal: Refusal },
    Finishing(Box<(Transaction, Upload)>),
    Committing { call: CallId, id: String },
    Closed(Close),
}

#[derive(Debug)]
enum Question {
    Authenticate,
    Mail(Transaction),
    Rcpt(ForwardPath),
}

/// Mail data after 354.
#[derive(Debug)]
struct Data {
    transaction: Transaction,
    upload: Upload,
    decoder: DotDecoder,
}

/// The octets of one BDAT.
#[derive(Debug)]
struct Chunk {
    transaction: Transaction,
    received: Chunks,
    size_bytes: u64,
    left_bytes: u64,
    last: bool,
}

/// What came by BDAT so far.
#[derive(Debug)]
struct Chunks {
    upload: Upload,
    newlines: NewlineCheck,
}

/// The mail transaction between two commands.
#[derive(Debug)]
struct Open {
    transaction: Transaction,
    /// Since the first BDAT.
    chunks: Option<Chunks>,
}

/// How the client introduced itself.
#[derive(Debug)]
struct Hello {
    name: String,
    extended: bool,
}

impl Server {
    /// Queues the greeting, unless TLS is to come first.
    pub fn new(config: Config, now: Now) -> Self {
        let state = match config.tls {
            Tls::Implicit => State::Handshake,
            Tls::Unavailable | Tls::Offered => State::Command,
        };
        let mut server = Self {
            entropy: Entropy::new(config.seed),
            config,
            state,
            state_since: now.at,
            actions: VecDeque::new(),
            calls: CallIds::default(),
            uploads: 0,
            line: LineBuffer::default(),
            credit: SendCredit::default(),
            sent_at: now.at,
            tls: None,
            hello: None,
            identity: None,
            open: None,
            started_at: now.at,
            errors: 0,
            auth_failures: 0,
            messages: 0,
            peer_closed: false,
            shutdown_at: None,
        };
        if matches!(server.state, State::Command) {
            server.send_greeting(now);
        }
        server
    }

    /// Who has authenticated.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    fn enter(&mut self, now: Now, state: State) {
        self.state = state;
        self.state_since = now.at;
        if !matches!(self.state, State::Command) {
            return;
        }
        if self.peer_closed {
            self.close(now, Close::Flush);
        } else if self.shutdown_at.is_some() {
            self.close_with(now, Refusal::shutting_down());
        }
    }

    fn send(&mut self, now: Now, bytes: Bytes) {
        if self.credit.available_bytes() == limits::SEND_CREDIT_BYTES {
            self.sent_at = now.at;
        }
        self.credit.spend(bytes.len());
        self.actions.push_back(Action::Send(bytes));
    }

    fn send_greeting(&mut self, now: Now) {
        let greeting = format!("220 {} ESMTP rmail\r\n", self.config.hostname);
        self.send(now, greeting.into());
    }

    /// A positive reply, after which the next command is awaited.
    fn reply(&mut self, now: Now, code: u16, enhanced: EnhancedCode, text: &str) {
        self.send(now, reply::write_reply(code, enhanced, text));
        self.enter(now, State::Command);
    }

    /// A negative reply to a command.
    fn refuse(&mut self, now: Now, refusal: Refusal) {
        if refusal.is_final() {
            return self.close_with(now, refusal);
        }
        self.send(now, reply::write_refusal(&refusal));
        if !refusal.is_transient() {
            self.errors += 1;
        }
        if self.errors >= limits::SMTP_ERRORS_MAX {
            return self.close_with(now, Refusal::too_many_errors());
        }
        self.enter(now, State::Command);
    }

    /// A negative reply to a whole message.
    fn refuse_message(&mut self, now: Now, refusal: Refusal) {
        if refusal.is_final() {
            return self.close_with(now, refusal);
        }
        self.send(now, reply::write_refusal(&refusal));
        self.enter(now, State::Command);
    }

    /// A negative reply to AUTH or a line of its exchange.
    fn refuse_auth(&mut self, now: Now, refusal: Refusal) {
        if refusal.code != Refusal::credentials_invalid().code {
            return self.refuse(now, refusal);
        }
        self.auth_failures += 1;
        self.send(now, reply::write_refusal(&refusal));
        if self.auth_failures >= limits::SMTP_AUTH_FAILURES_MAX {
            return self.close_with(now, Refusal::too_many_auth_failures());
        }
        self.enter(now, State::Command);
    }

    fn close_with(&mut self, now: Now, refusal: Refusal) {
        self.send(now, reply::write_refusal(&refusal));
        self.close(now, Close::Flush);
    }

    /// Drops what was begun, and ends the connection.
    fn close(&mut self, now: Now, close: Close) {
        let state = core::mem::replace(&mut self.state, State::Closed(close));
        match state {
            State::Asking { call, .. } => self.actions.push_back(Action::Cancel(call)),
            State::Data(data) => self.drop_upload(data.upload),
            State::Chunk(chunk) => self.drop_upload(chunk.received.upload),
            State::Finishing(message) => self.drop_upload(message.1),
            // A message whose last piece is with the world is the world's.
            State::Committing { .. } => {}
            State::Handshake
            | State::Command
            | State::Exchange(_)
            | State::Dropping { .. }
            | State::Closed(_) => {}
        }
        self.reset_transaction();
        self.line.clear();
        self.state_since = now.at;
        self.actions.push_back(Action::Close(close));
    }

    fn reset_transaction(&mut self) {
        if let Some(Open {
            chunks: Some(chunks),
            ..
        }) = self.open.take()
        {
            self.drop_upload(chunks.upload);
        }
    }

    fn drop_upload(&mut self, mut upload: Upload) {
        upload.refuse(Refusal::temporary_failure());
        queue_calls(&mut upload, &mut self.calls, &mut self.actions);
    }

    fn ask(&mut self, now: Now, call: Call, question: Question) {
        let id = self.calls.allocate();
        self.actions.push_back(Action::Call(id, call));
        self.enter(now, State::Asking { call: id, question });
    }
}

// Command lines.
impl Server {
    fn handle_line(&mut self, now: Now, input: &[u8]) -> usize {
        let in_exchange = matches!(self.state, State::Exchange(_));
        let bytes_max = match in_exchange || self.decide_auth().is_ok() {
            true => limits::SMTP_AUTH_LINE_BYTES,
            false => limits::SMTP_COMMAND_LINE_BYTES,
        };
        let (consumed, line) = self.line.handle_input(input, bytes_max);
        match line {
            Line::Incomplete => {}
            Line::TooLong if in_exchange => self.refuse(now, Refusal::auth_line_too_long()),
            Line::TooLong => self.refuse(now, Refusal::line_too_long()),
            Line::BareNewline => self.close_with(now, Refusal::bare_newline_in_command()),
            Line::Complete(line) => {
                let line = Zeroizing::new(line);
                match core::str::from_utf8(&line) {
                    Err(_) => self.refuse(now, Refusal::line_not_utf8()),
                    Ok(line) if in_exchange => self.handle_response(now, line),
                    Ok(line) => self.handle_command(now, line),
                }
            }
        }
        consumed
    }

    fn handle_command(&mut self, now: Now, line: &str) {
        let too_long = line.len() + 2 > limits::SMTP_COMMAND_LINE_BYTES;
        if too_long && !command::is_auth(line.as_bytes()) {
            return self.refuse(now, Refusal::line_too_long());
        }
        let command = match command::parse_command(line) {
            Ok(command) => command,
            // Where the octets of a faulty BDAT end, nobody knows: they are not to be taken for
            // commands.
            Err(refusal) if command::is_bdat(line.as_bytes()) => {
                self.send(now, reply::write_refusal(&refusal));
                return self.close(now, Close::Flush);
            }
            Err(refusal) => return self.refuse(now, refusal),
        };
        match command {
            Command::Ehlo { name } => self.handle_hello(now, name, true),
            Command::Helo { name } => self.handle_hello(now, name, false),
            Command::Mail(mail) => self.handle_mail(now, mail),
            Command::Rcpt { forward_path } => self.handle_rcpt(now, forward_path),
            Command::Data => self.handle_data_command(now),
            Command::Bdat { size_bytes, last } => self.handle_bdat(now, size_bytes, last),
            Command::Rset => {
                self.reset_transaction();
                self.reply(now, 250, EnhancedCode(2, 0, 0), "Ok");
            }
            Command::Noop => self.reply(now, 250, EnhancedCode(2, 0, 0), "Ok"),
            Command::Vrfy => {
                let text = "Cannot verify, but will take mail and try to deliver it";
                self.reply(now, 252, EnhancedCode(2, 0, 0), text);
            }
            Command::Help => {
                let text = "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT; see RFC 5321";
                self.reply(now, 214, EnhancedCode(2, 0, 0), text);
            }
            Command::Quit => {
                let bye = reply::write_reply(221, EnhancedCode(2, 0, 0), "Bye");
                self.send(now, bye);
                self.close(now, Close::Flush);
            }
            Command::StartTls => self.handle_starttls(now),
            Command::Auth { mechanism, initial } => self.handle_auth(now, mechanism, initial),
            Command::NotOffered => self.refuse(now, Refusal::command_not_implemented()),
        }
    }

    fn handle_hello(&mut self, now: Now, name: &str, extended: bool) {
        self.reset_transaction();
        self.hello = Some(Hello {
            name: name.into(),
            extended,
        });
        let keywords = if extended {
            self.keywords()
        } else {
            Vec::new()
        };
        self.send(
            now,
            reply::write_ehlo(self.config.hostname.as_str(), &keywords),
        );
        self.enter(now, State::Command);
    }

    /// What is honoured here and now, and nothing else.
    fn keywords(&self) -> Vec<String> {
        let config = &self.config;
        let mut keywords = Vec::new();
        for keyword in [
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "ENHANCEDSTATUSCODES",
        ] {
            keywords.push(keyword.into());
        }
        keywords.push(format!("SIZE {}", config.message_bytes_max));
        // Values of 1 to 6 digits (RFC 9422 §3).
        let (recipients, messages) = (config.recipients_max, config.messages_max);
        let limit = |limit: u32| limit.clamp(1, 999_999);
        keywords.push(format!(
            "LIMITS RCPTMAX={} MAILMAX={}",
            limit(recipients),
            limit(messages)
        ));
        if self.is_starttls_offered() {
            keywords.push("STARTTLS".into());
        }
        if self.decide_auth().is_ok() {
            keywords.push("AUTH PLAIN LOGIN".into());
        }
        keywords.push("HELP".into());
        keywords
    }

    fn is_submission(&self) -> bool {
        match self.config.listener {
            Listener::Inbound => false,
            Listener::Submission | Listener::ImplicitTlsSubmission => true,
        }
    }

    fn is_starttls_offered(&self) -> bool {
        self.config.tls == Tls::Offered && self.tls.is_none()
    }

    fn handle_starttls(&mut self, now: Now) {
        match self.config.tls {
            Tls::Unavailable => self.refuse(now, Refusal::command_not_implemented()),
            Tls::Offered | Tls::Implicit if self.tls.is_some() => {
                self.refuse(now, Refusal::not_allowed_here());
            }
            Tls::Offered | Tls::Implicit => {
                self.reset_transaction();
                let ready = reply::write_reply(220, EnhancedCode(2, 0, 0), "Ready to start TLS");
                self.send(now, ready);
                self.actions.push_back(Action::StartTls);
                self.enter(now, State::Handshake);
            }
        }
    }

    fn handle_tls_established(&mut self, now: Now, tls: TlsInfo) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.tls = Some(tls);
        self.hello = None;
        self.identity = None;
        self.line.clear();
        if self.config.tls == Tls::Implicit {
            self.send_greeting(now);
        }
        self.enter(now, State::Command);
    }

    /// Whether AUTH may be used (RFC 4954 §4).
    fn decide_auth(&self) -> Result<(), Refusal> {
        if !self.is_submission() {
            return Err(Refusal::not_allowed_here());
        }
        if self.hello.is_none() {
            return Err(Refusal::hello_required());
        }
        if self.identity.is_some() || self.open.is_some() {
            return Err(Refusal::not_allowed_here());
        }
        if self.is_starttls_offered() {
            return Err(Refusal::encryption_required());
        }
        Ok(())
    }

    fn handle_auth(&mut self, now: Now, mechanism: &str, initial: Option<&str>) {
        if let Err(refusal) = self.decide_auth() {
            return self.refuse(now, refusal);
        }
        let Some(exchange) = Exchange::new(mechanism) else {
            return self.refuse(now, Refusal::mechanism_unknown());
        };
        match initial {
            None => self.challenge(now, exchange),
            Some(initial) => {
                let step = exchange.handle_response(auth::initial_response(initial));
                self.handle_step(now, step);
            }
        }
    }

    fn challenge(&mut self, now: Now, exchange: Exchange) {
        // A 334 has no enhanced status code: its text is the challenge (RFC 4954 §4).
        let challenge = format!("334 {}\r\n", exchange.challenge());
        self.send(now, challenge.into());
        self.enter(now, State::Exchange(exchange));
    }

    fn handle_response(&mut self, now: Now, line: &str) {
        let State::Exchange(exchange) = core::mem::replace(&mut self.state, State::Command) else {
            return;
        };
        match line {
            "*" => self.refuse(now, Refusal::auth_cancelled()),
            response => self.handle_step(now, exchange.handle_response(response)),
        }
    }

    fn handle_step(&mut self, now: Now, step: Result<Step, Refusal>) {
        match step {
            Ok(Step::Continue(exchange)) => self.challenge(now, exchange),
            Ok(Step::Credentials { username, password }) => {
                let call = Call::Authenticate { username, password };
                self.ask(now, call, Question::Authenticate);
            }
            Err(refusal) => self.refuse_auth(now, refusal),
        }
    }
}

// The mail transaction.
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

    fn handle_mail(&mut self, now: Now, mail: command::Mail) {
        if let Err(refusal) = self.decide_mail(&mail) {
            return self.refuse(now, refusal);
        }
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

    fn handle_rcpt(&mut self, now: Now, forward_path: ForwardPath) {
        match self.decide_rcpt(&forward_path) {
            Err(refusal) => self.refuse(now, refusal),
            Ok(size_bytes) => {
                let call = Call::Rcpt {
                    forward_path: forward_path.clone(),
                    size_bytes,
                    identity: self.identity.clone(),
                };
                self.ask(now, call, Question::Rcpt(forward_path));
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

    fn handle_data_command(&mut self, now: Now) {
        if let Err(refusal) = self.decide_content() {
            return self.refuse(now, refusal);
        }
        match self.open.take() {
            Some(Open {
                transaction,
                chunks: None,
            }) => {
                let upload = self.start_upload(now, &transaction);
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

    fn handle_bdat(&mut self, now: Now, size_bytes: u64, last: bool) {
        let decision = self.decide_content();
        let Some(Open {
            transaction,
            chunks,
        }) = self.open.take_if(|_| decision.is_ok())
        else {
            // The octets come all the same (RFC 3030 §4.2).
            self.reset_transaction();
            let refusal = decision.err().unwrap_or_else(Refusal::mail_required);
            self.enter(
                now,
                State::Dropping {
                    left_bytes: size_bytes,
                    refusal,
                },
            );
            return self.handle_dropped(now, 0);
        };
        let received = chunks.unwrap_or_else(|| Chunks {
            upload: self.start_upload(now, &transaction),
            newlines: NewlineCheck::default(),
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

    fn handle_dropped(&mut self, now: Now, bytes: u64) {
        self.state_since = now.at;
        if let State::Dropping {
            left_bytes,
            refusal,
        } = &mut self.state
        {
            *left_bytes -= bytes.min(*left_bytes);
            if *left_bytes == 0 {
                let refusal = refusal.clone();
                self.refuse(now, refusal);
            }
        }
    }

    fn handle_data(&mut self, now: Now, input: &[u8]) -> usize {
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
        if consumed > 0 {
            self.state_since = now.at;
        }
        queue_calls(upload, &mut self.calls, &mut self.actions);
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

    fn refuse_broken(&mut self, now: Now) {
        self.send(now, reply::write_refusal(&Refusal::bare_newline()));
        self.close(now, Close::Flush);
    }

    fn handle_chunk(&mut self, now: Now, input: &[u8]) -> usize {
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
        if take > 0 {
            self.state_since = now.at;
        }
        queue_calls(upload, &mut self.calls, &mut self.actions);
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

    fn continue_message(&mut self, now: Now, transaction: Transaction, mut upload: Upload) {
        queue_calls(&mut upload, &mut self.calls, &mut self.actions);
        if let Some(refusal) = upload.refusal() {
            let refusal = refusal.clone();
            return self.refuse_message(now, refusal);
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

// Answers of the world, and time.
impl Server {
    fn handle_reply(&mut self, now: Now, id: CallId, reply: Reply) {
        match core::mem::replace(&mut self.state, State::Command) {
            State::Asking { call, question } if call == id => {
                self.handle_answer(now, question, reply);
            }
            State::Committing { call, id: message } if call == id => match reply {
                Reply::Accepted => {
                    self.messages += 1;
                    self.errors = 0;
                    let text = format!("Ok: queued as {message}");
                    self.reply(now, 250, EnhancedCode(2, 0, 0), &text);
                }
                reply => self.refuse_message(now, refusal_in(reply)),
            },
            State::Finishing(message) => {
                let (transaction, mut upload) = *message;
                match upload.handle_answer(id, chunk_answer(reply)) {
                    true => self.continue_message(now, transaction, upload),
                    false => self.state = State::Finishing(Box::new((transaction, upload))),
                }
            }
            state => {
                self.state = state;
                self.handle_chunk_answer(now, id, chunk_answer(reply));
            }
        }
    }

    fn handle_chunk_answer(&mut self, now: Now, id: CallId, answer: Result<(), Refusal>) {
        let upload = match &mut self.state {
            State::Data(data) => &mut data.upload,
            State::Chunk(chunk) => &mut chunk.received.upload,
            State::Handshake
            | State::Command
            | State::Exchange(_)
            | State::Asking { .. }
            | State::Dropping { .. }
            | State::Finishing(_)
            | State::Committing { .. }
            | State::Closed(_) => match &mut self.open {
                Some(Open {
                    chunks: Some(chunks),
                    ..
                }) => &mut chunks.upload,
                Some(Open { chunks: None, .. }) | None => return,
            },
        };
        if upload.handle_answer(id, answer) {
            queue_calls(upload, &mut self.calls, &mut self.actions);
            if matches!(self.state, State::Data(_) | State::Chunk(_)) {
                self.state_since = now.at;
            }
        }
    }

    fn handle_answer(&mut self, now: Now, question: Question, reply: Reply) {
        match (question, reply) {
            (Question::Authenticate, Reply::Authenticated(identity)) => {
                self.identity = Some(identity);
                let text = "Authentication successful";
                self.reply(now, 235, EnhancedCode(2, 7, 0), text);
            }
            (Question::Authenticate, reply) => self.refuse_auth(now, refusal_in(reply)),
            (Question::Mail(transaction), Reply::Permitted) => {
                self.open = Some(Open {
                    transaction,
                    chunks: None,
                });
                self.reply(now, 250, EnhancedCode(2, 1, 0), "Sender ok");
            }
            (Question::Rcpt(path), Reply::Permitted) => {
                if let Some(open) = &mut self.open {
                    open.transaction.recipients.push(Recipient { path });
                }
                self.reply(now, 250, EnhancedCode(2, 1, 5), "Recipient ok");
            }
            (Question::Mail(_) | Question::Rcpt(_), reply) => {
                self.refuse(now, refusal_in(reply));
            }
        }
    }

    fn handle_peer_closed(&mut self, now: Now) {
        match &self.state {
            State::Closed(_) => {}
            State::Finishing(_) | State::Committing { .. } => self.peer_closed = true,
            State::Handshake
            | State::Command
            | State::Exchange(_)
            | State::Asking { .. }
            | State::Data(_)
            | State::Chunk(_)
            | State::Dropping { .. } => self.close(now, Close::Flush),
        }
    }

    fn handle_shutdown(&mut self, now: Now, grace_until: Instant) {
        match &self.state {
            State::Closed(_) => {}
            State::Handshake => self.close(now, Close::Abort),
            State::Command | State::Exchange(_) => {
                self.close_with(now, Refusal::shutting_down());
            }
            State::Asking { .. }
            | State::Data(_)
            | State::Chunk(_)
            | State::Dropping { .. }
            | State::Finishing(_)
            | State::Committing { .. } => self.shutdown_at = Some(grace_until),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        let Some(timeout) = self.poll_timeout().filter(|timeout| timeout.at <= now.at) else {
            return;
        };
        match timeout.timer {
            Timer::Data if self.is_data_broken() => self.refuse_broken(now),
            Timer::Command | Timer::Data | Timer::Login => {
                self.close_with(now, Refusal::timeout());
            }
            Timer::Shutdown => self.close_with(now, Refusal::shutting_down()),
            Timer::Handshake | Timer::Send => self.close(now, Close::Abort),
            Timer::Penalty | Timer::KeepAlive => {}
        }
    }

    /// Whether mail data holds a bare CR or LF, so that the client may wait for an answer to an
    /// end that was none.
    fn is_data_broken(&self) -> bool {
        matches!(&self.state, State::Data(data) if data.decoder.is_broken())
    }

    /// The deadline of the state. None while the world, and not the peer, is waited for.
    fn state_timeout(&self) -> Option<Timeout> {
        let (timer, duration) = match &self.state {
            State::Handshake => (Timer::Handshake, limits::TLS_HANDSHAKE_TIMEOUT),
            State::Command | State::Exchange(_) => (Timer::Command, limits::SMTP_COMMAND_TIMEOUT),
            State::Data(data) if data.upload.room_bytes() == 0 => return None,
            State::Chunk(chunk) if chunk.received.upload.room_bytes() == 0 => return None,
            State::Data(_) | State::Chunk(_) | State::Dropping { .. } => {
                (Timer::Data, limits::SMTP_DATA_TIMEOUT)
            }
            State::Asking { .. }
            | State::Finishing(_)
            | State::Committing { .. }
            | State::Closed(_) => return None,
        };
        Some(Timeout {
            at: self.state_since + duration,
            timer,
        })
    }

    fn login_timeout(&self) -> Option<Timeout> {
        let waits = matches!(self.state, State::Command | State::Exchange(_));
        let anonymous = self.is_submission() && self.identity.is_none();
        let at = self.started_at + limits::SMTP_LOGIN_TIMEOUT;
        (waits && anonymous).then_some(Timeout {
            at,
            timer: Timer::Login,
        })
    }

    fn send_timeout(&self) -> Option<Timeout> {
        let unsent = self.credit.available_bytes() < limits::SEND_CREDIT_BYTES;
        let aborted = matches!(self.state, State::Closed(Close::Abort));
        let at = self.sent_at + limits::SEND_TIMEOUT;
        (unsent && !aborted).then_some(Timeout {
            at,
            timer: Timer::Send,
        })
    }

    fn shutdown_timeout(&self) -> Option<Timeout> {
        let closed = matches!(self.state, State::Closed(_));
        let at = self.shutdown_at.filter(|_| !closed)?;
        Some(Timeout {
            at,
            timer: Timer::Shutdown,
        })
    }
}

impl Connection for Server {
    type Call = Call;
    type Reply = Reply;

    fn handle_input(&mut self, now: Now, input: &[u8]) -> usize {
        if input.is_empty() {
            return 0;
        }
        match &self.state {
            State::Command | State::Exchange(_) if self.credit.is_exhausted() => 0,
            State::Command | State::Exchange(_) => self.handle_line(now, input),
            State::Data(_) => self.handle_data(now, input),
            State::Chunk(_) => self.handle_chunk(now, input),
            State::Dropping { left_bytes, .. } => {
                let left = usize::try_from(*left_bytes).unwrap_or(usize::MAX);
                let take = input.len().min(limits::UPLOAD_CHUNK_BYTES).min(left);
                self.handle_dropped(now, take as u64);
                take
            }
            State::Handshake
            | State::Asking { .. }
            | State::Finishing(_)
            | State::Committing { .. }
            | State::Closed(_) => 0,
        }
    }

    fn handle_event(&mut self, now: Now, event: Event<Reply>) {
        match event {
            Event::TlsEstablished(tls) => self.handle_tls_established(now, tls),
            Event::Reply(id, reply) => self.handle_reply(now, id, reply),
            // The world looks at the account again with each MAIL.
            Event::Notice(_) => {}
            Event::Sent(bytes) => {
                self.credit.give_back(bytes);
                self.sent_at = now.at;
            }
            Event::Timeout => self.handle_timeout(now),
            Event::PeerClosed => self.handle_peer_closed(now),
            Event::Shutdown { grace_until } => self.handle_shutdown(now, grace_until),
        }
    }

    fn poll_action(&mut self) -> Option<Action<Call>> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timeout> {
        [
            self.state_timeout(),
            self.login_timeout(),
            self.send_timeout(),
            self.shutdown_timeout(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|timeout| timeout.at)
    }
}

fn queue_calls(upload: &mut Upload, calls: &mut CallIds, actions: &mut VecDeque<Action<Call>>) {
    while let Some((id, call)) = upload.poll_call(calls) {
        actions.push_back(Action::Call(id, call));
    }
}

/// The refusal in an answer that is not the hoped-for one.
fn refusal_in(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        Reply::Authenticated(_) | Reply::Permitted | Reply::ChunkTaken | Reply::Accepted => {
            Refusal::temporary_failure()
        }
    }
}

fn chunk_answer(reply: Reply) -> Result<(), Refusal> {
    match reply {
        Reply::ChunkTaken => Ok(()),
        reply => Err(refusal_in(reply)),
    }
}
