//! A response on its way out, against the send credit.

use alloc::{boxed::Box, format, vec::Vec};

use bytes::Bytes;

use super::{Exchange, Server, State, Unread};
use crate::{
    Action, CallId, Close, Now,
    http::{
        Body, Call, Reply, Response, SourceId,
        writer::{self, Frame, Framing},
    },
    limits,
    pace::Pace,
};

/// A response that is not out.
#[derive(Debug)]
pub(super) struct Responding {
    pub(super) exchange: Exchange,
    pub(super) rest: Rest,
    unread: Unread,
    /// Whether the client was told that another request may follow.
    keep_alive: bool,
}

/// What is still to be sent.
#[derive(Debug)]
pub(super) enum Rest {
    Bytes(Bytes),
    Source(Reading),
}

/// A body that is read from the world.
#[derive(Debug)]
pub(super) struct Reading {
    source: SourceId,
    offset: u64,
    /// What is left, if the length is known.
    left_bytes: Option<u64>,
    in_chunks: bool,
    /// The call whose answer is waited for.
    asked: Option<CallId>,
    /// Sent with the first piece, so that a body that can't be read leaves no trace.
    head: Option<Vec<u8>>,
}

impl Responding {
    /// Whether this call's answer is waited for.
    pub(super) fn is_asked(&self, id: CallId) -> bool {
        matches!(&self.rest, Rest::Source(reading) if reading.asked == Some(id))
    }

    /// Whether nothing was sent yet.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(&self.rest, Rest::Source(reading) if reading.head.is_some())
    }
}

impl Reading {
    /// How much to ask for; 0 when it is not worth it.
    fn length_to_ask(&self, credit_bytes: usize) -> usize {
        let left = self.left_bytes.unwrap_or(u64::MAX);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        match credit_bytes < left.min(limits::SEND_PIECE_BYTES) {
            true => 0,
            false => left.min(limits::READ_BYTES).min(credit_bytes),
        }
    }
}

impl Server {
    /// Begins the response.
    pub(super) fn respond(
        &mut self,
        now: Now,
        exchange: Exchange,
        response: Response,
        unread: Unread,
    ) {
        let framing = writer::decide_framing(&response, exchange.is_http_1_0);
        let is_bodyless = exchange.is_head || framing == Framing::Absent;
        let may_drop = match unread {
            Unread::Bytes(bytes) => bytes <= limits::HTTP_DROPPED_CONTENT_BYTES,
            Unread::Unknown => false,
        };
        let keep_alive =
            exchange.keep_alive && may_drop && !self.is_ending() && framing != Framing::Close;
        let frame = Frame {
            now,
            id: exchange.id,
            client_id: exchange.client_id.as_deref(),
            keep_alive,
            fields: &self.config.fields,
        };
        let mut head = writer::write_head(&frame, &response, framing);
        let rest = match response.into_body() {
            Body::Source { source, .. } if is_bodyless => {
                self.call(Call::Release { source });
                Rest::Bytes(Bytes::new())
            }
            Body::Source { source, length } => Rest::Source(Reading {
                source,
                offset: 0,
                left_bytes: length,
                in_chunks: framing == Framing::Chunked,
                asked: None,
                head: Some(core::mem::take(&mut head)),
            }),
            Body::Bytes(_) if is_bodyless => Rest::Bytes(Bytes::new()),
            Body::Bytes(bytes) if head.len() + bytes.len() <= limits::SEND_PIECE_BYTES => {
                head.extend_from_slice(&bytes);
                Rest::Bytes(Bytes::new())
            }
            Body::Bytes(bytes) => Rest::Bytes(bytes),
            Body::Empty => Rest::Bytes(Bytes::new()),
        };
        if !head.is_empty() {
            self.send(now, Bytes::from(head));
        }
        let responding = Responding {
            exchange,
            rest,
            unread,
            keep_alive,
        };
        self.enter(now, State::Responding(Box::new(responding)));
        self.advance(now);
    }

    /// Sends and asks for what there is credit for.
    pub(super) fn advance(&mut self, now: Now) {
        loop {
            let credit_bytes = self.credit.available_bytes();
            let State::Responding(responding) = &mut self.state else {
                return;
            };
            match &mut responding.rest {
                Rest::Bytes(bytes) if bytes.is_empty() => return self.end_response(now),
                Rest::Bytes(bytes) => {
                    if credit_bytes < bytes.len().min(limits::SEND_PIECE_BYTES) {
                        return;
                    }
                    let length = bytes.len().min(limits::READ_BYTES).min(credit_bytes);
                    let piece = bytes.split_to(length);
                    self.send(now, piece);
                }
                Rest::Source(reading) if reading.asked.is_some() => return,
                Rest::Source(reading) if reading.left_bytes == Some(0) => {
                    return self.end_source(now);
                }
                Rest::Source(reading) => {
                    let length = reading.length_to_ask(credit_bytes);
                    if length == 0 {
                        return;
                    }
                    let call = self.calls.allocate();
                    reading.asked = Some(call);
                    let read = Call::Read {
                        source: reading.source,
                        offset: reading.offset,
                        length,
                    };
                    self.actions.push_back(Action::Call(call, read));
                    return;
                }
            }
        }
    }

    /// The answer to `Read`.
    pub(super) fn handle_body_answer(&mut self, now: Now, responding: Responding, reply: Reply) {
        let Responding {
            exchange,
            rest: Rest::Source(mut reading),
            unread,
            keep_alive,
        } = responding
        else {
            unreachable!("only a source is read");
        };
        reading.asked = None;
        match reply {
            Reply::Piece(piece) if !piece.is_empty() || reading.left_bytes.is_none() => {
                let is_end = piece.is_empty();
                self.send_piece(now, &mut reading, piece);
                let rest = Rest::Source(reading);
                self.state = State::Responding(Box::new(Responding {
                    exchange,
                    rest,
                    unread,
                    keep_alive,
                }));
                match is_end {
                    true => self.end_source(now),
                    false => self.advance(now),
                }
            }
            reply => {
                let is_unsent = reading.head.is_some();
                self.drop_rest(Rest::Source(reading));
                match is_unsent {
                    true => self.answer(now, exchange, reply, unread),
                    // What was begun can't be finished, and must not look as if it were.
                    false => self.close(now, Close::Abort),
                }
            }
        }
    }

    /// Sends the next piece of a source, or with an empty one its end.
    fn send_piece(&mut self, now: Now, reading: &mut Reading, piece: Bytes) {
        let left = reading.left_bytes.unwrap_or(u64::MAX);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = piece.slice(..piece.len().min(left).min(limits::READ_BYTES));
        let is_first = reading.offset == 0;
        let mut before = reading.head.take().unwrap_or_default();
        if reading.in_chunks {
            // The CRLF of the chunk before comes with the size of the next.
            before.extend_from_slice(if is_first { b"" } else { b"\r\n" });
            match piece.is_empty() {
                true => before.extend_from_slice(writer::LAST_CHUNK),
                false => before.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes()),
            }
        }
        reading.offset += piece.len() as u64;
        if let Some(left_bytes) = &mut reading.left_bytes {
            *left_bytes -= piece.len() as u64;
        }
        for bytes in [Bytes::from(before), piece] {
            if !bytes.is_empty() {
                self.send(now, bytes);
            }
        }
    }

    /// All of a source was sent.
    fn end_source(&mut self, now: Now) {
        if let State::Responding(responding) = &mut self.state
            && let Rest::Source(reading) = &mut responding.rest
        {
            let source = reading.source;
            // A source of length 0 was not read at all.
            let head = reading.head.take().unwrap_or_default();
            responding.rest = Rest::Bytes(Bytes::new());
            if !head.is_empty() {
                self.send(now, Bytes::from(head));
            }
            self.call(Call::Release { source });
        }
        self.end_response(now);
    }

    /// The response is out.
    fn end_response(&mut self, now: Now) {
        let State::Responding(responding) = &self.state else {
            return;
        };
        match responding.unread {
            Unread::Bytes(left_bytes) if responding.keep_alive && !self.is_ending() => {
                match left_bytes {
                    0 => self.enter_head(now),
                    left_bytes => {
                        let pace = Pace::start(now.at, self.config.bounds.content_timeout);
                        self.enter(now, State::Dropping { left_bytes, pace });
                    }
                }
            }
            Unread::Bytes(_) | Unread::Unknown => self.close(now, Close::Flush),
        }
    }

    /// Gives up what is left of a response.
    pub(super) fn drop_rest(&mut self, rest: Rest) {
        if let Rest::Source(reading) = rest {
            if let Some(call) = reading.asked {
                self.actions.push_back(Action::Cancel(call));
            }
            let source = reading.source;
            self.call(Call::Release { source });
        }
    }
}
