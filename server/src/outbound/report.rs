//! Reports to the sender (RFC 3464): what has become of a message, in the peer's own words.

use std::fmt::Write as _;

use rmail_proto::{
    Address, DateTime, Domain, ForwardPath, UnixTime,
    mime::{Scanner, Summary},
    smtp::{EnhancedCode, MailNotice, Recipient, Return, decode_xtext},
};
use rmail_store::{Content, SpoolId, StageId, Store, StoreError, Told};

use crate::limits;

/// What is reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It can't be delivered.
    Failure,
    /// It takes longer; delivery is tried until then.
    Delay {
        /// When it is given up.
        until: UnixTime,
    },
    /// It has been delivered, or went where no report comes from.
    Success,
}

/// The message that is reported on.
#[derive(Clone, Debug)]
pub struct Original {
    /// Its entry.
    pub spool: SpoolId,
    /// Its id in the Received field.
    pub envelope_id: String,
    /// When it was accepted.
    pub accepted_at: UnixTime,
    /// What its sender wants.
    pub notice: MailNotice,
    /// Bytes of the header.
    pub header_bytes: u64,
    /// Bytes in all.
    pub size_bytes: u64,
    /// Whether it came with SMTPUTF8.
    pub smtputf8: bool,
}

/// What has become of a recipient.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Who.
    pub recipient: Recipient,
    /// `failed`, `delayed`, `delivered`, `relayed` or `expanded` (RFC 3464 §2.3.3).
    pub action: &'static str,
    /// The status code (RFC 3463).
    pub status: EnhancedCode,
    /// By whose words.
    pub told: Told,
    /// Whether these are the words of an SMTP server.
    pub is_reply: bool,
}

/// A report that is to be written.
#[derive(Clone, Debug)]
pub struct Report {
    /// The new message's id.
    pub id: String,
    /// The server's name.
    pub hostname: Domain,
    /// The time.
    pub now: UnixTime,
    /// The sender of the original.
    pub to: Address,
    /// What is reported.
    pub kind: Kind,
    /// On what.
    pub original: Original,
    /// On whom; not empty.
    pub recipients: Vec<Reported>,
}

impl Report {
    /// Writes it, with the original's header or all of it.
    ///
    /// # Errors
    ///
    /// Those of the store; nothing is left behind then.
    pub fn compose(&self, store: &dyn Store) -> Result<(Content, Summary), StoreError> {
        let mut sink = Sink::new(store);
        let written = self.write(store, &mut sink);
        match written.and_then(|()| sink.finish()) {
            Ok(done) => Ok(done),
            Err(error) => {
                if let Some(stage) = sink.stage {
                    store.stage_drop(stage);
                }
                Err(error)
            }
        }
    }

    /// Whether all of the original comes back.
    fn is_full(&self) -> bool {
        self.kind == Kind::Failure && self.original.notice.ret == Some(Return::Full)
    }

    /// Whether addresses or headers are in UTF-8.
    pub fn is_utf8(&self) -> bool {
        let is_ascii = |reported: &Reported| match &reported.recipient.path {
            ForwardPath::Postmaster => true,
            ForwardPath::Address(address) => address.is_ascii(),
        };
        self.original.smtputf8 || !self.to.is_ascii() || !self.recipients.iter().all(is_ascii)
    }

    fn write(&self, store: &dyn Store, sink: &mut Sink<'_>) -> Result<(), StoreError> {
        let boundary = format!("=_{}", self.id);
        sink.write(self.head(&boundary).as_bytes())?;
        let (start, end) = (
            self.return_path_bytes(),
            match self.is_full() {
                true => self.original.size_bytes,
                false => self
                    .original
                    .header_bytes
                    .min(limits::REPORT_HEADER_BYTES as u64),
            },
        );
        let mut offset = start;
        let mut ends_line = true;
        while offset < end {
            let length = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let length = length.min(limits::REPORT_PIECE_BYTES);
            let piece = store.read_spooled(self.original.spool, offset, length)?;
            let Some(piece) = piece.filter(|piece| !piece.is_empty()) else {
                break;
            };
            sink.write(&piece)?;
            ends_line = piece.ends_with(b"\n");
            offset += piece.len() as u64;
        }
        let newline = if ends_line { "" } else { "\r\n" };
        sink.write(format!("{newline}\r\n--{boundary}--\r\n").as_bytes())
    }

    /// The field in front of each message that says where reports on it go.
    fn return_path_bytes(&self) -> u64 {
        return_path_bytes(&rmail_proto::ReversePath::Address(self.to.clone()))
    }

    /// Everything in front of the original.
    fn head(&self, boundary: &str) -> String {
        let (hostname, to) = (&self.hostname, &self.to);
        let date = DateTime::utc(self.now).rfc5322().to_string();
        let (subject, intro) = self.words();
        let (status_type, headers_type, message_type) = match self.is_utf8() {
            true => (
                "message/global-delivery-status",
                "message/global-headers",
                "message/global",
            ),
            false => (
                "message/delivery-status",
                "text/rfc822-headers",
                "message/rfc822",
            ),
        };
        let returned_type = match self.is_full() {
            true => message_type,
            false => headers_type,
        };
        let id = &self.id;
        let mut head = format!(
            "Return-Path: <>\r\n\
             Received: by {hostname} id {id};\r\n\t{date}\r\n\
             From: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\n\
             To: <{to}>\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{hostname}>\r\n\
             Subject: {subject}\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\
             \tboundary=\"{boundary}\"\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             \r\n\
             This is the mail system of {hostname}.\r\n\
             \r\n\
             {intro}\r\n"
        );
        for reported in &self.recipients {
            self.write_for_people(&mut head, reported);
        }
        let _ = write!(
            head,
            "\r\n--{boundary}\r\nContent-Type: {status_type}\r\n\r\n{}",
            self.status_fields()
        );
        for reported in &self.recipients {
            head.push_str("\r\n");
            head.push_str(&self.recipient_fields(reported));
        }
        let _ = write!(
            head,
            "\r\n--{boundary}\r\nContent-Type: {returned_type}\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n"
        );
        head
    }

    fn words(&self) -> (&'static str, String) {
        match self.kind {
            Kind::Failure => (
                "Undelivered mail: what you sent has not arrived",
                "Your message could not be delivered to the following recipients, and it will \
                 not be\r\ntried again."
                    .to_owned(),
            ),
            Kind::Delay { until } => (
                "Delayed mail: what you sent is still on its way",
                format!(
                    "Your message has not reached the following recipients yet. You need not send \
                     it again:\r\ndelivery is tried until {}.",
                    DateTime::utc(until).rfc5322()
                ),
            ),
            Kind::Success => (
                "Delivered mail: what you sent has arrived",
                "Your message has been delivered to the following recipients, or was passed on to \
                 a\r\nserver that tells no more about it."
                    .to_owned(),
            ),
        }
    }

    fn write_for_people(&self, text: &mut String, reported: &Reported) {
        let path = &reported.recipient.path;
        let Told { by, answer } = &reported.told;
        let _ = write!(text, "\r\n{path}: ");
        let _ = match (by.is_empty(), answer.is_empty()) {
            (true, true) => write!(text, "{}", reported.action),
            (false, true) => write!(text, "{} by {by}", reported.action),
            (true, false) => write!(text, "{}", printable(answer)),
            (false, false) if reported.is_reply => {
                write!(text, "{by} said:\r\n    {}", printable(answer))
            }
            (false, false) => write!(text, "{by}: {}", printable(answer)),
        };
        text.push_str("\r\n");
    }

    /// `per-message-fields` (RFC 3464 §2.2).
    fn status_fields(&self) -> String {
        let arrival = DateTime::utc(self.original.accepted_at);
        let mut fields = String::new();
        if let Some(envid) = &self.original.notice.envid
            && let Some(envid) = decode_xtext(envid)
        {
            let _ = write!(fields, "Original-Envelope-Id: {}\r\n", ascii(&envid));
        }
        let _ = write!(
            fields,
            "Reporting-MTA: dns; {}\r\nX-Queue-Id: {}\r\nArrival-Date: {}\r\n",
            self.hostname,
            self.original.envelope_id,
            arrival.rfc5322()
        );
        fields
    }

    /// `per-recipient-fields` (RFC 3464 §2.3).
    fn recipient_fields(&self, reported: &Reported) -> String {
        let mut fields = String::new();
        if let Some((kind, address)) =
            (reported.recipient.notice.orcpt.as_deref()).and_then(|orcpt| orcpt.split_once(';'))
            && let Some(address) = decode_xtext(address)
        {
            let _ = write!(fields, "Original-Recipient: {kind}; {address}\r\n");
        }
        let address = match &reported.recipient.path {
            ForwardPath::Postmaster => format!("postmaster@{}", self.hostname),
            ForwardPath::Address(address) => address.to_string(),
        };
        let kind = if address.is_ascii() {
            "rfc822"
        } else {
            "utf-8"
        };
        let (action, status) = (reported.action, &reported.status);
        let _ = write!(
            fields,
            "Final-Recipient: {kind}; {address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        );
        let Told { by, answer } = &reported.told;
        if reported.is_reply {
            if !by.is_empty() {
                let _ = write!(fields, "Remote-MTA: dns; {}\r\n", ascii(by));
            }
            fields += &folded("Diagnostic-Code: smtp; ", answer);
        } else if !answer.is_empty() {
            fields += &folded("Diagnostic-Code: x-rmail; ", answer);
        }
        let now = DateTime::utc(self.now).rfc5322().to_string();
        let _ = write!(fields, "Last-Attempt-Date: {now}\r\n");
        if let Kind::Delay { until } = self.kind {
            let until = DateTime::utc(until);
            let _ = write!(fields, "Will-Retry-Until: {}\r\n", until.rfc5322());
        }
        fields
    }
}

/// Bytes of the Return-Path field that stands in front of every spooled message, and that does not
/// leave this server (RFC 5321 §4.4).
pub fn return_path_bytes(reverse_path: &rmail_proto::ReversePath) -> u64 {
    format!("Return-Path: {reverse_path}\r\n").len() as u64
}

/// Where a report is written to: memory while it is small, else a staged file.
struct Sink<'a> {
    store: &'a dyn Store,
    scanner: Option<Scanner>,
    buffer: Vec<u8>,
    stage: Option<StageId>,
}

impl<'a> Sink<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self {
            store,
            scanner: Some(Scanner::default()),
            buffer: Vec::new(),
            stage: None,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(scanner) = &mut self.scanner {
            scanner.handle_input(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() <= rmail_store::limits::INLINE_BYTES {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let stage = match self.stage {
            Some(stage) => stage,
            None => *self.stage.insert(self.store.stage()?),
        };
        self.store.stage_append(stage, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(&mut self) -> Result<(Content, Summary), StoreError> {
        let scanner = self.scanner.take().expect("it is finished once");
        let content = match self.stage {
            None => Content::Inline(std::mem::take(&mut self.buffer).into()),
            Some(stage) => {
                self.flush()?;
                self.store.stage_finish(stage)?;
                Content::Staged(stage)
            }
        };
        Ok((content, scanner.finish()))
    }
}

/// A field with a long value, folded where it has spaces.
fn folded(name: &str, value: &str) -> String {
    const COLUMNS: usize = 76;
    let mut field = name.trim_end().to_owned();
    let mut column = field.len();
    for word in ascii(value).split_whitespace() {
        // What has no space is cut: a line has an end (RFC 5322 §2.1.1).
        for piece in word.as_bytes().chunks(900) {
            let piece = str::from_utf8(piece).expect("it is ASCII");
            if column + 1 + piece.len() > COLUMNS && column > 1 {
                field.push_str("\r\n");
                column = 0;
            }
            field.push(' ');
            field.push_str(piece);
            column += 1 + piece.len();
        }
    }
    field + "\r\n"
}

fn ascii(text: &str) -> String {
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    text.chars().map(printable).collect()
}

fn printable(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(printable).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use rmail_proto::{ReversePath, smtp::RcptNotice};
    use rmail_store::{
        Destination, NewRecipient, NewSpoolEntry, RealFiles, SpoolWrite, SpoolWritten, SqliteStore,
    };

    use super::*;

    const NOW: UnixTime = UnixTime(1_709_626_272);

    fn recipient(path: &str, orcpt: Option<&str>) -> Recipient {
        Recipient {
            path: ForwardPath::Address(Address::parse(path).unwrap()),
            notice: RcptNotice {
                notify: None,
                orcpt: orcpt.map(str::to_owned),
            },
        }
    }

    fn report(ret: Option<Return>, kind: Kind) -> (SqliteStore, tempfile::TempDir, Report) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), Arc::new(RealFiles), None, 1).unwrap();
        let content = "Return-Path: <ann@example.com>\r\nSubject: hello\r\n\r\nText.\r\n";
        let sender = Address::parse("ann@example.com").unwrap();
        let notice = MailNotice {
            ret,
            envid: Some("QQ+2B1".to_owned()),
        };
        let entry = NewSpoolEntry {
            envelope_id: "0abc".to_owned(),
            reverse_path: ReversePath::Address(sender.clone()),
            notice: notice.clone(),
            smtputf8: false,
            eight_bit_mime: false,
            recipients: vec![NewRecipient {
                recipient: recipient("bob@example.net", None),
                destination: Destination::Remote("example.net".to_owned()),
            }],
            summary: Arc::default(),
            content: Content::Inline(Bytes::from(content)),
            is_claimed: false,
        };
        let written = store.write_spool(NOW, vec![SpoolWrite::Accept(entry)]);
        let Ok(SpoolWritten::Accepted(spool)) = written.unwrap().remove(0) else {
            panic!("it is accepted");
        };
        let report = Report {
            id: "0def".to_owned(),
            hostname: Domain::parse("mail.example.com").unwrap(),
            now: NOW,
            to: sender,
            kind,
            original: Original {
                spool,
                envelope_id: "0abc".to_owned(),
                accepted_at: UnixTime(NOW.0 - 60),
                notice,
                header_bytes: content.find("\r\n\r\n").unwrap() as u64 + 4,
                size_bytes: content.len() as u64,
                smtputf8: false,
            },
            recipients: vec![Reported {
                recipient: recipient("bob@example.net", Some("rfc822;Bob+2B1@example.net")),
                action: "failed",
                status: EnhancedCode(5, 1, 1),
                told: Told {
                    by: "mx.example.net".to_owned(),
                    answer: "550 5.1.1 No such user, and a long explanation of why there is none, \
                             which goes on and on"
                        .to_owned(),
                },
                is_reply: true,
            }],
        };
        (store, folder, report)
    }

    fn text(store: &dyn Store, report: &Report) -> String {
        let (content, summary) = report.compose(store).unwrap();
        let Content::Inline(bytes) = content else {
            panic!("it is small");
        };
        assert_eq!(summary.size_bytes, bytes.len() as u64);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn failure_is_told_in_the_peers_own_words_with_the_header() {
        let (store, _folder, report) = report(None, Kind::Failure);
        let text = text(&store, &report);
        for part in [
            "Return-Path: <>\r\n",
            "To: <ann@example.com>\r\n",
            "Auto-Submitted: auto-replied\r\n",
            "report-type=delivery-status",
            "<bob@example.net>: mx.example.net said:\r\n    550 5.1.1 No such user",
            "Original-Envelope-Id: QQ+1\r\nReporting-MTA: dns; mail.example.com\r\n",
            "Arrival-Date: Tue, 05 Mar 2024 08:10:12 +0000\r\n",
            "Original-Recipient: rfc822; Bob+1@example.net\r\n\
             Final-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 No such user, ",
            "Content-Type: text/rfc822-headers\r\n",
            "\r\n\r\nSubject: hello\r\n\r\n\r\n--=_0def--\r\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        assert!(!text.contains("Text."), "the body is not asked for");
        assert!(text.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn all_of_it_comes_back_where_it_was_asked_for() {
        let (store, _folder, report) = report(Some(Return::Full), Kind::Failure);
        let text = text(&store, &report);
        assert!(text.contains("Content-Type: message/rfc822\r\n"));
        assert!(text.contains("\r\n\r\nSubject: hello\r\n\r\nText.\r\n\r\n--=_0def--\r\n"));
        assert!(!text.contains("Return-Path: <ann"));
    }

    #[test]
    fn delay_says_until_when_and_returns_the_header_only() {
        let until = UnixTime(NOW.0 + 3600);
        let (store, _folder, report) = report(Some(Return::Full), Kind::Delay { until });
        let text = text(&store, &report);
        assert!(text.contains("Will-Retry-Until: Tue, 05 Mar 2024 09:11:12 +0000\r\n"));
        assert!(text.contains("need not send it again"));
        assert!(!text.contains("Text."));
    }

    #[test]
    fn large_message_comes_back_by_a_file() {
        let (store, _folder, mut report) = report(Some(Return::Full), Kind::Failure);
        let reported = report.recipients[0].clone();
        report.recipients = vec![reported; 1_000];
        let (content, summary) = report.compose(&store).unwrap();
        assert!(matches!(content, Content::Staged(_)));
        assert!(summary.size_bytes > rmail_store::limits::INLINE_BYTES as u64);
    }

    #[test]
    fn words_that_are_too_long_for_a_line_are_cut() {
        let field = folded("Diagnostic-Code: smtp; ", &"x".repeat(2_000));
        assert!(field.split("\r\n").all(|line| line.len() <= 998));
        assert_eq!(folded("A: smtp; ", "b"), "A: smtp; b\r\n");
    }
}
