//! Contents of HTTP requests on their way in.

use rmail_proto::http::{self, Host, Method, RequestField, RequestId, Status, Target};
use rmail_store::Content;

use super::*;

/// A range of an upload: a request with content that needs no token.
fn range(bytes: usize) -> http::Call {
    http::Call::Request(Box::new(http::Request {
        id: RequestId(1),
        client_request_id: None,
        method: Method::Put,
        target: Target {
            path: "/v1.0/uploads/nobodys".to_owned(),
            query: None,
        },
        host: Some(Host::parse(b"localhost").unwrap()),
        authorization: None,
        fields: vec![RequestField {
            name: "content-type".to_owned(),
            value: b"application/octet-stream".to_vec(),
        }],
        content: http::Content::Length(bytes as u64),
    }))
}

impl Site {
    fn ask_http(&mut self, session: SessionId, call: http::Call) {
        self.ask(session, Call::Http(call));
    }

    /// A request with content in so many pieces, of which the last so many are left out.
    fn send(&mut self, pieces: usize, left_out: usize) -> SessionId {
        let session = self.connect(ListenerKind::Http);
        let data = Bytes::from_static(&[b'x'; 1000]);
        self.ask_http(session, range(data.len() * pieces));
        for number in 0..pieces - left_out {
            let (upload, data) = (UploadId(1), data.clone());
            let last = number + 1 == pieces;
            let piece = http::Call::Chunk { upload, data, last };
            self.ask_http(session, piece);
        }
        session
    }

    /// Runs the jobs that write files.
    fn stage(&mut self) {
        while let Some(at) = self
            .jobs
            .iter()
            .position(|job| matches!(job, Job::Stage { .. } | Job::DropStage(_)))
        {
            let job = self.jobs.remove(at).unwrap();
            self.finish(job.run(&self.world));
        }
    }

    /// What is in the folder of files on their way in.
    fn files(&self) -> usize {
        let folder = self.config.mail_root.join("spool/tmp");
        std::fs::read_dir(folder).unwrap().count()
    }

    fn statuses(&mut self) -> Vec<Status> {
        let events = std::mem::take(&mut self.events).into_iter();
        let statuses = events.filter_map(|(_, event)| match event {
            SessionEvent::Reply(_, Reply::Http(http::Reply::Respond(response))) => {
                Some(response.status())
            }
            _ => None,
        });
        statuses.collect()
    }
}

#[test]
fn content_of_one_piece_needs_no_file() {
    let mut site = Site::new();
    site.send(1, 0);
    assert!(matches!(
        site.jobs.front(),
        Some(Job::Answer {
            content: Content::Inline(_),
            ..
        })
    ));
    site.settle();
    assert_eq!(site.statuses(), [Status::NOT_FOUND]);
}

#[test]
fn large_content_is_in_a_file_until_it_is_answered() {
    let mut site = Site::new();
    site.send(3, 0);
    site.stage();
    assert_eq!(site.files(), 1);
    let Some(Job::Answer {
        content: Content::Staged(stage),
        ..
    }) = site.jobs.front()
    else {
        panic!("{:?}", site.jobs);
    };
    assert_eq!(
        site.world.store.stage_read(*stage).unwrap(),
        [b'x'; 3000][..]
    );
    site.settle();
    assert_eq!(site.statuses(), [Status::NOT_FOUND]);
    assert_eq!(site.files(), 0);
}

#[test]
fn content_that_finds_no_room_is_refused_once_and_leaves_nothing() {
    for error in [StoreError::Full, StoreError::TooMany("uploads")] {
        let mut site = Site::new();
        let session = site.send(3, 1);
        let Some(Job::Stage { upload, .. }) = site.jobs.pop_front() else {
            panic!("the first piece is staged");
        };
        site.finish(Done::Staged {
            session,
            upload,
            stage: None,
            outcome: Err(error),
        });
        site.ask_http(session, http::Call::Discard { upload });
        site.settle();
        assert_eq!(site.statuses(), [Status::SERVICE_UNAVAILABLE]);
        assert!(site.node.uploads.is_empty());
        assert_eq!(site.files(), 0);
    }
}

#[test]
fn content_of_a_client_that_goes_leaves_nothing() {
    for is_written in [true, false] {
        let mut site = Site::new();
        let session = site.send(3, 1);
        if is_written {
            site.stage();
            assert_eq!(site.files(), 1);
        }
        site.node.handle_session_over(site.now, session);
        site.settle();
        assert!(site.node.uploads.is_empty());
        assert_eq!(site.files(), 0);
    }
}

#[test]
fn few_large_contents_are_in_memory_at_once_and_hold_up_no_small_ones() {
    let mut site = Site::new();
    let large = limits::LARGE_REQUESTS_RUNNING + 2;
    let sessions: Vec<SessionId> = (0..large).map(|_| site.send(3, 0)).collect();
    site.stage();
    assert_eq!(site.jobs.len(), limits::LARGE_REQUESTS_RUNNING);
    site.send(1, 0);
    let small = site.jobs.pop_back().unwrap().run(&site.world);
    site.finish(small);
    assert_eq!(site.statuses(), [Status::NOT_FOUND]);
    // One that waits for nobody any more goes with its file.
    site.node.handle_session_over(site.now, sessions[large - 1]);
    site.settle();
    assert_eq!(site.statuses(), vec![Status::NOT_FOUND; large - 1]);
    assert_eq!(site.files(), 0);
}
