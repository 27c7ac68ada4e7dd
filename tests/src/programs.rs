//! Other people's programs. One that is missing is left out, and that is said; where
//! `RMAIL_CLIENTS=required` is set, it is a failure.

use std::{
    env,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use crate::daemon::{PATIENCE, free_port};

/// Whether this command succeeds.
///
/// # Panics
///
/// When it does not, and must.
pub fn is_installed(program: &str, command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output();
    is_there(program, output.is_ok_and(|output| output.status.success()))
}

/// What was found out about a program; it is said when it is missing.
pub(crate) fn is_there(program: &str, is_there: bool) -> bool {
    if !is_there {
        let is_required = env::var_os("RMAIL_CLIENTS").is_some_and(|value| value == "required");
        assert!(!is_required, "{program} is not installed");
        // Past what the harness captures of a test that passes.
        let _ = writeln!(std::io::stderr(), "left out: {program} is not installed");
    }
    is_there
}

/// Whether the tests are root, who may do anything.
///
/// # Panics
///
/// When they are not, and must be.
pub fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let is_required = env::var_os("RMAIL_CLIENTS").is_some_and(|value| value == "required");
    assert!(is_root || !is_required, "the tests are not root");
    if !is_root {
        let _ = writeln!(std::io::stderr(), "left out: only root can do this");
    }
    is_root
}

/// A small DNS server: for zones of its own, or between a resolver and another server. It ends
/// when it is dropped.
#[derive(Debug)]
pub struct Dnsmasq {
    child: Child,
    address: SocketAddr,
}

impl Dnsmasq {
    /// Whether there is one.
    pub fn is_installed() -> bool {
        is_installed("dnsmasq", Command::new("dnsmasq").arg("--version"))
    }

    /// Starts it on a free port of 127.0.0.1. What it knows are options such as
    /// `--mx-host=example.net,mx.example.net,10`, `--host-record=mx.example.net,127.0.0.1` and
    /// `--server=127.0.0.1#5353`.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(options: &[String]) -> Self {
        // One that no other test of this process is given: two servers of names at one port, of
        // which one does not start, would answer each other's questions.
        Self::start_on((Ipv4Addr::LOCALHOST, free_port()).into(), options)
    }

    /// As [`start`](Self::start), at this address of the loopback interface.
    ///
    /// # Panics
    ///
    /// The same.
    pub fn start_on(address: SocketAddr, options: &[String]) -> Self {
        let child = Command::new("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
                "--bind-interfaces",
                "--pid-file=",
                "--user=",
            ])
            .arg(format!("--listen-address={}", address.ip()))
            .arg(format!("--port={}", address.port()))
            .args(options)
            .stdin(Stdio::null())
            .spawn();
        let mut child = child.expect("it is installed");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "dnsmasq does not listen");
            thread::yield_now();
        }
        let ended = child.try_wait().expect("a child can be waited for");
        assert_eq!(ended, None, "somebody else listens at {address}");
        Self { child, address }
    }

    /// Where it is asked, by UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
