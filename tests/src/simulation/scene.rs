//! Where clients live: a world, the ledger, and what each of them is about.

use std::{
    cell::{Cell, RefCell, RefMut},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use rmail_proto::{Address, Instant, SystemFlags};
use rmail_store::MailboxRef;

use super::{ledger::Ledger, mailbox_view::Known};
use crate::{HostId, ServerIndex, World};

/// The host of the servers that most clients talk to.
pub(super) const HOST: HostId = HostId(0);

/// A server of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) host: HostId,
    pub(super) server: ServerIndex,
}

impl Place {
    pub(super) fn new(host: HostId, server: usize) -> Self {
        let server = ServerIndex(server);
        Self { host, server }
    }

    pub(super) fn is_up(self, scene: &Scene) -> bool {
        scene.world().is_up(self.host, self.server)
    }
}

/// What all clients of a run share. Clones are the same scene.
#[derive(Clone)]
pub(super) struct Scene {
    shared: Rc<Shared>,
}

struct Shared {
    world: RefCell<World>,
    ledger: RefCell<Ledger>,
    /// Whose turn it is.
    current: Cell<usize>,
    /// What each client waits for, for people.
    statuses: RefCell<Vec<String>>,
    /// Whether faults are over.
    is_healed: Cell<bool>,
}

impl Scene {
    pub(super) fn new(world: World) -> Self {
        Self {
            shared: Rc::new(Shared {
                world: RefCell::new(world),
                ledger: RefCell::default(),
                current: Cell::new(0),
                statuses: RefCell::default(),
                is_healed: Cell::new(false),
            }),
        }
    }

    pub(super) fn world(&self) -> RefMut<'_, World> {
        self.shared.world.borrow_mut()
    }

    pub(super) fn ledger(&self) -> RefMut<'_, Ledger> {
        let now = self.at();
        let mut ledger = self.shared.ledger.borrow_mut();
        ledger.now = now;
        ledger
    }

    pub(super) fn at(&self) -> Instant {
        self.world().now().at
    }

    /// Says what the present client is about.
    pub(super) fn status(&self, text: impl Into<String>) {
        let mut statuses = self.shared.statuses.borrow_mut();
        let current = self.shared.current.get();
        if let Some(status) = statuses.get_mut(current) {
            *status = text.into();
        }
    }

    pub(super) fn is_healed(&self) -> bool {
        self.shared.is_healed.get()
    }

    pub(super) fn heal(&self) {
        self.shared.is_healed.set(true);
    }

    /// Waits for so long.
    pub(super) async fn sleep(&self, duration: Duration) {
        let until = self.at() + duration;
        self.world().wake_at(until);
        self.wait_for(|scene| (scene.at() >= until).then_some(()))
            .await;
    }

    /// Waits until there is something. It is looked for whenever anything has happened.
    pub(super) async fn wait_for<T>(&self, mut find: impl FnMut(&Self) -> Option<T>) -> T {
        let found = |_: &mut Context<'_>| match find(self) {
            Some(found) => Poll::Ready(found),
            None => Poll::Pending,
        };
        poll_fn(found).await
    }

    /// A mailbox by the store of a server, each message with its MODSEQ; `None` when it can't be
    /// read now.
    pub(super) fn mailbox(
        &self,
        Place { host, server }: Place,
        account: &str,
        name: &str,
    ) -> Option<Vec<(Known, u64)>> {
        let store = self.world().store(host, server)?;
        let address = Address::parse(account).ok()?;
        let account = store.account_by_address(&address).ok()??;
        let mailbox = MailboxRef::Name(name.to_owned());
        let state = store.mailbox_state(account.id, &mailbox).ok()?;
        let messages = state.changes.changed.iter().map(|message| {
            let system = SystemFlags::NAMED.iter();
            let system = system.filter(|(flag, _)| message.flags.system.contains(*flag));
            let keywords = message.flags.keywords.iter();
            let names = system
                .map(|(_, name)| (*name).to_owned())
                .chain(keywords.map(|keyword| keyword.as_str().to_owned()));
            let known = Known {
                uid: Some(message.uid.0.get()),
                flags: Some(names.collect()),
            };
            (known, message.modseq.0)
        });
        Some(messages.collect())
    }

    /// A server of the first host.
    pub(super) fn server(&self, number: usize) -> Place {
        Place::new(HOST, number)
    }
}

/// A client, and what it is called.
pub(super) struct Task {
    name: String,
    /// Nobody waits for it to be done.
    is_background: bool,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// Everybody who does something in a scene.
pub(super) struct Cast {
    scene: Scene,
    tasks: Vec<Task>,
    /// Whether time in which nothing is to be done passes at once.
    passes_over_rest: bool,
}

impl Cast {
    pub(super) fn new(scene: Scene, passes_over_rest: bool) -> Self {
        Self {
            scene,
            tasks: Vec::new(),
            passes_over_rest,
        }
    }

    pub(super) fn add(&mut self, name: String, future: impl Future<Output = ()> + 'static) {
        self.add_task(name, false, future);
    }

    /// Somebody who goes on for as long as anybody else does.
    pub(super) fn add_background(
        &mut self,
        name: String,
        future: impl Future<Output = ()> + 'static,
    ) {
        self.add_task(name, true, future);
    }

    fn add_task(
        &mut self,
        name: String,
        is_background: bool,
        future: impl Future<Output = ()> + 'static,
    ) {
        self.scene.shared.statuses.borrow_mut().push(String::new());
        self.tasks.push(Task {
            name,
            is_background,
            future: Some(Box::pin(future)),
        });
    }

    /// Lets everything happen until all are done, or until the time is `deadline`. Returns
    /// whether they are.
    pub(super) fn play(&mut self, deadline: Instant) -> bool {
        loop {
            self.scene.world().settle();
            let touched = self.scene.world().touched();
            let are_done = self.poll();
            if self.scene.world().touched() != touched {
                continue;
            }
            if are_done {
                return true;
            }
            let mut world = self.scene.world();
            let rest = match self.passes_over_rest {
                true => world.rests_until(),
                false => None,
            };
            match rest.or_else(|| world.next_event()) {
                Some(at) if at <= deadline => world.set_time(at),
                Some(_) | None => {
                    world.set_time(deadline);
                    return false;
                }
            }
        }
    }

    /// Everybody looks whether there is something for them. Returns whether all are done.
    fn poll(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let mut are_done = true;
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let Some(future) = &mut task.future else {
                continue;
            };
            self.scene.shared.current.set(number);
            match future.as_mut().poll(&mut context) {
                Poll::Ready(()) => task.future = None,
                Poll::Pending => are_done &= task.is_background,
            }
        }
        are_done
    }

    /// Who is not done, and what they and their sessions wait for.
    pub(super) fn describe(&self) -> String {
        let statuses = self.scene.shared.statuses.borrow();
        let waiting = self.tasks.iter().zip(statuses.iter());
        let waiting = waiting.filter(|(task, _)| task.future.is_some() && !task.is_background);
        let mut lines: Vec<String> = waiting
            .map(|(task, status)| format!("{}: {status}", task.name))
            .collect();
        lines.push(self.scene.world().describe());
        lines.join("\n")
    }
}
