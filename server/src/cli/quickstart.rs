//! `quickstart`: a mail server to try out, in one command and without root.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use rmail_proto::Secret;
use rmail_store::DirectoryWrite;
use serde::{Deserialize, Serialize};

use super::{
    Prepared, console::Console, directory::Directory, failure::Failure, open_store, settings, user,
};
use crate::{config::Config, outside::random, shell};

const ADDRESS: &str = "alice@example.com";

/// Marks a folder as made by quickstart, and keeps what it prints.
#[derive(Deserialize, Serialize)]
struct Marker {
    address: String,
}

/// Ports of all listeners, in the order of the configuration.
#[derive(Clone, Copy)]
struct Ports([u16; 7]);

/// Prepares a folder, or takes up one that was prepared before; prints what to paste.
pub(super) fn run(
    console: &mut Console<'_>,
    program: &str,
    folder: &Path,
) -> Result<Prepared, Failure> {
    let folder =
        std::path::absolute(folder).map_err(|error| Failure::file(folder, "found", &error))?;
    let config_path = folder.join("config.json");
    let marker_path = folder.join("quickstart.json");
    if let Some(marker) = read_marker(&marker_path)? {
        let (config, _warnings) = settings::read(&config_path, program)?;
        console.line(&instructions(
            &config,
            program,
            &folder,
            &marker.address,
            None,
        ))?;
        return Ok(Prepared {
            config,
            warnings: Vec::new(),
            config_path,
        });
    }
    for taken in [&config_path, &folder.join("mailstore")] {
        if taken.exists() {
            return Err(Failure(format!(
                "{} is there already, and quickstart touches nobody's server; \"{program} serve\" \
                 starts it, \"{program} quickstart --dir NEW\" makes another to try out",
                taken.display()
            )));
        }
    }
    fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, "made", &error))?;
    let ports = Ports::find()
        .map_err(|error| Failure(format!("there are no free ports on 127.0.0.1: {error}")))?;
    let text = ports.config();
    let loaded = Config::load(&text, &folder);
    let (config, _warnings) = loaded.expect("the configuration made here has no fault");
    let password = Secret::new(random::password());
    let prepared = add_account(&config, &password)
        .and_then(|()| settings::write_new(&config_path, &text))
        .and_then(|()| write_marker(&marker_path));
    if prepared.is_err() {
        // Made a moment ago, for nothing: another try shall find the folder as this one did.
        let _ = fs::remove_dir_all(&config.mail_root);
        let _ = fs::remove_file(&config_path);
    }
    prepared?;
    let password = Some(password.reveal().as_str());
    console.line(&instructions(&config, program, &folder, ADDRESS, password))?;
    Ok(Prepared {
        config,
        warnings: Vec::new(),
        config_path,
    })
}

fn add_account(config: &Config, password: &Secret<String>) -> Result<(), Failure> {
    let store = open_store(config)?;
    let directory = Directory::new(&*store, config);
    let address = directory.parse_address(ADDRESS)?;
    let creation: DirectoryWrite = user::creation(&address, password, true);
    directory.write(creation).map(drop)
}

fn read_marker(path: &Path) -> Result<Option<Marker>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => match serde_json::from_str(&text) {
            Ok(marker) => Ok(Some(marker)),
            Err(error) => Err(Failure(format!("{} is damaged: {error}", path.display()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(path, "read", &error)),
    }
}

fn write_marker(path: &Path) -> Result<(), Failure> {
    let marker = Marker {
        address: ADDRESS.to_owned(),
    };
    let text = serde_json::to_string(&marker).expect("a marker is plain text");
    settings::write_new(path, &text)
}

impl Ports {
    /// Ports that are free now: all of them are bound at a time, so no two are the same.
    #[expect(
        clippy::disallowed_methods,
        reason = "only the operating system knows free ports; nothing is sent or received"
    )]
    fn find() -> io::Result<Self> {
        let mut ports = [0; 7];
        let mut held = Vec::with_capacity(ports.len());
        for port in &mut ports {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            *port = listener.local_addr()?.port();
            held.push(listener);
        }
        Ok(Self(ports))
    }

    /// What differs from the defaults.
    fn config(self) -> String {
        let [smtp, submission, smtps, imap, imaps, http, https] = self.0;
        format!(
            r#"{{
  "hostname": "localhost",
  "mail_root": "./mailstore",
  "domains": ["example.com"],
  "smtp": {{
    "host": "127.0.0.1",
    "port": {smtp},
    "submission_port": {submission},
    "smtps_port": {smtps}
  }},
  "imap": {{
    "host": "127.0.0.1",
    "port": {imap},
    "imaps_port": {imaps}
  }},
  "exchange_api": {{
    "host": "127.0.0.1",
    "port": {http},
    "secure_port": {https}
  }}
}}
"#
        )
    }
}

/// What to know and what to paste.
fn instructions(
    config: &Config,
    program: &str,
    folder: &Path,
    address: &str,
    password: Option<&str>,
) -> String {
    let shown_password = password.unwrap_or("(the one printed at the first quickstart)");
    let password = password.unwrap_or("PASSWORD");
    let port = |port: Option<core::num::NonZeroU16>| port.map_or(0, core::num::NonZeroU16::get);
    let (smtp, imap) = (&config.smtp, &config.imap);
    let (smtp_port, submission, smtps) = (
        port(smtp.port),
        port(smtp.submission_port),
        port(smtp.smtps_port),
    );
    let (imap_port, imaps) = (port(imap.port), port(imap.imaps_port));
    let config_path = shell::word(&folder.join("config.json").display().to_string());
    let (shown_folder, folder) = (folder.display(), folder.display().to_string());
    let (program, folder) = (shell::word(program), shell::word(&folder));
    format!(
        r#"A mail server for {address} starts in {shown_folder}

  account   {address}
  password  {shown_password}
  SMTP      127.0.0.1:{smtp_port}   submission 127.0.0.1:{submission} (STARTTLS), :{smtps} (TLS)
  IMAP      127.0.0.1:{imap_port} (STARTTLS), :{imaps} (TLS); the certificate is self-signed

Send a first message, from another terminal:

  printf 'From: bob@example.org\r\nTo: {address}\r\nSubject: Hello\r\n\r\nIt works.\r\n' |
    curl -s smtp://127.0.0.1:{smtp_port}/localhost --mail-from bob@example.org \
      --mail-rcpt {address} --upload-file -

or

  python3 -c 'import smtplib; smtplib.SMTP("127.0.0.1", {smtp_port}).sendmail(
    "bob@example.org", "{address}", "Subject: Hello\r\n\r\nIt works.\r\n")'

Read it:

  curl -s -k -u '{address}:{password}' 'imaps://127.0.0.1:{imaps}/INBOX;MAILINDEX=1'

Next:

  {program} --config {config_path} user add bob@example.com
  {program} --config {config_path} user passwd {address}
  {program} quickstart --dir {folder}   # starts it again, after Ctrl-C
"#
    )
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Transcript, *};
    use crate::credentials;

    #[test]
    fn configuration_has_free_ports_and_no_fault() {
        let ports = Ports::find().unwrap();
        let (config, warnings) = Config::load(&ports.config(), Path::new("/x")).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(config.smtp.port.unwrap().get(), ports.0[0]);
        assert!(ports.0.iter().all(|port| *port >= 1024));
        let text = instructions(&config, "rmail", Path::new("/x"), ADDRESS, Some("p4ss"));
        assert!(text.contains(&format!("smtp://127.0.0.1:{}/localhost", ports.0[0])));
        assert!(text.contains("alice@example.com:p4ss"));
    }

    #[test]
    fn quickstart_makes_a_server_and_takes_it_up_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let folder = folder.path().join("new");
        let mut passwords = Vec::new();
        for _ in 0..2 {
            let mut made = None;
            let transcript = Transcript::of("", |console| {
                made = Some(run(console, "rmail", &folder)?);
                Ok(())
            });
            let config = made.unwrap().config;
            assert_eq!(config.mail_root, folder.join("mailstore"));
            let accounts = open_store(&config).unwrap().accounts().unwrap();
            assert_eq!(accounts.len(), 1);
            let line = transcript
                .output
                .lines()
                .find(|line| line.starts_with("  password  "));
            let password = Secret::new(line.unwrap()[12..].to_owned());
            passwords.push(credentials::verify(
                Some(&accounts[0].credential),
                &password,
            ));
        }
        // Only the first run knows the password.
        assert_eq!(passwords, [true, false]);
    }

    #[test]
    fn folder_of_another_server_is_left_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        let transcript =
            Transcript::of("", |console| run(console, "rmail", folder.path()).map(drop));
        assert!(transcript.failure().contains("rmail serve"));
        assert_eq!(
            fs::read_to_string(folder.path().join("config.json")).unwrap(),
            "{}"
        );
    }
}
