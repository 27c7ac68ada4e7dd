//! Phase 2: `mail_root` can be written, has room, and is nobody else's.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use super::{
    account::{TestAccount, TestFile, Workplace},
    report::Findings,
};
use crate::{
    cli::{failure::Failure, open_store},
    config::Config,
    limits,
};

/// What nobody else may read, in `mail_root`.
const PRIVATE: [&str; 8] = [
    "accounts",
    "directory.db",
    "run",
    "secrets",
    "secrets/token_secret",
    "spool",
    "spool.db",
    "tls/key.pem",
];

/// Looks at the folder; an account in it, when one can be made.
pub(super) fn check(config: &Config, findings: &mut Findings) -> Option<TestAccount> {
    let root = &config.mail_root;
    let shown = root.display();
    let metadata = match fs::metadata(root) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.fail(
                format!("there is no {shown}"),
                "start the server, which makes it, or set mail_root to where the mail is",
            );
            return None;
        }
        Err(error) => {
            findings.fail(
                format!("{shown} can't be looked at: {error}"),
                "run this as the user that the server runs as",
            );
            return None;
        }
    };
    if !is_of_same_user(root, metadata.uid(), findings) {
        return None;
    }
    check_permissions(root, findings);
    check_room(config, findings);
    if !check_writing(root, findings) {
        return None;
    }
    match open(config, findings) {
        Ok(account) => {
            findings.ok(format!(
                "the store can be written: {} is made for what follows, and removed afterwards",
                account.address
            ));
            Some(account)
        }
        Err(Failure(reason)) => {
            findings.fail(reason, "see to it, then run this again");
            None
        }
    }
}

fn open(config: &Config, findings: &mut Findings) -> Result<TestAccount, Failure> {
    let workplace = Workplace::take(open_store(config)?, config)?;
    for address in workplace.remove_leftovers()? {
        findings.ok(format!(
            "{address}, which diagnostics left behind that were killed, is removed"
        ));
    }
    workplace.make_account()
}

/// Whether what this writes is the server's: a file of another user is one that it can't use.
fn is_of_same_user(root: &Path, owner: u32, findings: &mut Findings) -> bool {
    let directory = fs::metadata(root.join("directory.db"));
    let owner = directory.map_or(owner, |metadata| metadata.uid());
    let own = rustix::process::geteuid().as_raw();
    if own != owner {
        let shown = root.display();
        findings.fail(
            format!("what is in {shown} belongs to the user {owner}, and this runs as {own}"),
            format!("run this as the user that the server runs as: sudo -u '#{owner}' …"),
        );
    }
    own == owner
}

fn check_permissions(root: &Path, findings: &mut Findings) {
    let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode());
    let is_root_open = mode(root).is_ok_and(|mode| mode & 0o007 != 0);
    let open: Vec<String> = PRIVATE
        .iter()
        .map(|name| root.join(name))
        .filter(|path| mode(path).is_ok_and(|mode| mode & 0o007 != 0))
        .map(|path| path.display().to_string())
        .collect();
    let shown = root.display();
    let remedy = format!("chmod o-rwx {shown} {}", open.join(" "));
    match (is_root_open, open.is_empty()) {
        (false, true) => findings.ok(format!("{shown} is open to its owner and group alone")),
        (true, true) => findings.warn(
            format!("{shown} is open to every user of this machine, and what is in it is not"),
            remedy,
        ),
        (false, false) => findings.warn(
            format!(
                "only the permissions of {shown} keep other users from {}",
                open.join(", ")
            ),
            remedy,
        ),
        (true, false) => findings.fail(
            format!("every user of this machine can get at {}", open.join(", ")),
            remedy,
        ),
    }
}

fn check_room(config: &Config, findings: &mut Findings) {
    let root = &config.mail_root;
    let shown = root.display();
    let room = match rustix::fs::statvfs(root) {
        Ok(room) => room,
        Err(error) => {
            let remedy = "look into the system's log for what is wrong with the disk";
            return findings.fail(format!("the room in {shown} is not known: {error}"), remedy);
        }
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let message = config.smtp.max_message_size.get();
    let (mib, message_mib) = (free >> 20, message.div_ceil(1 << 20));
    let evidence = format!("{mib} MiB are free in {shown}; a message may have {message_mib} MiB");
    let remedy = "make room, or give mail_root a larger disk";
    if room.f_files > 0 && room.f_favail == 0 {
        findings.fail(
            format!("{shown} takes no more files (no free inodes)"),
            remedy,
        );
    } else if free < message {
        findings.fail(evidence, remedy);
    } else if free / limits::DIAGNOSTICS_ROOM_MESSAGES < message {
        findings.warn(evidence, remedy);
    } else {
        findings.ok(evidence);
    }
}

/// Whether something can be written and synced.
fn check_writing(root: &Path, findings: &mut Findings) -> bool {
    let shown = root.display();
    match write_and_read(root) {
        Ok(true) => {
            findings.ok(format!(
                "a file in {shown} was written, synced, read back and removed"
            ));
            true
        }
        Ok(false) => {
            findings.fail(
                format!("a file in {shown} came back other than it was written"),
                "stop the server and replace the disk",
            );
            false
        }
        Err(error) => {
            findings.fail(
                format!("a file in {shown} can't be written and synced: {error}"),
                "see that mail_root belongs to the user that the server runs as, and that the \
                 disk is neither full nor mounted read-only",
            );
            false
        }
    }
}

fn write_and_read(root: &Path) -> io::Result<bool> {
    const CONTENT: &[u8] = b"written by rmail's diagnostics\n";
    let test = TestFile::new(root);
    let mut file = File::create(test.path())?;
    file.write_all(CONTENT)?;
    file.sync_all()?;
    File::open(root)?.sync_all()?;
    let is_same = fs::read(test.path())? == CONTENT;
    fs::remove_file(test.path())?;
    Ok(is_same)
}
