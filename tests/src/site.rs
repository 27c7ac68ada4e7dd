//! Where a journey takes place.

use std::{cell::RefCell, rc::Rc, time::Duration};

use rmail_server::node::ListenerKind;

use crate::{AccountSetup, Client};

/// One of the servers of a site, counted from 0.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ServerIndex(pub usize);

/// Names a client's stream. Never reused at a site.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct StreamId(pub u64);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("stream {}", self.0))
    }
}

/// What a client hears.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The server will send no more.
    End,
    /// Nothing, for as long as the client was ready to wait.
    Silence,
}

/// What an operator does to accounts while servers run.
#[derive(Clone, Debug)]
pub enum AccountChange {
    /// `user add`
    Add(AccountSetup),
    /// `user passwd`
    SetPassword {
        /// Whose.
        address: String,
        /// The new one.
        password: String,
    },
    /// `user delete`
    Delete {
        /// Which.
        address: String,
    },
}

/// What carries a site's bytes, and runs its servers.
pub trait Wire {
    /// Connects to a listener.
    fn connect(&mut self, server: ServerIndex, listener: ListenerKind) -> StreamId;
    /// Sends all of it, now or as soon as there is room. What the server no longer takes is lost.
    fn send(&mut self, stream: StreamId, bytes: &[u8]);
    /// What comes next, which is waited for so long at most.
    fn receive(&mut self, stream: StreamId, patience: Duration) -> Received;
    /// The client leaves, at once.
    fn disconnect(&mut self, stream: StreamId);
    /// Asks a server to stop, as SIGTERM does, without waiting for it.
    fn stop(&mut self, server: ServerIndex);
    /// Waits until a server that was asked to stop has ended, and starts it again.
    fn restart(&mut self, server: ServerIndex);
    /// Does what the command line does to accounts.
    fn change_account(&mut self, change: AccountChange);
    /// Lets time go by.
    fn pass(&mut self, duration: Duration);
}

/// Where a journey takes place: hands out clients. Clones are the same site.
#[derive(Clone)]
pub struct Site {
    wire: Rc<RefCell<dyn Wire>>,
}

impl Site {
    /// A site over a wire.
    pub fn new(wire: impl Wire + 'static) -> Self {
        Self {
            wire: Rc::new(RefCell::new(wire)),
        }
    }

    /// A site over a wire to which somebody else holds on, too.
    pub fn shared(wire: Rc<RefCell<dyn Wire>>) -> Self {
        Self { wire }
    }

    /// Connects to the first server. With implicit TLS, the handshake is done.
    pub fn connect(&self, listener: ListenerKind) -> Client {
        self.connect_to(ServerIndex(0), listener)
    }

    /// Connects to a server. With implicit TLS, the handshake is done.
    pub fn connect_to(&self, server: ServerIndex, listener: ListenerKind) -> Client {
        let stream = self.wire(|wire| wire.connect(server, listener));
        let mut client = Client::new(self.clone(), stream);
        match listener {
            ListenerKind::Smtps | ListenerKind::Imaps | ListenerKind::Https => client.start_tls(),
            ListenerKind::Smtp
            | ListenerKind::Submission
            | ListenerKind::Imap
            | ListenerKind::Http => {}
        }
        client
    }

    /// As [`Wire::stop`].
    pub fn stop(&self, server: ServerIndex) {
        self.wire(|wire| wire.stop(server));
    }

    /// As [`Wire::restart`].
    pub fn restart(&self, server: ServerIndex) {
        self.wire(|wire| wire.restart(server));
    }

    /// As [`Wire::change_account`].
    pub fn change_account(&self, change: AccountChange) {
        self.wire(|wire| wire.change_account(change));
    }

    /// As [`Wire::pass`].
    pub fn pass(&self, duration: Duration) {
        self.wire(|wire| wire.pass(duration));
    }

    pub(crate) fn wire<T>(&self, use_wire: impl FnOnce(&mut dyn Wire) -> T) -> T {
        use_wire(&mut *self.wire.borrow_mut())
    }
}
