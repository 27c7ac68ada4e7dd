//! A daemon on free ports of this machine.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Result;

/// The account.
pub(crate) const USER: &str = "alice@example.com";
/// Its password.
pub(crate) const PASSWORD: &str = "secret";

/// A running daemon; ended when it is dropped.
pub(crate) struct Daemon {
    process: Child,
    binary: PathBuf,
    /// When its process was started.
    pub(crate) started_at: Instant,
    /// Removed with all mail in the end.
    folder: TempDir,
    ports: Vec<u16>,
    pub(crate) smtp_port: u16,
    pub(crate) smtps_port: u16,
    pub(crate) imap_port: u16,
    pub(crate) imaps_port: u16,
    pub(crate) http_port: u16,
}

impl Daemon {
    pub(crate) fn start(binary: &Path) -> Result<Self> {
        Self::start_prepared(binary, &json!({}), |_| Ok(()))
    }

    /// With this `relay` section, on a folder for mail that was prepared.
    pub(crate) fn start_prepared(
        binary: &Path,
        relay: &Value,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let binary = binary.canonicalize().map_err(|error| {
            format!(
                "{}: {error}; build it with `cargo build --release --workspace`",
                binary.display()
            )
        })?;
        let folder = TempDir::new()?;
        let ports: Vec<u16> = free_ports(7)?;
        let config = json!({
            "hostname": "localhost",
            "log_level": "WARNING",
            "smtp": {
                "host": "127.0.0.1", "port": ports[0], "submission_port": ports[1],
                "smtps_port": ports[2], "max_messages_per_connection": 1_000_000,
            },
            "imap": {
                "host": "127.0.0.1", "port": ports[3], "imaps_port": ports[4],
                "max_connections": 10_000,
            },
            "exchange_api": {"host": "127.0.0.1", "port": ports[5], "secure_port": ports[6]},
            "relay": relay,
        });
        fs::write(folder.path().join("config.json"), config.to_string())?;
        add_user(&binary, folder.path())?;
        prepare(&folder.path().join("mailstore"))?;
        let started_at = Instant::now();
        let process = Command::new(&binary).current_dir(folder.path()).spawn()?;
        let daemon = Self {
            process,
            binary,
            started_at,
            folder,
            smtp_port: ports[0],
            smtps_port: ports[2],
            imap_port: ports[3],
            imaps_port: ports[4],
            http_port: ports[5],
            ports,
        };
        daemon.wait_until_served()?;
        Ok(daemon)
    }

    fn wait_until_served(&self) -> Result<()> {
        for port in &self.ports {
            wait_for(*port)?;
        }
        wait_for_greeting(self.smtp_port)
    }

    /// The largest resident memory since the start or the last reset.
    pub(crate) fn resident_peak_kib(&self, reset: bool) -> Result<i64> {
        if reset {
            fs::write(self.proc_file("clear_refs"), "5")?;
        }
        read_kib(&self.proc_file("status"), "VmHWM:")
    }

    /// Its folder, with `config.json`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All its ports.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The resident memory.
    pub(crate) fn resident_kib(&self) -> Result<i64> {
        read_kib(&self.proc_file("status"), "VmRSS:")
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(self.proc_file("fd"))?.count())
    }

    /// The proportional set size.
    pub(crate) fn proportional_kib(&self) -> Result<i64> {
        read_kib(&self.proc_file("smaps_rollup"), "Pss:")
    }

    /// How long its threads have run, all together.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(self.proc_file("stat"))?;
        // The second field, in parentheses, is the name; utime and stime are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(')').ok_or("the kernel does not say")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // USER_HZ is 100 on all architectures that Linux has in common.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Starts it anew, as on a machine of one processor: the last one, so that others are left to
    /// its clients.
    pub(crate) fn restart_on_one_processor(&mut self) -> Result<()> {
        let last = thread::available_parallelism()?.get() - 1;
        self.process.kill()?;
        self.process.wait()?;
        self.started_at = Instant::now();
        self.process = Command::new("taskset")
            .args(["--cpu-list", &last.to_string()])
            .arg(&self.binary)
            .current_dir(self.folder.path())
            .spawn()?;
        self.wait_until_served()
    }

    fn proc_file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.process.id())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn add_user(binary: &Path, folder: &Path) -> Result<()> {
    let mut command = Command::new(binary)
        .current_dir(folder)
        .args(["user", "add", USER, "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = command.stdin.take().ok_or("no standard input")?;
    writeln!(input, "{PASSWORD}")?;
    drop(input);
    match command.wait()?.success() {
        true => Ok(()),
        false => Err("the account could not be made".into()),
    }
}

pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let bind = |_| TcpListener::bind("127.0.0.1:0");
    let listeners = (0..count).map(bind).collect::<std::io::Result<Vec<_>>>()?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    ports.collect()
}

/// Waits until connections are served, which wait in the listener before.
fn wait_for_greeting(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.read_exact(&mut [0; 4])?;
    Ok(())
}

fn wait_for(port: u16) -> Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("the daemon does not listen".into())
}

fn read_kib(path: &str, key: &str) -> Result<i64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("the kernel does not say")?.parse()?)
}
