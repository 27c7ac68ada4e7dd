//! A session driven over its socket.

use std::{
    future::poll_fn,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rmail_server::{
    Instant,
    session::{Session, SessionEvent},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    sync::mpsc::UnboundedReceiver,
    time::{Sleep, sleep_until},
};

use crate::jobs::Hub;

/// Bytes that are read from a socket at once. The buffer lives on the stack, so that a quiet
/// session holds none.
const READ_BYTES: usize = 32 * 1024;

/// Runs a session to its end.
pub(crate) async fn drive(
    hub: Arc<Hub>,
    stream: TcpStream,
    session: Box<Session>,
    events: UnboundedReceiver<SessionEvent>,
) {
    let mut driver = Driver {
        hub,
        stream,
        session,
        events,
        alarm: None,
    };
    poll_fn(|context| driver.poll(context)).await;
}

struct Driver {
    hub: Arc<Hub>,
    stream: TcpStream,
    session: Box<Session>,
    events: UnboundedReceiver<SessionEvent>,
    /// Rings at the session's deadline, or before.
    alarm: Option<Alarm>,
}

impl Drop for Driver {
    /// However a session ends, the node hears of it.
    fn drop(&mut self) {
        self.hub.session_over(self.session.id());
    }
}

struct Alarm {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Driver {
    /// Others have their turn as well: tokio's sockets are pending now and then for that.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut progress = self.poll_events(context);
            progress |= self.pass_requests();
            progress |= self.poll_write(context);
            progress |= self.poll_read(context);
            progress |= self.poll_alarm(context);
            if self.session.is_over() {
                self.pass_requests();
                return Poll::Ready(());
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    fn poll_events(&mut self, context: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(event)) = self.events.poll_recv(context) else {
            return false;
        };
        self.session.handle_event(self.hub.clock().now(), event);
        true
    }

    fn pass_requests(&mut self) -> bool {
        let mut progress = false;
        while let Some(request) = self.session.poll_request() {
            let id = self.session.id();
            self.hub
                .with_node(|node, now| node.handle_request(now, id, request));
            progress = true;
        }
        progress
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> bool {
        let bytes = self.session.transmit();
        if bytes.is_empty() {
            return self.session.wants_write_end() && self.poll_write_end(context);
        }
        let now = self.hub.clock().now();
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => self.session.handle_sent(now, written),
            Poll::Ready(Err(_)) => self.session.handle_stream_failure(now),
            Poll::Pending => return false,
        }
        true
    }

    fn poll_write_end(&mut self, context: &mut Context<'_>) -> bool {
        let now = self.hub.clock().now();
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Ready(Ok(())) => self.session.handle_write_ended(now),
            Poll::Ready(Err(_)) => self.session.handle_stream_failure(now),
            Poll::Pending => return false,
        }
        true
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> bool {
        if !self.session.wants_read() {
            return false;
        }
        let mut buffer = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
        let now = self.hub.clock().now();
        match read {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.session.handle_end_of_stream(now);
            }
            Poll::Ready(Ok(())) => self.session.handle_received(now, buffer.filled()),
            Poll::Ready(Err(_)) => self.session.handle_stream_failure(now),
            Poll::Pending => return false,
        }
        true
    }

    /// An alarm is moved forward at once, and back only when it rings: deadlines move back with
    /// every command.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> bool {
        let Some(deadline) = self.session.poll_timeout() else {
            self.alarm = None;
            return false;
        };
        let clock = self.hub.clock();
        let alarm = self.alarm.get_or_insert_with(|| Alarm {
            at: deadline,
            sleep: Box::pin(sleep_until(clock.instant(deadline).into())),
        });
        if deadline < alarm.at {
            alarm.at = deadline;
            alarm.sleep.as_mut().reset(clock.instant(deadline).into());
        }
        if alarm.sleep.as_mut().poll(context).is_pending() {
            return false;
        }
        self.alarm = None;
        let now = clock.now();
        if now.at >= deadline {
            self.session.handle_timeout(now);
        }
        true
    }
}
