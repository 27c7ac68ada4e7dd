//! Daemons as processes, and sockets to them.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rmail_server::node::ListenerKind;
use rmail_tests::{AccountChange, Received, ServerIndex, Setup, StreamId, Wire};
use tempfile::TempDir;

/// How long a daemon may take to start and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listeners of a daemon.
const LISTENERS: usize = 5;

/// Time between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// The daemons of a site.
pub(crate) struct Daemons {
    program: PathBuf,
    servers: Vec<Daemon>,
    streams: BTreeMap<StreamId, TcpStream>,
    streams_opened: u64,
    folder: TempDir,
}

/// One of them, with its configuration.
struct Daemon {
    config: PathBuf,
    log: PathBuf,
    ports: [u16; 5],
    process: Child,
}

impl Daemons {
    /// Starts what the setup asks for.
    pub(crate) fn start(program: &str, setup: &Setup) -> Self {
        let program = find_program(program);
        let folder = TempDir::new().expect("there is room for temporary files");
        let mail_root = folder.path().join("mail");
        let configs: Vec<(PathBuf, [u16; 5])> = (0..setup.servers)
            .map(|number| {
                let ports = free_ports();
                let config = folder.path().join(format!("config{number}.json"));
                let json = setup.config_json(&mail_root, ports);
                std::fs::write(&config, json.to_string()).expect("the folder can be written to");
                (config, ports)
            })
            .collect();
        let mut daemons = Self {
            program,
            servers: Vec::new(),
            streams: BTreeMap::new(),
            streams_opened: 0,
            folder,
        };
        for account in &setup.accounts {
            daemons.add_account(
                &configs[0].0,
                &account.address,
                &account.password,
                account.is_admin,
            );
        }
        for (number, (config, ports)) in configs.into_iter().enumerate() {
            let log = daemons.folder.path().join(format!("log{number}"));
            let process = serve(&daemons.program, &config, &log);
            daemons.servers.push(Daemon {
                config,
                log,
                ports,
                process,
            });
        }
        daemons
    }

    fn add_account(&self, config: &Path, address: &str, password: &str, is_admin: bool) {
        let mut arguments = vec!["user", "add", address, "--password-stdin"];
        if is_admin {
            arguments.push("--admin");
        }
        self.command(config, &arguments, password);
    }

    /// Runs the command line, with a line of input.
    fn command(&self, config: &Path, arguments: &[&str], input: &str) {
        let mut command = Command::new(&self.program)
            .arg("--config")
            .arg(config)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = command.stdin.take().expect("it is a pipe");
        writeln!(stdin, "{input}").expect("the program reads its input");
        drop(stdin);
        let output = command.wait_with_output().expect("the program ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {said}");
    }
}

impl Wire for Daemons {
    fn connect(&mut self, server: ServerIndex, listener: ListenerKind) -> StreamId {
        let [smtp, submission, smtps, imap, imaps] = self.servers[server.0].ports;
        let port = match listener {
            ListenerKind::Smtp => smtp,
            ListenerKind::Submission => submission,
            ListenerKind::Smtps => smtps,
            ListenerKind::Imap => imap,
            ListenerKind::Imaps => imaps,
        };
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
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
        signal_to_stop(&self.servers[server.0].process);
    }

    fn restart(&mut self, server: ServerIndex) {
        let daemon = &mut self.servers[server.0];
        wait_for_end(&mut daemon.process, &daemon.log);
        daemon.process = serve(&self.program, &daemon.config, &daemon.log);
    }

    fn change_account(&mut self, change: AccountChange) {
        let config = &self.servers[0].config;
        match change {
            AccountChange::Add(account) => {
                self.add_account(
                    config,
                    &account.address,
                    &account.password,
                    account.is_admin,
                );
            }
            AccountChange::SetPassword { address, password } => {
                let arguments = ["user", "passwd", &address, "--password-stdin"];
                self.command(config, &arguments, &password);
            }
            AccountChange::Delete { address } => {
                self.command(config, &["user", "delete", &address, "--yes"], "");
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
        for daemon in &mut self.servers {
            if thread::panicking() {
                daemon.process.kill().ok();
                daemon.process.wait().ok();
                let log = std::fs::read_to_string(&daemon.log).unwrap_or_default();
                eprintln!("the daemon's log:\n{log}");
            } else {
                signal_to_stop(&daemon.process);
                wait_for_end(&mut daemon.process, &daemon.log);
            }
        }
    }
}

/// The program beside the folder of this test.
fn find_program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("it is target/<profile>/deps/<test>");
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "{} is missing: `cargo build -p rmail-runtime-tokio -p rmail-runtime-async-std` makes it",
        program.display()
    );
    program
}

/// Starts a daemon and waits until it listens: its log says so. Trying to connect would take one
/// of the places that a journey counts.
fn serve(program: &Path, config: &Path, log: &Path) -> Child {
    let mut file = std::fs::OpenOptions::new();
    let file = file
        .create(true)
        .append(true)
        .open(log)
        .expect("the log can be written to");
    let listened = times_listened(log);
    let mut process = Command::new(program)
        .arg("--config")
        .arg(config)
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .expect("the program starts");
    let begin = Instant::now();
    while times_listened(log) < listened + LISTENERS {
        let state = process.try_wait().expect("its state can be asked for");
        if state.is_some() || begin.elapsed() > PATIENCE {
            process.kill().ok();
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("the daemon does not listen ({state:?}):\n{log}");
        }
        thread::sleep(LOOK);
    }
    process
}

/// Listeners that a log tells of.
fn times_listened(log: &Path) -> usize {
    let log = std::fs::read_to_string(log).expect("the log can be read");
    log.matches("listening for ").count()
}

/// Five ports that nobody has: of those that the system gives to no client's socket, and that are
/// given to no other site of this program.
fn free_ports() -> [u16; 5] {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    // Two runs at once begin at different places.
    let begin = std::process::id().wrapping_mul(997);
    let mut candidates = (0..COUNT).map(|_| {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        FIRST + begin.wrapping_add(tried) % COUNT
    });
    std::array::from_fn(|_| {
        let mut free = candidates.by_ref().filter_map(|port| {
            let port = u16::try_from(port).expect("it is at most 32,000");
            let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            is_free.then_some(port)
        });
        free.next().expect("there are free ports")
    })
}

/// SIGTERM.
fn signal_to_stop(process: &Child) {
    let pid = process.id().to_string();
    let status = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(
        status.expect("there is kill").success(),
        "the daemon is gone"
    );
}

fn wait_for_end(process: &mut Child, log: &Path) {
    let begin = Instant::now();
    loop {
        if let Some(status) = process.try_wait().expect("its state can be asked for") {
            assert!(status.success(), "the daemon ended with {status}");
            return;
        }
        if begin.elapsed() > PATIENCE {
            process.kill().ok();
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("the daemon does not stop:\n{log}");
        }
        thread::sleep(LOOK);
    }
}
