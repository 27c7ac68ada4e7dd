//! The daemons as processes: built, configured, started on free ports of this machine, watched,
//! killed, and ended.
//!
//! A [`MailRoot`] is a folder for mail. Any number of [`Daemon`]s run on it, one after the other or
//! at once; each has a configuration of its own beside the mail.

use std::{
    env,
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    lines::{Door, Lines},
    setup::{Setup, merge},
};

/// How long anything that a daemon is to do by itself may take. Generous: a slow machine that does
/// other things as well is no failure.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Ports are taken from here: below those that the system gives to outgoing connections.
const PORTS: Range<u16> = 12_000..32_000;

/// Those that only root may have, without the ones that are known.
const LOW_PORTS: Range<u16> = 600..1_024;

/// How often a daemon is started on other ports, as somebody was quicker.
const STARTS_MAX: usize = 5;

/// The daemons, which promise the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `rmail`
    Tokio,
    /// `rmail-async-std`
    AsyncStd,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tokio, Self::AsyncStd];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Tokio => Self::AsyncStd,
            Self::AsyncStd => Self::Tokio,
        }
    }

    /// The name of the binary.
    pub fn program(self) -> &'static str {
        match self {
            Self::Tokio => "rmail",
            Self::AsyncStd => "rmail-async-std",
        }
    }

    /// Where the binary is; the first call builds both, so that none is out of date.
    pub fn path(self) -> PathBuf {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        FOLDER.get_or_init(build).join(self.program())
    }
}

/// Each promise, as a test of each daemon: a function of this name here, or at this path.
#[macro_export]
macro_rules! promises {
    ($($name:ident,)*) => {
        mod tokio {
            $(#[test] fn $name() { super::$name($crate::daemon::Kind::Tokio); })*
        }
        mod async_std {
            $(#[test] fn $name() { super::$name($crate::daemon::Kind::AsyncStd); })*
        }
    };
    ($($name:ident: $journey:path,)*) => {
        mod tokio {
            $(#[test] fn $name() { $journey($crate::daemon::Kind::Tokio); })*
        }
        mod async_std {
            $(#[test] fn $name() { $journey($crate::daemon::Kind::AsyncStd); })*
        }
    };
}

/// Builds both daemons as this test was built; where they are.
fn build() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent);
    let folder = folder.expect("a test lies in the folder deps of the profile's");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    // With a test beside them, and all of the workspace, they are linked with the libraries that
    // `cargo test --workspace` has built: other features would make them anew.
    cargo
        .args(["build", "--quiet", "--workspace", "--test", "tidy"])
        .args(["--bin", "rmail", "--bin", "rmail-async-std"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status();
    assert!(
        status.as_ref().is_ok_and(ExitStatus::success),
        "the daemons can't be built ({status:?}): see what `cargo build --workspace` says"
    );
    for kind in Kind::ALL {
        let path = folder.join(kind.program());
        assert!(
            path.exists(),
            "{} is missing: run `cargo build --workspace`",
            path.display()
        );
    }
    folder.to_owned()
}

/// A listener of a daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Port {
    /// SMTP from other servers.
    Smtp,
    /// Submission with STARTTLS.
    Submission,
    /// Submission over implicit TLS.
    Smtps,
    /// IMAP with STARTTLS.
    Imap,
    /// IMAP over implicit TLS.
    Imaps,
    /// The HTTP API.
    Http,
    /// The HTTP API over implicit TLS.
    Https,
}

impl Port {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Smtp,
        Self::Submission,
        Self::Smtps,
        Self::Imap,
        Self::Imaps,
        Self::Http,
        Self::Https,
    ];

    /// Section and key in the configuration.
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Smtp => ("smtp", "port"),
            Self::Submission => ("smtp", "submission_port"),
            Self::Smtps => ("smtp", "smtps_port"),
            Self::Imap => ("imap", "port"),
            Self::Imaps => ("imap", "imaps_port"),
            Self::Http => ("exchange_api", "port"),
            Self::Https => ("exchange_api", "secure_port"),
        }
    }
}

/// A folder with a `mail_root`, which is removed when the last daemon on it and this are dropped.
#[derive(Clone, Debug)]
pub struct MailRoot {
    folder: Arc<TempDir>,
    configs_made: Arc<AtomicU32>,
    /// The certificate that its daemons trust as a root, in place of those of the system.
    trusted: Option<PathBuf>,
    /// The command that runs its daemons and their command line; none: they are run as they are.
    launcher: Vec<String>,
    ports: Range<u16>,
}

impl Default for MailRoot {
    fn default() -> Self {
        Self::new()
    }
}

impl MailRoot {
    /// An empty one.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("rmail-test-").expect("a folder can be made");
        Self {
            folder: Arc::new(folder),
            configs_made: Arc::default(),
            trusted: None,
            launcher: Vec::new(),
            ports: PORTS,
        }
    }

    /// Runs its daemons and their command line by this command.
    #[must_use]
    pub fn launched_by(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Gives its daemons ports below 1024.
    #[must_use]
    pub fn on_low_ports(mut self) -> Self {
        self.ports = LOW_PORTS;
        self
    }

    /// Lets every user of the machine enter the folder above the mail.
    ///
    /// # Panics
    ///
    /// When the folder is not ours.
    #[must_use]
    pub fn open_to_all(self) -> Self {
        let open = fs::set_permissions(self.folder(), Permissions::from_mode(0o755));
        open.expect("it is ours");
        self
    }

    /// An empty one, whose daemons trust this certificate as a root, and no other.
    pub fn trusting(certificate: &Path) -> Self {
        Self {
            trusted: Some(certificate.to_owned()),
            ..Self::new()
        }
    }

    /// The folder, for whatever else a test keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certificate that the first daemon makes, in PEM; clients can trust it as it is, for
    /// `localhost` and 127.0.0.1.
    pub fn certificate(&self) -> PathBuf {
        self.folder().join("mail/tls/cert.pem")
    }

    /// A daemon for `example.com`, on loopback, with defaults elsewhere.
    pub fn start(&self, kind: Kind) -> Daemon {
        self.start_with(kind, &json!({}))
    }

    /// As [`start`](Self::start), with these keys changed.
    pub fn start_with(&self, kind: Kind, changes: &Value) -> Daemon {
        let number = self.configs_made.fetch_add(1, Ordering::Relaxed);
        let setup = Setup {
            config: changes.clone(),
            ..Setup::default()
        };
        // The ports are chosen at each start.
        let config = setup.config_json(Path::new("./mail"), [0; 7]);
        let mut daemon = Daemon {
            kind,
            config_path: self.folder().join(format!("config-{number}.json")),
            root: self.clone(),
            config,
            child: None,
            log: Arc::default(),
        };
        daemon.start();
        daemon
    }
}

/// A daemon, which runs until it is killed, stopped or dropped.
#[derive(Debug)]
pub struct Daemon {
    kind: Kind,
    root: MailRoot,
    config: Value,
    config_path: PathBuf,
    child: Option<Child>,
    log: Arc<Log>,
}

impl Daemon {
    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it runs.
    pub fn root(&self) -> &MailRoot {
        &self.root
    }

    /// Its configuration file.
    pub fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// Where a listener is; others after a restart.
    pub fn address(&self, port: Port) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port(port)))
    }

    /// The port of a listener.
    pub fn port(&self, port: Port) -> u16 {
        let (section, key) = port.keys();
        let port = self.config[section][key].as_u64();
        let port = port.and_then(|port| u16::try_from(port).ok());
        port.expect("a port was chosen before the start")
    }

    /// For a plain client: implicit TLS where the listener has it, else none.
    pub fn door(&self, port: Port) -> Door {
        match port {
            Port::Smtp | Port::Submission | Port::Imap | Port::Http => {
                Door::clear(self.address(port))
            }
            Port::Smtps | Port::Imaps | Port::Https => {
                Door::tls(self.address(port), &self.root.certificate())
            }
        }
    }

    /// A plain IMAP client that is logged in, over TLS.
    pub fn imap(&self, address: &str, password: &str) -> Lines {
        let client = self.door(Port::Imaps).log_in(address, password);
        client.unwrap_or_else(|error| panic!("{address} can't log in: {error}"))
    }

    /// A plain client that is logged in for submission, over TLS.
    pub fn submission(&self, address: &str, password: &str) -> Lines {
        let client = self.door(Port::Smtps).log_in_to_send(address, password);
        client.unwrap_or_else(|error| panic!("{address} can't log in: {error}"))
    }

    /// Waits until a message with this text is in an INBOX; that message.
    ///
    /// # Panics
    ///
    /// When there is none in time.
    pub fn wait_for_mail(&self, (address, password): (&str, &str), text: &str) -> String {
        let mut client = self.imap(address, password);
        client.imap("SELECT INBOX").expect("there is an INBOX");
        let until = Instant::now() + PATIENCE;
        loop {
            let (_, found) = client.imap("NOOP").expect("the connection lasts");
            assert!(found.starts_with("OK"), "{found}");
            let fetched = client.imap("FETCH 1:* BODY.PEEK[]");
            let (untagged, _) = fetched.expect("the mailbox can be read");
            if let Some(response) = untagged.iter().find(|it| it.contains(text)) {
                let (_, message) = response.split_once("}").expect("it is a literal");
                return message.trim_end_matches(')').to_owned();
            }
            assert!(
                Instant::now() < until,
                "{address} has no {text:?} in:\n{untagged:#?}\nthe log:\n{}",
                self.log()
            );
        }
    }

    /// Makes an account through the command line.
    pub fn add_user(&self, address: &str, password: &str) {
        let input = format!("{password}\n");
        let output = self.command(&["user", "add", address, "--password-stdin"], &input);
        assert!(output.status.success(), "user add {address}: {output:?}");
    }

    /// Changes a password through the command line.
    pub fn set_password(&self, address: &str, password: &str) {
        let input = format!("{password}\n");
        let output = self.command(&["user", "passwd", address, "--password-stdin"], &input);
        assert!(output.status.success(), "user passwd {address}: {output:?}");
    }

    /// Runs the command line on this daemon's configuration.
    pub fn command(&self, arguments: &[&str], input: &str) -> Output {
        let child = self
            .program()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("the binary was built");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        stdin
            .write_all(input.as_bytes())
            .expect("the command reads its input");
        drop(stdin);
        child.wait_with_output().expect("the command ends")
    }

    /// What a command says that must succeed.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until this command says this; all that it says then. What is logged of a message is
    /// not in the spool yet, where the command line looks.
    ///
    /// # Panics
    ///
    /// When it does not in time, or fails.
    pub fn wait_for_command(&self, arguments: &[&str], text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.ask(arguments);
            if said.contains(text) {
                return said;
            }
            assert!(
                Instant::now() < until,
                "{arguments:?} does not say {text:?}:\n{said}\nthe log:\n{}",
                self.log()
            );
        }
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    fn program(&self) -> Command {
        let program = self.kind.path();
        let mut command = match self.root.launcher.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.arg("--config").arg(&self.config_path);
        command
    }

    /// Changes keys in the configuration file; they hold after [`hang_up`](Self::hang_up).
    pub fn change_config(&mut self, changes: &Value) {
        merge(&mut self.config, changes);
        self.write_config();
    }

    /// SIGKILL: ends it in the midst of everything.
    pub fn kill(&mut self) {
        let child = self.child.as_mut().expect("it runs");
        child.kill().expect("a child can be killed");
        self.wait();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// SIGTERM, of which the caller waits for the end with [`wait`](Self::wait).
    pub fn begin_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGHUP: it reads its configuration again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGSTOP: it does nothing until [`go_on`](Self::go_on).
    pub fn hold(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT, after [`hold`](Self::hold).
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until the process is over.
    pub fn wait(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it runs");
        let pid = child.id();
        assert!(
            self.log.wait(|log| log.is_over.then_some(())).is_some(),
            "process {pid} does not end; its log:\n{}",
            self.log()
        );
        let status = child.wait().expect("a child can be waited for");
        self.child = None;
        status
    }

    /// Starts it again after its end, on other ports.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it has not ended");
        self.start();
    }

    /// As [`restart`](Self::restart), with SIGHUP at its first word.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn restart_and_hang_up(&mut self) {
        assert!(self.child.is_none(), "it has not ended");
        self.choose_ports();
        self.spawn();
        self.log.wait(|log| log.lines.first().map(drop));
        self.hang_up();
        assert!(self.is_up(), "it ended:\n{}", self.log());
    }

    /// Ends it as an operator does. It must exit with 0, and nothing may be in its log that an
    /// operator would have to act upon.
    pub fn finish(mut self) {
        let status = self.stop();
        let log = self.log();
        assert!(
            status.success() && !log.contains("ERROR"),
            "{status}; the log:\n{log}"
        );
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        self.log.lock().lines.join("\n")
    }

    /// Waits for a line with this text; the line.
    pub fn wait_for_log(&self, text: &str) -> String {
        let has_text = |line: &&String| line.contains(text);
        let found = self.log.wait(|log| {
            let found = log.lines.iter().find(has_text).cloned();
            (found.is_some() || log.is_over).then_some(found)
        });
        found
            .flatten()
            .unwrap_or_else(|| panic!("{text:?} was not logged:\n{}", self.log()))
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("a child can be signalled");
    }

    fn start(&mut self) {
        for _ in 0..STARTS_MAX {
            self.choose_ports();
            self.spawn();
            if self.is_up() {
                return;
            }
        }
        panic!("{} does not start:\n{}", self.kind.program(), self.log());
    }

    fn choose_ports(&mut self) {
        for port in Port::ALL {
            let (section, key) = port.keys();
            self.config[section][key] = json!(free_port_of(&self.root.ports));
        }
        self.write_config();
    }

    fn spawn(&mut self) {
        self.log = Arc::default();
        let child = self
            .program()
            .envs(self.root.trusted.iter().map(|it| ("SSL_CERT_FILE", it)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("the binary was built");
        let stderr = child.stderr.take().expect("it is a pipe");
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || log.fill(stderr));
        self.child = Some(child);
    }

    /// Waits until it has started, or has not: then somebody has got one of its ports.
    fn is_up(&mut self) -> bool {
        let is_listening = |line: &&String| line.contains("listening for ");
        let is_up = self.log.wait(|log| {
            let is_up = log.lines.iter().filter(is_listening).count() == Port::ALL.len();
            (is_up || log.is_over).then_some(is_up)
        });
        let log = self.log();
        match is_up {
            Some(true) => true,
            Some(false) => {
                self.wait();
                assert!(log.contains("cannot listen"), "it ended:\n{log}");
                false
            }
            None => panic!("{} does not listen:\n{log}", self.kind.program()),
        }
    }

    fn write_config(&self) {
        let text = serde_json::to_string_pretty(&self.config).expect("it is JSON");
        fs::write(&self.config_path, text).expect("the folder can be written");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // The process may just have ended by itself; there is nothing else to do.
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            eprintln!("the log of {}:\n{}", self.kind.program(), self.log());
        }
    }
}

/// What a process says on its standard error.
#[derive(Debug, Default)]
struct Log {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    is_over: bool,
}

impl Log {
    fn fill(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            self.lock().lines.push(line);
            self.more.notify_all();
        }
        self.lock().is_over = true;
        self.more.notify_all();
    }

    /// Waits until `find` finds something.
    fn wait<T>(&self, mut find: impl FnMut(&Said) -> Option<T>) -> Option<T> {
        let until = Instant::now() + PATIENCE;
        let mut said = self.lock();
        loop {
            if let Some(found) = find(&said) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let (woken, _) = self
                .more
                .wait_timeout(said, left)
                .unwrap_or_else(PoisonError::into_inner);
            said = woken;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port that nobody has, and that no other test of this process is given.
pub fn free_port() -> u16 {
    free_port_of(&PORTS)
}

/// As [`free_port`], below 1024: for root.
pub fn free_low_port() -> u16 {
    free_port_of(&LOW_PORTS)
}

fn free_port_of(ports: &Range<u16>) -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let count = ports.end - ports.start;
    // Test processes that run at once begin at different places.
    let first = std::process::id().wrapping_mul(97) % u32::from(count);
    for _ in ports.clone() {
        let next = u32::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        let offset = u16::try_from((first + next) % u32::from(count)).expect("it is below count");
        let port = ports.start + offset;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
