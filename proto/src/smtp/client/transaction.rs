//! One mail transaction (RFC 5321 §3.3): MAIL, RCPT, and the content by DATA or BDAT.

use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};

use bytes::Bytes;

use super::{
    Call, Client, Extensions, Fate, Protocol, Report, State, Trouble, commands,
    content::{Content, Outgoing},
    delivery::Delivery,
};
use crate::{
    Action, CallId, Now, limits,
    smtp::{EnhancedCode, PeerReply},
};

/// A mail transaction, from MAIL to the last reply.
///
/// | phase | sends | ends with |
/// |---|---|---|
/// | commands | MAIL, RCPT, perhaps DATA | 354, or enough replies for BDAT, or no recipient |
/// | lone dot | the end of an empty message for nobody (RFC 2920 §3.1) | |
/// | content | the content | its end, or the refusal of a chunk |
/// | end | | the reply, or replies, to the end |
/// | over | | the replies that are still to come |
#[derive(Debug)]
pub(super) struct Transaction {
    delivery: Box<Delivery>,
    manner: Manner,
    rcpts: Vec<Rcpt>,
    rcpts_sent: usize,
    /// What the next replies are to, in order.
    awaited: VecDeque<Awaited>,
    mail_sent: bool,
    mail_refused: bool,
    phase: Phase,
}

/// How this peer is talked to.
#[derive(Clone, Copy, Debug)]
struct Manner {
    protocol: Protocol,
    pipelining: bool,
    chunking: bool,
}

#[derive(Debug)]
struct Rcpt {
    place: usize,
    is_accepted: bool,
}

/// What a reply is to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Awaited {
    Mail,
    /// The recipient with this place in the transaction.
    Rcpt(usize),
    Data,
    Chunk,
    /// The end of the message.
    End,
    /// The same in LMTP, of the recipient with this place in the message.
    EndFor(usize),
    LoneDot,
}

#[derive(Debug)]
enum Phase {
    Commands,
    LoneDot,
    Content(Box<Content>),
    End,
    Over { needs_reset: bool },
}

/// What a transaction does next.
#[derive(Debug)]
enum Next {
    Wait,
    Send(String),
    Read { offset: u64, length: usize },
    SendContent(Outgoing),
    Finish { needs_reset: bool },
}

impl Transaction {
    fn new(delivery: Box<Delivery>, manner: Manner, peer: &Extensions) -> Self {
        let places = delivery.next_places(peer);
        let rcpt = |place| Rcpt {
            place,
            is_accepted: false,
        };
        Self {
            delivery,
            manner,
            rcpts: places.into_iter().map(rcpt).collect(),
            rcpts_sent: 0,
            awaited: VecDeque::new(),
            mail_sent: false,
            mail_refused: false,
            phase: Phase::Commands,
        }
    }

    /// What the next reply is to.
    pub(super) fn awaited(&self) -> Option<Awaited> {
        self.awaited.front().copied()
    }

    /// The piece of content that is waited for.
    pub(super) fn reading(&self) -> Option<CallId> {
        match &self.phase {
            Phase::Content(content) => content.reading(),
            Phase::Commands | Phase::LoneDot | Phase::End | Phase::Over { .. } => None,
        }
    }

    /// The last report of a session that ends here.
    pub(super) fn into_report(mut self, trouble: &Trouble) -> Report {
        if let Phase::End = self.phase {
            let uncertain = match trouble {
                Trouble::Refused(reply) if reply.is_transient() => Fate::Deferred(reply.clone()),
                trouble => Fate::Uncertain(trouble.clone()),
            };
            self.settle_accepted(&uncertain);
        }
        self.delivery.into_report(&trouble.clone().into_fate())
    }

    /// Takes the next reply.
    pub(super) fn handle_reply(&mut self, reply: PeerReply) -> Result<(), Trouble> {
        let Some(awaited) = self.awaited.pop_front() else {
            return Err(Trouble::OutOfTurn(reply));
        };
        let is_hoped_for = if awaited == Awaited::Data {
            reply.code == 354
        } else {
            reply.is_positive()
        };
        if !(is_hoped_for || reply.is_transient() || reply.is_permanent()) {
            return Err(Trouble::OutOfTurn(reply));
        }
        match awaited {
            Awaited::Mail if is_hoped_for => {}
            Awaited::Mail => {
                self.mail_refused = true;
                self.delivery.settle_rest(&Fate::of_refusal(reply));
            }
            Awaited::Rcpt(index) => self.handle_rcpt_reply(index, reply),
            Awaited::Data if is_hoped_for => return self.handle_go_ahead(reply),
            Awaited::Chunk if is_hoped_for => {}
            Awaited::Data | Awaited::Chunk => {
                self.settle_accepted(&Fate::of_refusal(reply));
                let needs_reset = !self.mail_refused;
                self.phase = Phase::Over { needs_reset };
            }
            Awaited::End => {
                let fate = Fate::of_reply(reply);
                self.settle_accepted(&fate);
            }
            Awaited::EndFor(place) => self.delivery.settle(place, Fate::of_reply(reply)),
            Awaited::LoneDot => {}
        }
        Ok(())
    }

    fn handle_rcpt_reply(&mut self, index: usize, reply: PeerReply) {
        if reply.is_positive() {
            self.rcpts[index].is_accepted = true;
        } else if !(self.has_accepted() && is_too_many(&reply)) {
            let place = self.rcpts[index].place;
            self.delivery.settle(place, Fate::of_refusal(reply));
        }
    }

    /// 354 came.
    fn handle_go_ahead(&mut self, reply: PeerReply) -> Result<(), Trouble> {
        match (self.mail_refused, self.has_accepted()) {
            // The end of the data would be taken for a message.
            (true, true) => return Err(Trouble::OutOfTurn(reply)),
            (false, true) => self.begin_content(),
            (_, false) => self.phase = Phase::LoneDot,
        }
        Ok(())
    }

    fn begin_content(&mut self) {
        let size_bytes = self.delivery.message().size_bytes;
        let converter = self.delivery.converter();
        let content = Content::new(size_bytes, converter, self.manner.chunking);
        self.phase = Phase::Content(Box::new(content));
    }

    fn has_accepted(&self) -> bool {
        self.rcpts.iter().any(|rcpt| rcpt.is_accepted)
    }

    fn settle_accepted(&mut self, fate: &Fate) {
        for rcpt in self.rcpts.iter().filter(|rcpt| rcpt.is_accepted) {
            self.delivery.settle(rcpt.place, fate.clone());
        }
    }

    fn next(&mut self, peer: &Extensions, credit_bytes: usize) -> Next {
        match &mut self.phase {
            Phase::Commands => self.next_command(peer, credit_bytes),
            Phase::LoneDot => {
                self.awaited.push_back(Awaited::LoneDot);
                self.phase = Phase::Over { needs_reset: false };
                Next::Send(".\r\n".into())
            }
            Phase::Content(content) if content.is_empty() => {
                Next::SendContent(content.end(Bytes::new()))
            }
            Phase::Content(_) if self.awaited.len() >= self.manner.chunks_in_flight() => Next::Wait,
            Phase::Content(content) => match content.wanted(credit_bytes) {
                Some((offset, length)) => Next::Read { offset, length },
                None => Next::Wait,
            },
            Phase::End | Phase::Over { .. } if !self.awaited.is_empty() => Next::Wait,
            Phase::End => Next::Finish { needs_reset: false },
            Phase::Over { needs_reset } => Next::Finish {
                needs_reset: *needs_reset,
            },
        }
    }

    fn next_command(&mut self, peer: &Extensions, credit_bytes: usize) -> Next {
        if !self.mail_sent {
            Next::Send(self.write_first_commands(peer))
        } else if !self.awaited.is_empty() {
            Next::Wait
        } else if self.mail_refused {
            Next::Finish { needs_reset: false }
        } else if self.rcpts_sent < self.rcpts.len() {
            let mut line = String::new();
            self.write_rcpt(&mut line, peer);
            Next::Send(line)
        } else if !self.has_accepted() {
            Next::Finish { needs_reset: true }
        } else if self.manner.chunking {
            self.begin_content();
            self.next(peer, credit_bytes)
        } else {
            self.awaited.push_back(Awaited::Data);
            Next::Send("DATA\r\n".into())
        }
    }

    /// MAIL, and what may follow it before its reply.
    fn write_first_commands(&mut self, peer: &Extensions) -> String {
        self.mail_sent = true;
        let mut lines = String::new();
        let places: Vec<usize> = self.rcpts.iter().map(|rcpt| rcpt.place).collect();
        let body = self.delivery.body(&places);
        commands::write_mail(&mut lines, self.delivery.message(), body, peer);
        self.awaited.push_back(Awaited::Mail);
        if !self.manner.pipelining {
            return lines;
        }
        while self.rcpts_sent < self.rcpts.len() {
            self.write_rcpt(&mut lines, peer);
        }
        if !self.manner.chunking && self.manner.protocol == Protocol::Smtp {
            lines.push_str("DATA\r\n");
            self.awaited.push_back(Awaited::Data);
        }
        lines
    }

    fn write_rcpt(&mut self, lines: &mut String, peer: &Extensions) {
        let place = self.rcpts[self.rcpts_sent].place;
        let recipient = &self.delivery.message().recipients[place];
        commands::write_rcpt(lines, recipient, peer);
        self.awaited.push_back(Awaited::Rcpt(self.rcpts_sent));
        self.rcpts_sent += 1;
    }

    /// The piece of content that was asked for; nothing when none was.
    fn take_piece(&mut self, piece: &Bytes) -> Option<Outgoing> {
        match &mut self.phase {
            Phase::Content(content) => Some(content.take(piece)),
            Phase::Commands | Phase::LoneDot | Phase::End | Phase::Over { .. } => None,
        }
    }

    /// A piece went out.
    fn note_sent(&mut self, outgoing: &Outgoing) {
        if !outgoing.is_last {
            if self.manner.chunking && !outgoing.command.is_empty() {
                self.awaited.push_back(Awaited::Chunk);
            }
            return;
        }
        self.phase = Phase::End;
        match self.manner.protocol {
            Protocol::Smtp => self.awaited.push_back(Awaited::End),
            Protocol::Lmtp => {
                let accepted = self.rcpts.iter().filter(|rcpt| rcpt.is_accepted);
                self.awaited
                    .extend(accepted.map(|rcpt| Awaited::EndFor(rcpt.place)));
            }
        }
    }
}

impl Manner {
    /// In LMTP the number of replies after a refused chunk is not certain: each is waited for.
    fn chunks_in_flight(self) -> usize {
        match self.protocol {
            Protocol::Smtp if self.pipelining => limits::SMTP_CLIENT_CHUNKS_IN_FLIGHT,
            Protocol::Smtp | Protocol::Lmtp => 1,
        }
    }
}

impl Fate {
    fn of_reply(reply: PeerReply) -> Self {
        match reply.is_positive() {
            true => Self::Accepted(reply),
            false => Self::of_refusal(reply),
        }
    }

    fn of_refusal(reply: PeerReply) -> Self {
        match reply.is_permanent() {
            true => Self::Refused(reply),
            false => Self::Deferred(reply),
        }
    }
}

/// Whether the peer takes this recipient in another transaction (RFC 5321 §4.5.3.1.10): 452, or
/// 552 by its old meaning, if no enhanced status code says something else.
fn is_too_many(reply: &PeerReply) -> bool {
    match reply.enhanced {
        Some(EnhancedCode(_, subject, detail)) => {
            matches!(reply.code, 452 | 552) && (subject, detail) == (5, 3)
        }
        None => reply.code == 452,
    }
}

impl Client {
    pub(super) fn begin_transaction(&mut self, now: Now, delivery: Box<Delivery>) {
        let manner = Manner {
            protocol: self.config.protocol,
            pipelining: self.peer.pipelining,
            chunking: self.peer.chunking,
        };
        self.transactions += 1;
        let transaction = Transaction::new(delivery, manner, &self.peer);
        self.enter(now, State::Sending(Box::new(transaction)));
    }

    /// Does all that the transaction does without a further reply.
    pub(super) fn advance_transaction(&mut self, now: Now) {
        loop {
            let credit_bytes = self.credit.available_bytes();
            let State::Sending(transaction) = &mut self.state else {
                return;
            };
            match transaction.next(&self.peer, credit_bytes) {
                Next::Wait => return,
                Next::Send(lines) => {
                    self.waiting_since = now.at;
                    self.send(now, lines.into());
                }
                Next::SendContent(outgoing) => self.send_content(now, outgoing),
                Next::Read { offset, length } => return self.read_content(offset, length),
                Next::Finish { needs_reset } => return self.end_transaction(now, needs_reset),
            }
        }
    }

    fn read_content(&mut self, offset: u64, length: usize) {
        let call = self.calls.allocate();
        if let State::Sending(transaction) = &mut self.state
            && let Phase::Content(content) = &mut transaction.phase
        {
            content.set_reading(call);
            let read = Call::Read { offset, length };
            self.actions.push_back(Action::Call(call, read));
        }
    }

    pub(super) fn handle_piece(&mut self, now: Now, piece: Bytes) {
        let State::Sending(transaction) = &mut self.state else {
            return;
        };
        if let Some(outgoing) = transaction.take_piece(&piece) {
            self.send_content(now, outgoing);
        }
        self.advance(now);
    }

    fn send_content(&mut self, now: Now, outgoing: Outgoing) {
        if let State::Sending(transaction) = &mut self.state {
            transaction.note_sent(&outgoing);
            self.waiting_since = now.at;
        }
        self.send(now, outgoing.command);
        self.send(now, outgoing.content);
    }

    fn end_transaction(&mut self, now: Now, needs_reset: bool) {
        let State::Sending(transaction) = core::mem::replace(&mut self.state, State::Ready(None))
        else {
            return;
        };
        let mut delivery = transaction.delivery;
        let report = delivery.take_report();
        self.report(report);
        let next = (!delivery.is_settled()).then_some(delivery);
        if needs_reset {
            self.send_line(now, "RSET");
            self.enter(now, State::Resetting(next));
        } else {
            self.enter(now, State::Ready(next));
        }
    }
}
