//! mbsync (isync) keeps a Maildir and the account the same.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use rmail_tests::{
    daemon::{Daemon, Port},
    lines::Lines,
};

use crate::{ALICE, PASSWORD, expect_subjects, is_installed, letter, succeed, write_file};

pub(crate) fn syncs(daemon: &Daemon) {
    if !is_installed("mbsync") {
        return;
    }
    let maildir = daemon.root().folder().join("maildir");
    fs::create_dir(&maildir).expect("the folder can be written");
    let config = configuration(daemon, &maildir);
    let config = write_file(daemon, "mbsyncrc", &config);
    let sync = || {
        let mut command = Command::new("mbsync");
        command.env("HOME", daemon.root().folder());
        succeed(command.arg("--config").arg(&config).arg("alice"), "");
    };
    let mut client = daemon.imap(ALICE, PASSWORD);
    for subject in ["one", "two", "three"] {
        append(&mut client, "INBOX", subject);
    }
    append(&mut client, "Archive", "four");

    sync();
    assert_eq!(messages_in(&maildir.join("INBOX")).len(), 3);
    assert_eq!(messages_in(&maildir.join("Archive")).len(), 1);

    // On this side: a message is read, one is thrown away, one is written, a folder is made.
    let inbox = maildir.join("INBOX");
    mark(&inbox, "one", "S");
    mark(&inbox, "two", "T");
    fs::write(
        inbox.join("cur/1.local:2,FS"),
        letter("five").replace("\r\n", "\n"),
    )
    .expect("it can be written");
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join("Made here").join(folder)).expect("it can be made");
    }
    // On the other: another message comes, and one is flagged.
    append(&mut client, "INBOX", "six");
    client.imap("SELECT INBOX").expect("there is an INBOX");
    let flagged = client.imap("STORE 3 +FLAGS (\\Flagged \\Answered)");
    flagged.expect("the connection lasts");

    sync();
    expect_subjects(daemon, "INBOX", &["five", "one", "six", "three"]);
    expect_subjects(daemon, "\"Made here\"", &[]);
    let flags = [
        ("five", "FS", "\\Flagged \\Seen"),
        ("one", "S", "\\Seen"),
        ("six", "", ""),
        ("three", "FR", "\\Answered \\Flagged"),
    ];
    let near = near_state(&maildir);
    let far = far_state(daemon);
    for (subject, near_flags, far_flags) in flags {
        let file = &near["INBOX"][subject];
        assert_eq!(flags_of(file), near_flags, "{file}");
        let message = &far["INBOX"][subject];
        assert!(message.ends_with(&format!(" ({far_flags})")), "{message}");
    }
    assert_eq!(near["INBOX"].len(), flags.len(), "{near:?}");

    for _ in 0..2 {
        sync();
        assert_eq!(near_state(&maildir), near);
        assert_eq!(far_state(daemon), far);
    }
}

/// Per folder and subject: the file, or UID and flags.
type State = BTreeMap<String, BTreeMap<String, String>>;

fn configuration(daemon: &Daemon, maildir: &Path) -> String {
    let port = daemon.port(Port::Imaps);
    let certificate = daemon.root().certificate();
    let (certificate, maildir) = (certificate.display(), maildir.display());
    format!(
        "IMAPAccount alice\n\
         Host 127.0.0.1\n\
         Port {port}\n\
         User {ALICE}\n\
         Pass \"{PASSWORD}\"\n\
         SSLType IMAPS\n\
         CertificateFile {certificate}\n\n\
         IMAPStore far\n\
         Account alice\n\n\
         MaildirStore near\n\
         Path {maildir}/\n\
         Inbox {maildir}/INBOX\n\
         SubFolders Verbatim\n\n\
         Channel alice\n\
         Far :far:\n\
         Near :near:\n\
         Patterns *\n\
         Create Both\n\
         Remove Both\n\
         Expunge Both\n\
         SyncState *\n"
    )
}

fn append(client: &mut Lines, mailbox: &str, subject: &str) {
    let text = letter(subject);
    let command = format!("APPEND {mailbox} {{{}+}}\r\n{text}", text.len());
    let appended = client.imap(&command);
    assert!(appended.is_ok_and(|(_, completion)| completion.starts_with("OK")));
}

/// Gives a local message these flags instead of its own.
fn mark(maildir: &Path, subject: &str, flags: &str) {
    let files = messages_in(maildir);
    let name = Path::new(&files[subject]).file_name();
    let name = name.expect("it is a file").to_string_lossy();
    let base = name.split(":2,").next().expect("split gives one at least");
    let marked = maildir.join("cur").join(format!("{base}:2,{flags}"));
    fs::rename(maildir.join(&files[subject]), marked).expect("it can be renamed");
}

fn flags_of(file: &str) -> &str {
    file.split_once(":2,").map_or("", |(_, flags)| flags)
}

/// The files of a maildir, by subject.
fn messages_in(maildir: &Path) -> BTreeMap<String, String> {
    let mut messages = BTreeMap::new();
    for folder in ["cur", "new"] {
        let entries = fs::read_dir(maildir.join(folder)).expect("it is a maildir");
        for entry in entries {
            let entry = entry.expect("it can be listed");
            let text = fs::read_to_string(entry.path()).expect("it is a message");
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
            let subject = subject.expect("each has a subject").to_owned();
            let file = format!("{folder}/{}", entry.file_name().display());
            let doubled = messages.insert(subject, file);
            assert_eq!(doubled, None, "a message is there twice");
        }
    }
    messages
}

fn near_state(maildir: &Path) -> State {
    let entries = fs::read_dir(maildir).expect("it is a folder");
    let folder = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("it can be listed");
        let name = entry.file_name().display().to_string();
        (name, messages_in(&entry.path()))
    };
    entries.map(folder).collect()
}

fn far_state(daemon: &Daemon) -> State {
    let mut client = daemon.imap(ALICE, PASSWORD);
    let listed = client.imap("LIST \"\" *").expect("the connection lasts").0;
    let name = |line: &String| line.split_once("\"/\" ").map(|(_, name)| name.to_owned());
    let mut state = State::new();
    for mailbox in listed.iter().filter_map(name) {
        let examined = client.imap(&format!("EXAMINE {mailbox}"));
        let (_, completion) = examined.expect("the connection lasts");
        assert!(completion.starts_with("OK"), "{mailbox}: {completion}");
        let fetched = client.imap("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
        let (untagged, _) = fetched.expect("the connection lasts");
        let messages = untagged.iter().filter_map(|line| parse_fetched(line));
        state.insert(mailbox, messages.collect());
    }
    state
}

/// The subject; UID and sorted flags.
fn parse_fetched(line: &str) -> Option<(String, String)> {
    let (_, subject) = line.split_once("Subject: ")?;
    let (_, flags) = line.split_once("FLAGS (")?;
    let (flags, _) = flags.split_once(')')?;
    let (_, uid) = line.split_once("UID ")?;
    let uid = uid.split([' ', ')']).next()?;
    // Who sees \Recent depends on who looked first.
    let mut flags: Vec<&str> = flags
        .split(' ')
        .filter(|&flag| flag != "\\Recent")
        .collect();
    flags.sort_unstable();
    let subject = subject.lines().next()?.to_owned();
    Some((subject, format!("{uid} ({})", flags.join(" "))))
}
