//! Daemons as processes, and sockets to them.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use rmail_server::node::ListenerKind;
use rmail_tests::{
    AccountChange, AccountSetup, Received, ServerIndex, Setup, StreamId, Wire,
    daemon::{Daemon, Kind, MailRoot, Port},
};

/// The daemons of a site.
pub(crate) struct Daemons {
    servers: Vec<Daemon>,
    streams: BTreeMap<StreamId, TcpStream>,
    streams_opened: u64,
}

impl Daemons {
    /// Starts what the setup asks for.
    pub(crate) fn start(kind: Kind, setup: &Setup) -> Self {
        let root = MailRoot::new();
        let daemons = Self {
            servers: (0..setup.servers)
                .map(|_| root.start_with(kind, &setup.config))
                .collect(),
            streams: BTreeMap::new(),
            streams_opened: 0,
        };
        for account in &setup.accounts {
            daemons.add_account(account);
        }
        daemons
    }

    fn add_account(&self, account: &AccountSetup) {
        let mut arguments = vec!["user", "add", &account.address, "--password-stdin"];
        if account.is_admin {
            arguments.push("--admin");
        }
        self.command(&arguments, &account.password);
    }

    /// Runs the command line, with a line of input.
    fn command(&self, arguments: &[&str], input: &str) {
        let output = self.servers[0].command(arguments, &format!("{input}\n"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {said}");
    }
}

impl Wire for Daemons {
    fn connect(&mut self, server: ServerIndex, listener: ListenerKind) -> StreamId {
        let port = match listener {
            ListenerKind::Smtp => Port::Smtp,
            ListenerKind::Submission => Port::Submission,
            ListenerKind::Smtps => Port::Smtps,
            ListenerKind::Imap => Port::Imap,
            ListenerKind::Imaps => Port::Imaps,
            ListenerKind::Http => Port::Http,
            ListenerKind::Https => Port::Https,
        };
        let address = self.servers[server.0].address(port);
        let stream = TcpStream::connect(address).expect("the server listens");
        self.streams_opened += 1;
        let id = StreamId(self.streams_opened);
        self.streams.insert(id, stream);
        id
    }

    fn send(&mut self, stream: StreamId, bytes: &[u8]) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            // What the server no longer takes is lost.
            stream.write_all(bytes).ok();
        }
    }

    fn receive(&mut self, stream: StreamId, patience: Duration) -> Received {
        let Some(stream) = self.streams.get_mut(&stream) else {
            return Received::End;
        };
        stream
            .set_read_timeout(Some(patience))
            .expect("the patience is not zero");
        let mut buffer = vec![0; 64 * 1024];
        match stream.read(&mut buffer) {
            Ok(0) => Received::End,
            Ok(length) => {
                buffer.truncate(length);
                Received::Bytes(buffer)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Received::Silence,
                ErrorKind::ConnectionReset => Received::End,
                _ => panic!("a stream fails: {error}"),
            },
        }
    }

    fn disconnect(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    fn stop(&mut self, server: ServerIndex) {
        self.servers[server.0].begin_stop();
    }

    fn restart(&mut self, server: ServerIndex) {
        let daemon = &mut self.servers[server.0];
        let status = daemon.wait();
        assert!(status.success(), "the daemon ended with {status}");
        daemon.restart();
    }

    fn change_account(&mut self, change: AccountChange) {
        match change {
            AccountChange::Add(account) => self.add_account(&account),
            AccountChange::SetPassword { address, password } => {
                self.servers[0].set_password(&address, &password);
            }
            AccountChange::Delete { address } => {
                self.command(&["user", "delete", &address, "--yes"], "");
            }
        }
    }

    fn pass(&mut self, duration: Duration) {
        thread::sleep(duration);
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        self.streams.clear();
        if thread::panicking() {
            // Each shows its log as it is dropped.
            return;
        }
        for mut daemon in self.servers.drain(..) {
            let status = daemon.stop();
            assert!(status.success(), "the daemon ended with {status}");
        }
    }
}
