//! The node, and its actions carried out: jobs on the blocking pool, events to sessions.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    process::exit,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmail_server::{
    Instant, Now,
    node::{Admission, Job, ListenerKind, ListenerSpec, Node, NodeAction, SocketId, World},
    session::{Session, SessionEvent, SessionId},
};
use tokio::{
    net::{TcpListener, UnixDatagram},
    sync::{Notify, mpsc, watch},
};

use crate::{
    LogFilter,
    clock::Clock,
    datagram::{self, OpenSocket},
    dial, level_filter,
    listener::{self, OpenListener},
};

/// Exit code of a process in which a job panicked.
const JOB_PANICKED: i32 = 101;

/// What all tasks share.
pub(crate) struct Hub {
    shared: Mutex<Shared>,
    world: Arc<World>,
    clock: Clock,
    datagrams: Option<UnixDatagram>,
    log: LogFilter,
    /// The node's deadline may have moved.
    deadline_moved: Notify,
    is_stopped: watch::Sender<bool>,
}

struct Shared {
    node: Node,
    sessions: BTreeMap<SessionId, mpsc::UnboundedSender<SessionEvent>>,
    /// UDP sockets that are open; dropping one closes it.
    sockets: BTreeMap<SocketId, OpenSocket>,
    /// Listeners that are open; dropping one closes it.
    listeners: BTreeMap<ListenerSpec, OpenListener>,
    deadline: Option<Instant>,
}

impl Hub {
    pub(crate) fn new(
        node: Node,
        world: Arc<World>,
        clock: Clock,
        datagrams: Option<UnixDatagram>,
        log: LogFilter,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Mutex::new(Shared {
                node,
                sessions: BTreeMap::new(),
                sockets: BTreeMap::new(),
                listeners: BTreeMap::new(),
                deadline: None,
            }),
            world,
            clock,
            datagrams,
            log,
            deadline_moved: Notify::new(),
            is_stopped: watch::Sender::new(false),
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn datagrams(&self) -> Option<&UnixDatagram> {
        self.datagrams.as_ref()
    }

    /// Does something with the node, and carries out what it wants then.
    pub(crate) fn with_node<R>(self: &Arc<Self>, act: impl FnOnce(&mut Node, Now) -> R) -> R {
        self.with_shared(|shared, now| act(&mut shared.node, now))
    }

    fn with_shared<R>(self: &Arc<Self>, act: impl FnOnce(&mut Shared, Now) -> R) -> R {
        let mut shared = self.lock();
        let result = act(&mut shared, self.clock.now());
        while let Some(action) = shared.node.poll_action() {
            self.carry_out(&mut shared, action);
        }
        let deadline = shared.node.poll_timeout();
        if shared.deadline != deadline {
            shared.deadline = deadline;
            self.deadline_moved.notify_one();
        }
        result
    }

    /// Accepts on a listener until the node wants no more.
    pub(crate) fn accept(self: &Arc<Self>, spec: ListenerSpec, listener: TcpListener) {
        let open = listener::spawn(self, spec, listener);
        self.lock().listeners.insert(spec, open);
    }

    /// Somebody has connected. From now on the session's events arrive, if there is one: what
    /// the node says right after admitting it is not lost.
    pub(crate) fn handle_connection(
        self: &Arc<Self>,
        kind: ListenerKind,
        peer: SocketAddr,
        local: IpAddr,
    ) -> (Admission, mpsc::UnboundedReceiver<SessionEvent>) {
        let (sender, events) = mpsc::unbounded_channel();
        let admission = self.with_shared(|shared, now| {
            let admission = shared.node.handle_connection(now, kind, peer, local);
            if let Admission::Admitted(session) = &admission {
                shared.sessions.insert(session.id(), sender);
            }
            admission
        });
        (admission, events)
    }

    /// A connection that the node asked for is there, or not. The session that it makes of it, if
    /// it is still wanted.
    pub(crate) fn handle_dialled(
        self: &Arc<Self>,
        id: SessionId,
        outcome: Result<(), String>,
    ) -> Option<(Box<Session>, mpsc::UnboundedReceiver<SessionEvent>)> {
        let (sender, events) = mpsc::unbounded_channel();
        let begun = self.with_shared(|shared, now| {
            let begun = shared.node.handle_dialled(now, id, outcome)?;
            shared.sessions.insert(id, sender);
            Some(begun)
        })?;
        Some((begun, events))
    }

    pub(crate) fn session_over(self: &Arc<Self>, session: SessionId) {
        self.with_shared(|shared, now| {
            shared.sessions.remove(&session);
            shared.node.handle_session_over(now, session);
        });
    }

    /// Ends when the node has stopped.
    pub(crate) async fn stopped(&self) {
        let stopped = self
            .is_stopped
            .subscribe()
            .wait_for(|stopped| *stopped)
            .await
            .is_ok();
        debug_assert!(stopped, "the hub holds the sender");
    }

    pub(crate) fn spawn_timer(self: &Arc<Self>) {
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let deadline = hub.lock().deadline;
                match deadline {
                    Some(at) => {
                        let at = hub.clock.instant(at).into();
                        tokio::select! {
                            () = tokio::time::sleep_until(at) => {
                                hub.with_node(|node, now| node.handle_timeout(now));
                            }
                            () = hub.deadline_moved.notified() => {}
                        }
                    }
                    None => hub.deadline_moved.notified().await,
                }
            }
        });
    }

    fn carry_out(self: &Arc<Self>, shared: &mut Shared, action: NodeAction) {
        match action {
            NodeAction::RunJob(job) => self.run(job),
            NodeAction::Notify(session, event) => {
                if let Some(sender) = shared.sessions.get(&session) {
                    // A session whose task is gone needs no event.
                    let _ = sender.send(event);
                }
            }
            NodeAction::SendDatagram { to, bytes } => {
                if let Some(socket) = &self.datagrams {
                    // Losing one is harmless.
                    let _ = socket.try_send_to(&bytes, to);
                }
            }
            NodeAction::Dial {
                session,
                to,
                patience,
            } => dial::spawn(self, session, to, patience),
            NodeAction::SendUdp { socket, to, bytes } => {
                let open = datagram::spawn_udp(self, socket, to, bytes);
                shared.sockets.insert(socket, open);
            }
            NodeAction::CloseUdp(socket) => drop(shared.sockets.remove(&socket)),
            NodeAction::SetLogLevel(level) => {
                // The subscriber lives as long as the process.
                let _ = self.log.reload(level_filter(level));
            }
            NodeAction::Listen(spec) => listener::spawn_opening(self, spec),
            NodeAction::CloseListener(spec) => drop(shared.listeners.remove(&spec)),
            NodeAction::Stopped => {
                self.is_stopped.send_replace(true);
            }
        }
    }

    fn run(self: &Arc<Self>, job: Job) {
        let hub = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let Ok(done) = catch_unwind(AssertUnwindSafe(|| job.run(&hub.world))) else {
                // Nobody knows what is left undone: only a new start can put that right.
                eprintln!("CRITICAL a job panicked; see above");
                exit(JOB_PANICKED);
            };
            hub.with_node(|node, now| node.handle_job_done(now, done));
        });
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
