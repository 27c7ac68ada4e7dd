//! Messages, and contents of HTTP requests, on their way in: small ones in memory, large ones piece
//! by piece into a staged file.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use rmail_proto::{Now, UploadId, http, imap, mime::Summary, smtp, smtp::Envelope};
use rmail_store::{Content, StageId, StoreError};

use super::{Asker, Job, Node};
use crate::{limits, session::SessionId};

/// An upload.
#[derive(Debug)]
pub(super) enum Upload {
    /// All of it is here, and waits for the command that uses it.
    Complete {
        content: Content,
        summary: Arc<Summary>,
    },
    /// Pieces go into a staged file, one after the other.
    Staging(Staging),
}

#[derive(Debug, Default)]
pub(super) struct Staging {
    stage: Option<StageId>,
    /// The first one is with a job when `is_busy`.
    pieces: VecDeque<(Asker, Piece)>,
    is_busy: bool,
    failure: Option<StoreError>,
    is_discarded: bool,
}

/// A piece of an upload.
#[derive(Debug)]
pub(super) struct Piece {
    data: Bytes,
    end: Option<End>,
}

/// What comes with the last piece.
#[derive(Debug)]
enum End {
    /// A message that is accepted at once.
    Message(Arc<Summary>, Box<Envelope>),
    /// A message that waits for the command that uses it.
    Literal(Arc<Summary>),
    /// The content of the session's request, which is carried out.
    Request,
}

impl Piece {
    pub(super) fn more(data: Bytes) -> Self {
        Self { data, end: None }
    }

    pub(super) fn last(
        data: Bytes,
        summary: Arc<Summary>,
        envelope: Option<Box<Envelope>>,
    ) -> Self {
        let end = match envelope {
            Some(envelope) => End::Message(summary, envelope),
            None => End::Literal(summary),
        };
        let end = Some(end);
        Self { data, end }
    }

    pub(super) fn last_of_request(data: Bytes) -> Self {
        let end = Some(End::Request);
        Self { data, end }
    }
}

impl Node {
    pub(super) fn handle_piece(&mut self, now: Now, asker: Asker, upload: UploadId, piece: Piece) {
        let key = (asker.session, upload);
        let fits_memory = match &piece.end {
            // It is used at once.
            Some(End::Message(..) | End::Request) => true,
            Some(End::Literal(_)) => {
                let bytes = self.upload_bytes_in_memory(asker.session) + piece.data.len();
                bytes <= limits::UPLOAD_BYTES_IN_MEMORY
            }
            None => false,
        };
        let piece = match piece {
            Piece {
                data,
                end: Some(end),
            } if fits_memory && !self.uploads.contains_key(&key) => {
                // It fits one piece: no file.
                return self.complete(now, asker, upload, Content::Inline(data), end);
            }
            piece => piece,
        };
        let entry = self.uploads.entry(key);
        let upload_state = entry.or_insert_with(|| Upload::Staging(Staging::default()));
        let Upload::Staging(staging) = upload_state else {
            unreachable!("a machine never reuses the id of an upload");
        };
        staging.pieces.push_back((asker, piece));
        self.stage_next(now, key);
    }

    pub(super) fn handle_staged(
        &mut self,
        now: Now,
        key: (SessionId, UploadId),
        stage: Option<StageId>,
        outcome: Result<(), StoreError>,
    ) {
        let Some(Upload::Staging(staging)) = self.uploads.get_mut(&key) else {
            unreachable!("an upload stays until its job is done");
        };
        staging.is_busy = false;
        staging.stage = stage;
        staging.failure = outcome.err();
        let piece = staging.pieces.pop_front();
        if staging.is_discarded {
            self.uploads.remove(&key);
            if let Some(stage) = stage {
                self.drop_stage(stage);
            }
            return;
        }
        let (asker, piece) = piece.expect("the job's piece is the first");
        match (&staging.failure, piece.end) {
            (Some(error), end) => {
                let error = error.clone();
                self.refuse_piece(asker, &error);
                if end.is_some() {
                    return self.discard_upload(key.0, key.1);
                }
            }
            (None, None) => self.take_piece(asker),
            (None, Some(end)) => {
                self.uploads.remove(&key);
                let stage = stage.expect("a piece was written to it");
                let content = Content::Staged(stage);
                return self.complete(now, asker, key.1, content, end);
            }
        }
        self.stage_next(now, key);
    }

    /// Takes a complete upload for the command that uses it.
    pub(super) fn take_upload(
        &mut self,
        session: SessionId,
        upload: UploadId,
    ) -> Option<(Content, Arc<Summary>)> {
        match self.uploads.remove(&(session, upload)) {
            Some(Upload::Complete { content, summary }) => Some((content, summary)),
            Some(staging @ Upload::Staging(_)) => {
                self.uploads.insert((session, upload), staging);
                None
            }
            None => None,
        }
    }

    pub(super) fn discard_upload(&mut self, session: SessionId, upload: UploadId) {
        let key = (session, upload);
        match self.uploads.get_mut(&key) {
            Some(Upload::Staging(staging)) if staging.is_busy => {
                staging.is_discarded = true;
                staging.pieces.truncate(1);
            }
            Some(Upload::Staging(staging)) => {
                let stage = staging.stage;
                self.uploads.remove(&key);
                if let Some(stage) = stage {
                    self.drop_stage(stage);
                }
            }
            Some(Upload::Complete { content, .. }) => {
                let content = content.clone();
                self.uploads.remove(&key);
                self.drop_content(&content);
            }
            None => {}
        }
    }

    pub(super) fn discard_uploads(&mut self, session: SessionId) {
        let first = (session, UploadId(0));
        let last = (session, UploadId(u64::MAX));
        let uploads = self.uploads.range(first..=last);
        let uploads: Vec<UploadId> = uploads.map(|(&(_, upload), _)| upload).collect();
        for upload in uploads {
            self.discard_upload(session, upload);
        }
    }

    /// The content has found its place, or none.
    pub(super) fn drop_content(&mut self, content: &Content) {
        match content {
            Content::Staged(stage) => self.drop_stage(*stage),
            Content::Inline(_) | Content::Spooled(_) => {}
        }
    }

    /// Bytes of complete uploads that wait in memory for the command that uses them.
    fn upload_bytes_in_memory(&self, session: SessionId) -> usize {
        let uploads = self.uploads.range((session, UploadId(0))..);
        let own = uploads.take_while(|((owner, _), _)| *owner == session);
        let sizes = own.map(|(_, upload)| match upload {
            Upload::Complete {
                content: Content::Inline(bytes),
                ..
            } => bytes.len(),
            Upload::Complete { .. } | Upload::Staging(_) => 0,
        });
        sizes.sum()
    }

    fn stage_next(&mut self, now: Now, key: (SessionId, UploadId)) {
        let Some(Upload::Staging(staging)) = self.uploads.get_mut(&key) else {
            return;
        };
        if staging.is_busy {
            return;
        }
        if let Some(error) = staging.failure.clone() {
            // What follows a failure is refused as well; the last piece ends the upload.
            let pieces = std::mem::take(&mut staging.pieces);
            let has_ended = pieces.iter().any(|(_, piece)| piece.end.is_some());
            for (asker, _) in pieces {
                self.refuse_piece(asker, &error);
            }
            if has_ended {
                self.discard_upload(key.0, key.1);
            }
            return;
        }
        let Some((_, piece)) = staging.pieces.front() else {
            return;
        };
        staging.is_busy = true;
        let job = Job::Stage {
            session: key.0,
            upload: key.1,
            stage: staging.stage,
            data: piece.data.clone(),
            // A request outlives no process.
            is_synced: matches!(piece.end, Some(End::Message(..) | End::Literal(_))),
        };
        let _ = now;
        self.run(job);
    }

    fn complete(&mut self, now: Now, asker: Asker, upload: UploadId, content: Content, end: End) {
        match end {
            End::Message(summary, envelope) => {
                self.accept(now, asker, *envelope, summary, content);
            }
            End::Literal(summary) => {
                let complete = Upload::Complete { content, summary };
                self.uploads.insert((asker.session, upload), complete);
                self.take_piece(asker);
            }
            End::Request => self.start_http_upload(now, asker, content),
        }
    }

    fn take_piece(&mut self, asker: Asker) {
        if self.is_imap(asker.session) {
            self.reply_imap(asker, imap::Reply::Done);
        } else if self.is_http(asker.session) {
            self.reply_http(asker, http::Reply::ChunkTaken);
        } else {
            self.reply_smtp(asker, smtp::Reply::ChunkTaken);
        }
    }

    fn refuse_piece(&mut self, asker: Asker, error: &StoreError) {
        if self.is_http(asker.session) {
            self.refuse_http_content(asker, error);
        } else if self.is_imap(asker.session) {
            self.reply_imap(asker, imap::Reply::No(super::imap::no_from(error)));
        } else {
            let refusal = super::smtp::refusal_from(error);
            self.reply_smtp(asker, smtp::Reply::Refused(refusal));
        }
    }
}
