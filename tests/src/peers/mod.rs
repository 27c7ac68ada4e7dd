//! Other people's mail servers: Postfix and Exim, as `tests/peers/unpack` has unpacked them below
//! `target/ci-peers`, each with all its files in a folder of its own.
//!
//! Both need root, for they change to users of their own. Those exist for them alone: a library
//! that is loaded before the others shows them a user database in their folder. Another one shows
//! them a name server.

mod exim;
mod postfix;

use std::{
    fs::{self, Permissions},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::unix::{fs::PermissionsExt as _, fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::{daemon::PATIENCE, lines::Door, programs};

/// The user and group that a peer runs as.
const OWNER: u32 = 7001;

/// A group of Postfix's for the programs with which local users send mail.
const DROP_GROUP: u32 = 7002;

/// How often a mailbox is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The servers that we meet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerKind {
    /// Postfix
    Postfix,
    /// Exim
    Exim,
}

impl PeerKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postfix => "Postfix",
            Self::Exim => "Exim",
        }
    }

    /// The domain of which it has the mailboxes. Its own name is `mx.` and that.
    pub fn domain(self) -> &'static str {
        match self {
            Self::Postfix => "postfix.example",
            Self::Exim => "exim.example",
        }
    }

    /// Whether it is there and can be run.
    ///
    /// # Panics
    ///
    /// When it is not, and must be.
    pub fn is_installed(self) -> bool {
        let is_there = prefix().join("complete").exists() && geteuid().is_root();
        let name = format!("{} (tests/peers/unpack, and root)", self.name());
        programs::is_there(&name, is_there)
    }
}

/// What a peer is to know.
#[derive(Clone, Debug)]
pub struct PeerSetup<'a> {
    /// The port that it listens on; [`free_port`](crate::daemon::free_port) has some.
    pub port: u16,
    /// Where `cert.pem` and `key.pem` are.
    pub tls: &'a Path,
    /// Mail for `example.com` goes to this port.
    pub example_com: u16,
    /// Mail for `loop.example` goes to this port, after a login with STARTTLS.
    pub loop_example: u16,
    /// The address and the password of that login.
    pub login: (&'a str, &'a str),
    /// Who answers its questions to the DNS, on port 53; `None`: it asks nothing.
    pub name_server: Option<IpAddr>,
    /// The one SASL mechanism that it offers to [`Peer::USER`]; of Postfix alone.
    pub mechanism: Option<&'a str>,
    /// Parameters of `main.cf` that differ; of Postfix alone.
    pub postfix_settings: &'a [(&'a str, String)],
}

impl PeerSetup<'_> {
    /// On this port, with mail for nobody else.
    pub fn new(port: u16, tls: &Path) -> PeerSetup<'_> {
        PeerSetup {
            port,
            tls,
            example_com: port,
            loop_example: port,
            login: ("", ""),
            name_server: None,
            mechanism: None,
            postfix_settings: &[],
        }
    }
}

/// A peer that runs, until it is dropped. It relays for everybody on this machine. Its mailboxes
/// take everything but what is for `nobody`, who is not known (550), and for `later`, who is put
/// off (450) until [`open_up`](Peer::open_up).
#[derive(Debug)]
pub struct Peer {
    kind: PeerKind,
    port: u16,
    folder: TempDir,
    child: Child,
}

impl Peer {
    /// Who may log in, where logins are offered.
    pub const USER: &str = "alice";

    /// With this password.
    pub const PASSWORD: &str = "open sesame, please";

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(kind: PeerKind, setup: &PeerSetup<'_>) -> Self {
        let folder = TempDir::with_prefix("rmail-peer-").expect("a folder can be made");
        let path = folder.path();
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
        write_users(path);
        let resolver = setup.name_server.map(|it| format!("nameserver {it}\n"));
        write_file(path, "resolv.conf", &resolver.unwrap_or_default());
        make_folder(path, "box", OWNER);
        make_folder(path, "log", OWNER);
        let mut command = match kind {
            PeerKind::Postfix => postfix::prepare(path, setup),
            PeerKind::Exim => exim::prepare(path, setup),
        };
        let output = fs::File::create(path.join("output")).expect("it can be written");
        let errors = output.try_clone().expect("there are file descriptors left");
        let child = isolated(&mut command, path)
            // Postfix ends its process group with itself.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn();
        let peer = Self {
            kind,
            port: setup.port,
            child: child.expect("it was unpacked"),
            folder,
        };
        peer.wait("it does not listen", || {
            TcpStream::connect(peer.address()).ok()
        });
        peer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// For a plain client.
    pub fn door(&self) -> Door {
        Door::clear(self.address())
    }

    /// With more Received fields than that, a message goes in circles for it.
    pub fn hops_max(&self) -> usize {
        match self.kind {
            // `hopcount_limit`
            PeerKind::Postfix => 50,
            // `received_headers_max`
            PeerKind::Exim => 30,
        }
    }

    /// The id of its first process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// From now on `later` takes mail.
    pub fn open_up(&self) {
        fs::write(self.folder.path().join("open"), "").expect("the folder can be written");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        [
            read("output"),
            read("log/mainlog"),
            read("log/paniclog"),
            read("log/maillog"),
        ]
        .concat()
    }

    /// Waits until a message with this text is in its mailboxes; that message, its lines ended by
    /// LF as they are kept.
    ///
    /// # Panics
    ///
    /// When there is none in time.
    pub fn wait_for_mail(&self, text: &str) -> String {
        self.wait(&format!("no message has {text:?}"), || {
            let mut mails = self.mails().into_iter();
            mails.find(|mail| mail.contains(text))
        })
    }

    /// All messages in its mailboxes.
    pub fn mails(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("box/new")) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths
            .filter_map(|path| fs::read_to_string(path).ok())
            .collect()
    }

    /// Waits for a line with this text in its log.
    ///
    /// # Panics
    ///
    /// When there is none in time.
    pub fn wait_for_log(&self, text: &str) -> String {
        self.wait(&format!("{text:?} was not logged"), || {
            let log = self.log();
            log.lines()
                .find(|line| line.contains(text))
                .map(str::to_owned)
        })
    }

    fn wait<T>(&self, failure: &str, mut find: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find() {
                return found;
            }
            let name = self.kind.name();
            assert!(
                Instant::now() < until,
                "{name}: {failure}; the log:\n{}",
                self.log()
            );
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of {}:\n{}", self.kind.name(), self.log());
        }
    }
}

/// Where both are unpacked.
fn prefix() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ci-peers")
}

/// The environment of the peer's programs, as its configuration must know it: they find their own
/// libraries and users.
fn environment(folder: &Path) -> [(&'static str, PathBuf); 5] {
    let preloaded = ["libnss_wrapper.so", "libresolv_wrapper.so"].map(|it| prefix().join(it));
    let preloaded = preloaded.map(|it| it.display().to_string()).join(":");
    [
        ("LD_LIBRARY_PATH", prefix().join("usr/lib/postfix")),
        ("LD_PRELOAD", preloaded.into()),
        ("NSS_WRAPPER_PASSWD", folder.join("passwd")),
        ("NSS_WRAPPER_GROUP", folder.join("group")),
        ("RESOLV_WRAPPER_CONF", folder.join("resolv.conf")),
    ]
}

fn isolated<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(environment(folder))
        .current_dir(folder)
}

fn write_users(folder: &Path) {
    let home = "/nonexistent:/bin/false";
    let users = format!(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:{home}\n\
         postfix:x:{OWNER}:{OWNER}:Postfix:{home}\n\
         Debian-exim:x:{OWNER}:{OWNER}:Exim:{home}\n"
    );
    let groups = format!(
        "root:x:0:\nnogroup:x:65534:\npostfix:x:{OWNER}:\npostdrop:x:{DROP_GROUP}:\n\
         Debian-exim:x:{OWNER}:\n"
    );
    write_file(folder, "passwd", &users);
    write_file(folder, "group", &groups);
}

fn write_file(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join(name), content).expect("the folder can be written");
}

fn make_folder(folder: &Path, name: &str, owner: u32) {
    let path = folder.join(name);
    fs::create_dir_all(&path).expect("the folder can be written");
    chown(path, Some(owner), Some(owner)).expect("we are root");
}
