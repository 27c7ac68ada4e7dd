//! The content of a request, as it comes in.

use alloc::boxed::Box;

use bytes::Bytes;

use super::{Exchange, Server, State, Unread};
use crate::{
    Action, Now, UploadId,
    http::{
        Accept, Content, Reply, Response, chunked::ChunkedDecoder, refusal::Refusal,
        upload::Upload, writer,
    },
    pace::Pace,
};

/// Content that is wanted.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) exchange: Exchange,
    framing: Framing,
    pub(super) upload: Upload,
    /// The answer when there is too much.
    too_large: Box<Response>,
    pub(super) pace: Pace,
}

#[derive(Debug)]
enum Framing {
    Length { left_bytes: u64 },
    Chunked(ChunkedDecoder),
}

impl Receiving {
    fn unread(&self) -> Unread {
        match self.framing {
            Framing::Length { left_bytes } => Unread::Bytes(left_bytes),
            Framing::Chunked(_) => Unread::Unknown,
        }
    }
}

impl Server {
    /// The content is wanted.
    pub(super) fn start_content(
        &mut self,
        now: Now,
        exchange: Exchange,
        content: Content,
        accept: Accept,
    ) {
        self.uploads += 1;
        let upload = Upload::new(UploadId(self.uploads), accept.bytes_max);
        let framing = match content {
            Content::Absent | Content::Length(0) => {
                return self.finish_upload(now, exchange, upload);
            }
            Content::Length(length) if length > accept.bytes_max => {
                let unread = match exchange.expects_continue {
                    true => Unread::Unknown,
                    false => Unread::Bytes(length),
                };
                return self.respond(now, exchange, *accept.too_large, unread);
            }
            Content::Length(left_bytes) => Framing::Length { left_bytes },
            Content::Chunked => Framing::Chunked(ChunkedDecoder::default()),
        };
        if exchange.expects_continue {
            self.send(now, Bytes::from_static(writer::CONTINUE));
        }
        let receiving = Receiving {
            exchange,
            framing,
            upload,
            too_large: accept.too_large,
            pace: Pace::start(now.at, self.config.bounds.content_timeout),
        };
        self.enter(now, State::Receiving(Box::new(receiving)));
    }

    pub(super) fn handle_content(&mut self, now: Now, input: &[u8]) -> usize {
        let State::Receiving(receiving) = &mut self.state else {
            return 0;
        };
        let Receiving {
            framing,
            upload,
            pace,
            ..
        } = &mut **receiving;
        let input = &input[..input.len().min(upload.room_bytes())];
        let decoded = match framing {
            Framing::Length { left_bytes } => {
                let left = usize::try_from(*left_bytes).unwrap_or(usize::MAX);
                let taken = input.len().min(left);
                upload.write(&input[..taken]);
                *left_bytes -= taken as u64;
                Ok((taken, *left_bytes == 0))
            }
            Framing::Chunked(decoder) => decoder.decode(input, |run| upload.write(run)),
        };
        let consumed = decoded.map_or(input.len(), |(consumed, _)| consumed);
        pace.advance(now.at, consumed);
        self.queue_pieces(now);
        match decoded {
            Err(_) | Ok((_, true)) => self.end_content(now, decoded.is_ok()),
            Ok((_, false)) if self.is_too_large() => self.end_content(now, true),
            Ok((_, false)) => {}
        }
        consumed
    }

    fn is_too_large(&self) -> bool {
        matches!(&self.state, State::Receiving(receiving) if receiving.upload.is_too_large())
    }

    /// All the content is there that will be taken.
    fn end_content(&mut self, now: Now, is_well_framed: bool) {
        let State::Receiving(receiving) = core::mem::replace(&mut self.state, State::Handshake)
        else {
            return;
        };
        let unread = receiving.unread();
        let Receiving {
            exchange,
            upload,
            too_large,
            ..
        } = *receiving;
        if upload.is_too_large() {
            self.drop_upload(upload);
            self.respond(now, exchange, *too_large, unread);
        } else if is_well_framed {
            self.finish_upload(now, exchange, upload);
        } else {
            self.drop_upload(upload);
            self.refuse(now, exchange, Refusal::chunk_malformed());
        }
    }

    /// Hands on what the window has room for.
    fn queue_pieces(&mut self, now: Now) {
        let State::Receiving(receiving) = &mut self.state else {
            return;
        };
        while let Some((id, piece)) = receiving.upload.poll_piece(&mut self.calls) {
            self.actions.push_back(Action::Call(id, piece));
        }
        match receiving.upload.room_bytes() {
            0 => receiving.pace.pause(now.at),
            _ => receiving.pace.resume(now.at),
        }
    }

    /// The answer to a piece that is not the last.
    pub(super) fn handle_piece_answer(
        &mut self,
        now: Now,
        receiving: Box<Receiving>,
        reply: Reply,
    ) {
        if let Reply::ChunkTaken = reply {
            // The state's time goes on.
            self.state = State::Receiving(receiving);
            return self.queue_pieces(now);
        }
        let unread = receiving.unread();
        self.drop_upload(receiving.upload);
        self.answer(now, receiving.exchange, reply, unread);
    }

    /// The content is complete: the last piece goes when all before it were taken.
    pub(super) fn finish_upload(&mut self, now: Now, exchange: Exchange, mut upload: Upload) {
        while let Some((id, piece)) = upload.poll_piece(&mut self.calls) {
            self.actions.push_back(Action::Call(id, piece));
        }
        match upload.take_last_piece() {
            Some(last) => {
                let call = self.call(last);
                self.enter(now, State::Answering { call, exchange });
            }
            None => {
                let upload = Box::new(upload);
                self.enter(now, State::Finishing { exchange, upload });
            }
        }
    }
}
