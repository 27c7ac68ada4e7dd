//! `install` and `uninstall`: the server as a service of systemd.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{console::Console, failure::Failure, settings};
use crate::{
    config::{Config, Tls},
    limits,
    outside::privileges,
};

/// How a unit that is ours begins; others are not touched.
const MARK: &str = "# Made by \"rmail install\"";

/// Time to stop, besides what sessions are given to end.
const STOP_SECONDS: u64 = 30;

/// Where homes are: hidden from a service that needs nothing in them.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// What no mail server needs to do.
const CONFINED: &str = "PrivateTmp=yes
PrivateDevices=yes

LockPersonality=yes
MemoryDenyWriteExecute=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
";

/// The systemd of a machine.
pub(super) struct Systemd {
    is_root: bool,
    /// There when systemd runs the machine (`sd_booted(3)`).
    booted: PathBuf,
    units: PathBuf,
    systemctl: PathBuf,
}

impl Systemd {
    /// That of this machine.
    pub(super) fn of_machine() -> Self {
        Self {
            is_root: privileges::is_root(),
            booted: "/run/systemd/system".into(),
            units: "/etc/systemd/system".into(),
            systemctl: "systemctl".into(),
        }
    }

    fn check(&self, besides: &str) -> Result<(), Failure> {
        if !self.booted.exists() {
            return Err(Failure(
                "systemd does not run this machine: have whatever starts its services run \
                 \"serve\"; \"install --print\" shows what a unit would say"
                    .to_owned(),
            ));
        }
        match self.is_root {
            true => Ok(()),
            false => Err(Failure(format!(
                "only root may change {}: run it with sudo{besides}",
                self.units.display()
            ))),
        }
    }

    /// The file of the unit, and whether it is there; one that is not ours is a failure.
    fn unit(&self, program: &str) -> Result<(PathBuf, bool), Failure> {
        let path = self.units.join(format!("{program}.service"));
        match fs::read_to_string(&path) {
            Ok(text) if text.starts_with(MARK) => Ok((path, true)),
            Ok(_) => Err(Failure(format!(
                "{} was not made by \"{program} install\", and is left as it is: remove it \
                 yourself",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, false)),
            Err(error) => Err(Failure::file(&path, "read", &error)),
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<(), Failure> {
        let status = Command::new(&self.systemctl).args(arguments).status();
        let failed = |why: String| {
            let command = arguments.join(" ");
            Err(Failure(format!("\"systemctl {command}\" failed: {why}")))
        };
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => failed(format!("{status}; see above")),
            Err(error) => failed(error.to_string()),
        }
    }
}

/// Writes the unit and has systemd start it with the machine, or just prints it.
pub(super) fn install(
    console: &mut Console<'_>,
    systemd: &Systemd,
    program: &str,
    config_path: &Path,
    print: bool,
) -> Result<(), Failure> {
    let (config, _warnings) = settings::read(config_path, program)?;
    let text = unit(program, config_path, &config)?;
    if print {
        return console.line(text.trim_end());
    }
    systemd.check("; --print shows what it would write")?;
    let (path, _) = systemd.unit(program)?;
    privileges::prepare_mail_root(&config).map_err(|error| Failure(error.to_string()))?;
    fs::write(&path, text).map_err(|error| Failure::file(&path, "written", &error))?;
    systemd.run(&["daemon-reload"])?;
    systemd.run(&["enable", &format!("{program}.service")])?;
    let (shown, config_path) = (path.display(), config_path.display());
    console.line(&format!(
        "{shown} is written; the server starts with the machine. Next:"
    ))?;
    console.line(&format!(
        "  1. {program} --config {config_path} check-config"
    ))?;
    console.line(&format!("  2. systemctl start {program}"))?;
    console.line(&format!("  3. journalctl --unit {program} --follow"))
}

/// Stops the service and removes its unit.
pub(super) fn uninstall(
    console: &mut Console<'_>,
    systemd: &Systemd,
    program: &str,
) -> Result<(), Failure> {
    systemd.check("")?;
    let (path, is_there) = systemd.unit(program)?;
    if !is_there {
        let path = path.display();
        return Err(Failure(format!("there is no {path}: nothing is installed")));
    }
    systemd.run(&["disable", "--now", &format!("{program}.service")])?;
    fs::remove_file(&path).map_err(|error| Failure::file(&path, "removed", &error))?;
    systemd.run(&["daemon-reload"])?;
    console.line(&format!(
        "{} is removed. The configuration and the mail are where they were.",
        path.display()
    ))
}

fn unit(program: &str, config_path: &Path, config: &Config) -> Result<String, Failure> {
    let Some(user) = &config.user else {
        return Err(Failure(format!(
            "\"user\" is null in {}, and as a service the server should not be root: set it, \
             for example to \"rmail\"",
            config_path.display()
        )));
    };
    let absolute = std::path::absolute(config_path);
    let config_path = absolute.map_err(|error| Failure::file(config_path, "found", &error))?;
    let executable = env::current_exe()
        .map_err(|error| Failure(format!("where this program lies can't be told: {error}")))?;
    let mut paths = vec![&executable, &config_path, &config.mail_root];
    if let Tls::Files {
        cert_file,
        key_file,
    } = &config.tls
    {
        paths.extend([cert_file, key_file]);
    }
    let is_at_home = paths
        .iter()
        .any(|path| HOMES.iter().any(|home| path.starts_with(home)));
    let command = format!(
        "{} --config {}",
        word(&executable)?.replace('$', "$$"),
        word(&config_path)?.replace('$', "$$")
    );
    Ok(format!(
        "{MARK}; \"{program} uninstall\" removes it.
[Unit]
Description=Mail server ({program})
Wants=network-online.target
After=network-online.target nss-lookup.target

[Service]
Type=exec
User={user}
ExecStart={command} serve
ExecReload={command} reload
Restart=on-failure
RestartSec=2
TimeoutStopSec={stop}
LimitNOFILE=65536
UMask=0077

# Ports below 1024, and no other right of root's.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes

# Of the files, mail_root alone can be written.
ProtectSystem=strict
ReadWritePaths={mail_root}
ProtectHome={home}
{CONFINED}
[Install]
WantedBy=multi-user.target
",
        user = user.replace('%', "%%"),
        stop = limits::STOP_GRACE.as_secs() + STOP_SECONDS,
        mail_root = word(&config.mail_root)?,
        home = if is_at_home { "read-only" } else { "yes" },
    ))
}

/// A path as a unit has it (`systemd.syntax(7)`).
fn word(path: &Path) -> Result<String, Failure> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(char::is_control));
    let Some(text) = text else {
        return Err(Failure(format!(
            "{path:?} can't stand in a unit: rename it"
        )));
    };
    let escaped = text
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    let is_plain = escaped == text && !text.contains([' ', '\'', ';']);
    match is_plain {
        true => Ok(escaped),
        false => Ok(format!("\"{escaped}\"")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::tests::Transcript, *};

    struct Machine {
        folder: tempfile::TempDir,
        systemd: Systemd,
    }

    impl Machine {
        /// Systemd as files in a folder: what is asked of systemctl is noted there.
        fn new() -> Self {
            let folder = tempfile::TempDir::new().unwrap();
            let (booted, units) = (folder.path().join("booted"), folder.path().join("units"));
            fs::create_dir(&booted).unwrap();
            fs::create_dir(&units).unwrap();
            let systemctl = folder.path().join("systemctl");
            let script = format!(
                "#!/bin/sh\necho \"$@\" >> {}/asked\n",
                folder.path().display()
            );
            fs::write(&systemctl, script).unwrap();
            fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
            let (own, _) = privileges::own_names();
            let config = serde_json::json!({ "mail_root": "./the mail", "user": own });
            fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
            let systemd = Systemd {
                is_root: true,
                booted,
                units,
                systemctl,
            };
            Self { folder, systemd }
        }

        fn unit_path(&self) -> PathBuf {
            self.systemd.units.join("rmail.service")
        }

        fn install(&self, print: bool) -> Transcript {
            let path = self.folder.path().join("config.json");
            Transcript::of("", |console| {
                install(console, &self.systemd, "rmail", &path, print)
            })
        }

        fn uninstall(&self) -> Transcript {
            Transcript::of("", |console| uninstall(console, &self.systemd, "rmail"))
        }
    }

    #[test]
    fn installed_unit_is_what_print_shows_and_uninstall_removes_it() {
        let machine = Machine::new();
        let shown = machine.install(true).output;
        assert!(!machine.unit_path().exists(), "it was only shown");
        let installed = machine.install(false);
        assert!(
            installed.output.contains("systemctl start rmail"),
            "{}",
            installed.output
        );
        assert_eq!(fs::read_to_string(machine.unit_path()).unwrap(), shown);
        assert!(
            machine.install(false).succeeded(),
            "it may be written again"
        );
        assert!(machine.uninstall().succeeded());
        assert!(!machine.unit_path().exists());
        assert!(
            machine
                .uninstall()
                .failure()
                .contains("nothing is installed")
        );
        let asked = fs::read_to_string(machine.folder.path().join("asked")).unwrap();
        let install = "daemon-reload\nenable rmail.service\n";
        let uninstall = "disable --now rmail.service\ndaemon-reload\n";
        assert_eq!(asked, format!("{install}{install}{uninstall}"));
    }

    #[test]
    fn unit_names_program_configuration_user_and_mail_as_systemd_reads_them() {
        let machine = Machine::new();
        let unit = machine.install(true).output;
        let (own, _) = privileges::own_names();
        let folder = machine.folder.path().display();
        let program = env::current_exe().unwrap();
        for line in [
            format!("User={own}"),
            format!(
                "ExecStart={} --config {folder}/config.json serve",
                program.display()
            ),
            format!("ReadWritePaths=\"{folder}/the mail\""),
        ] {
            assert!(
                unit.lines().any(|found| found == line),
                "{line} is not in\n{unit}"
            );
        }
        let odd = word(Path::new("/a b/100%/\"c\"\\")).unwrap();
        assert_eq!(odd, r#""/a b/100%%/\"c\"\\""#);
        assert!(word(Path::new("/a\n[Service]")).is_err());
    }

    #[test]
    fn what_can_not_be_installed_changes_nothing_and_says_what_to_do() {
        let mut machine = Machine::new();
        fs::write(machine.unit_path(), "[Unit]\n").unwrap();
        assert!(machine.install(false).failure().contains("was not made by"));
        assert!(machine.uninstall().failure().contains("remove it yourself"));
        fs::remove_file(machine.unit_path()).unwrap();
        machine.systemd.is_root = false;
        assert!(
            machine
                .install(false)
                .failure()
                .contains("only root may change")
        );
        assert!(machine.uninstall().failure().contains("with sudo"));
        fs::remove_dir(&machine.systemd.booted).unwrap();
        assert!(
            machine
                .install(false)
                .failure()
                .contains("systemd does not run")
        );
        fs::write(machine.folder.path().join("config.json"), "{}").unwrap();
        assert!(
            machine
                .install(false)
                .failure()
                .contains("\"user\" is null")
        );
        assert!(!machine.unit_path().exists());
        assert!(!machine.folder.path().join("asked").exists());
    }
}
