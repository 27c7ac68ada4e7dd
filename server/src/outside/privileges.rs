//! As whom the process works. Root hands its rights over while there is one thread, and can't have
//! them back.
//!
//! | Started by | `user` | The server | A command |
//! |---|---|---|---|
//! | root | null | stays root, with a warning | works as the owner of `mail_root` |
//! | root | root | stays root | stays root |
//! | root | another | becomes that user | becomes that user |
//! | another | null, or the same | stays | stays |
//! | another | somebody else | does not start | stays: files say what it may |
//!
//! Of root's capabilities CAP_NET_BIND_SERVICE alone is kept, where there is it.

use std::{
    ffi::CString,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, fchown},
    path::{Path, PathBuf},
};

use nix::unistd::{
    Gid, Group, Uid, User, getgrouplist, getgroups, getresgid, getresuid, initgroups, setresgid,
    setresuid, setuid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
    set_no_new_privs,
};
use thiserror::Error;

use crate::{config::Config, shell};

/// Why the process can't work as the user that it should; each says what to do.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// Nobody is so called.
    #[error(
        "user: this machine has no {user}; make it with \"useradd --system --home-dir \
         /nonexistent --shell /usr/sbin/nologin {user}\", or name another"
    )]
    NoSuchUser {
        /// The configured user.
        user: String,
    },
    /// Whoever knows the users does not answer.
    #[error("user: {user} can't be looked up: {cause}; see /etc/nsswitch.conf, or try again")]
    Unknown {
        /// The configured user.
        user: String,
        /// Why.
        cause: io::Error,
    },
    /// Only root can become somebody else.
    #[error(
        "user is {user}, and the server was started by {own}, who can't become {user}: start it \
         as root, or as {user}"
    )]
    NotRoot {
        /// The configured user.
        user: String,
        /// Who has started it.
        own: String,
    },
    /// Mail that the user could not write.
    #[error(
        "{path} belongs to {owner}, and the server works as {user}: run \"chown -R {user}: {root}\"",
        path = path.display(), root = shell::word(&mail_root.display().to_string())
    )]
    Owner {
        /// What belongs to somebody else.
        path: PathBuf,
        /// To whom.
        owner: String,
        /// As whom the server works.
        user: String,
        /// The configured `mail_root`.
        mail_root: PathBuf,
    },
    /// `mail_root` can't be made, or not be looked at.
    #[error(
        "mail_root: {path} can't be made or read: {cause}; make it, and run \"chown -R {user}: \
         {root}\"",
        path = path.display(), root = shell::word(&path.display().to_string())
    )]
    MailRoot {
        /// The configured `mail_root`.
        path: PathBuf,
        /// As whom the server works.
        user: String,
        /// Why.
        cause: io::Error,
    },
    /// The system keeps the process from it.
    #[error(
        "root can't become {user} here ({step}: {cause}): start the server as {user} instead, \
         with CAP_NET_BIND_SERVICE"
    )]
    Refused {
        /// As whom the server should work.
        user: String,
        /// What was tried.
        step: &'static str,
        /// Why not.
        cause: io::Error,
    },
    /// What was handed over can be had back: something here is not as Linux promises.
    #[error("root's rights would not be gone after becoming {user}: start the server as {user}")]
    NotGone {
        /// As whom the server should work.
        user: String,
    },
}

/// Makes this process, which has one thread, the configured user's, for good. A warning, if there
/// is cause for one.
///
/// # Errors
///
/// Each says what to do. The process may have lost some of its rights then, and has to end.
pub fn become_user(config: &Config, config_path: &Path) -> Result<Option<String>, PrivilegeError> {
    let own = Uid::effective();
    let config_path = config_path.display().to_string();
    let Some(name) = &config.user else {
        let warning = format!(
            "the server runs as root, who may do more than it needs: set \"user\" in \
             {config_path}, and run \"chown -R USER: {root}\"",
            root = shell::word(&config.mail_root.display().to_string()),
        );
        return Ok(own.is_root().then_some(warning));
    };
    let user = find(name)?;
    if user.uid != own && !own.is_root() {
        let (own, _) = own_names();
        let user = user.name;
        return Err(PrivilegeError::NotRoot { user, own });
    }
    hand_over(&user, &config.mail_root)?;
    let is_readable = File::open(&config_path).is_ok();
    Ok((!is_readable).then(|| {
        let remedy = reading_remedy(Path::new(&config_path));
        format!("SIGHUP will not be able to read {config_path} again: {remedy}")
    }))
}

/// As [`become_user`], for a command, so that what it writes is the server's, too: the configured
/// user's, or that of the owner of `mail_root`.
///
/// # Errors
///
/// The same.
pub fn become_owner(config: &Config) -> Result<(), PrivilegeError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let user = match &config.user {
        Some(name) => Some(find(name)?),
        None => match fs::metadata(&config.mail_root) {
            // An owner without a name can't be anybody's choice.
            Ok(metadata) => User::from_uid(Uid::from_raw(metadata.uid())).unwrap_or_default(),
            Err(_) => None,
        },
    };
    match user {
        Some(user) => hand_over(&user, &config.mail_root),
        None => Ok(()),
    }
}

/// The names of the process's user and group; their numbers where they have none.
pub fn own_names() -> (String, String) {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let group = Group::from_gid(gid).ok().flatten();
    let group = group.map_or_else(|| gid.to_string(), |group| group.name);
    (name_of(uid), group)
}

/// How the process's user may be let to read a file.
pub fn reading_remedy(path: &Path) -> String {
    let (user, group) = own_names();
    let path = shell::word(&path.display().to_string());
    format!(
        "{user}, as whom the server works, must be let to read it: run \"chgrp {group} {path}\" \
         and \"chmod 640 {path}\", and see that the folders above it are open to {user}"
    )
}

fn find(name: &str) -> Result<User, PrivilegeError> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(PrivilegeError::NoSuchUser {
            user: name.to_owned(),
        }),
        Err(cause) => Err(PrivilegeError::Unknown {
            user: name.to_owned(),
            cause: cause.into(),
        }),
    }
}

fn name_of(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Becomes the user, who owns `mail_root`; one that is missing is made.
fn hand_over(user: &User, mail_root: &Path) -> Result<(), PrivilegeError> {
    if user.uid.is_root() {
        return Ok(());
    }
    let is_root = Uid::effective().is_root();
    if is_root && !mail_root.exists() {
        make_mail_root(user, mail_root)?;
    }
    check_owner(user, mail_root)?;
    match is_root {
        true => set_user(user),
        false => Ok(()),
    }
}

fn make_mail_root(user: &User, mail_root: &Path) -> Result<(), PrivilegeError> {
    let make = || {
        if let Some(above) = mail_root.parent() {
            fs::create_dir_all(above)?;
        }
        DirBuilder::new().mode(0o700).create(mail_root)?;
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        fchown(File::open(mail_root)?, Some(uid), Some(gid))
    };
    make().map_err(|cause| mail_root_error(user, mail_root, cause))
}

/// Whether `mail_root`, and what lies in it, is the user's. What lies deeper was made by whoever
/// made that.
fn check_owner(user: &User, mail_root: &Path) -> Result<(), PrivilegeError> {
    let check = |path: &Path, uid: u32| match uid == user.uid.as_raw() {
        true => Ok(()),
        false => Err(PrivilegeError::Owner {
            path: path.to_owned(),
            owner: name_of(Uid::from_raw(uid)),
            user: user.name.clone(),
            mail_root: mail_root.to_owned(),
        }),
    };
    let failed = |cause| mail_root_error(user, mail_root, cause);
    let metadata = match fs::metadata(mail_root) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(failed)?,
    };
    check(mail_root, metadata.uid())?;
    for entry in fs::read_dir(mail_root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.metadata() {
            // Another process has just removed it.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            metadata => check(&entry.path(), metadata.map_err(failed)?.uid())?,
        }
    }
    Ok(())
}

fn mail_root_error(user: &User, mail_root: &Path, cause: io::Error) -> PrivilegeError {
    PrivilegeError::MailRoot {
        path: mail_root.to_owned(),
        user: user.name.clone(),
        cause,
    }
}

/// From root to the user: supplementary groups first, while there is the right to.
fn set_user(user: &User) -> Result<(), PrivilegeError> {
    let refused = |step, cause| PrivilegeError::Refused {
        user: user.name.clone(),
        step,
        cause,
    };
    let name = CString::new(user.name.as_str()).expect("it was looked up, so it has no NUL");
    let (uid, gid) = (user.uid, user.gid);
    set_keep_capabilities(true).map_err(|cause| refused("PR_SET_KEEPCAPS", cause.into()))?;
    initgroups(&name, gid).map_err(|cause| refused("initgroups", cause.into()))?;
    setresgid(gid, gid, gid).map_err(|cause| refused("setresgid", cause.into()))?;
    setresuid(uid, uid, uid).map_err(|cause| refused("setresuid", cause.into()))?;
    let kept = capabilities(None).map_err(|cause| refused("capget", cause.into()))?;
    let kept = kept.permitted & CapabilitySet::NET_BIND_SERVICE;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(|cause| refused("capset", cause.into()))?;
    set_keep_capabilities(false).map_err(|cause| refused("PR_SET_KEEPCAPS", cause.into()))?;
    set_no_new_privs(true).map_err(|cause| refused("PR_SET_NO_NEW_PRIVS", cause.into()))?;
    let is_gone = is_gone(user, &name).map_err(|cause| refused("a look at it", cause))?;
    match is_gone {
        true => Ok(()),
        false => Err(PrivilegeError::NotGone {
            user: user.name.clone(),
        }),
    }
}

/// Whether nothing of root is left: no id, no group, no capability but one, and no way back.
fn is_gone(user: &User, name: &CString) -> io::Result<bool> {
    let (uids, gids) = (getresuid()?, getresgid()?);
    let sorted = |mut groups: Vec<Gid>| {
        groups.sort_unstable_by_key(|group| group.as_raw());
        groups.dedup();
        groups
    };
    let sets = capabilities(None)?;
    Ok([uids.real, uids.effective, uids.saved] == [user.uid; 3]
        && [gids.real, gids.effective, gids.saved] == [user.gid; 3]
        && sorted(getgroups()?) == sorted(getgrouplist(name, user.gid)?)
        && CapabilitySet::NET_BIND_SERVICE.contains(sets.permitted | sets.effective)
        && setuid(Uid::from_raw(0)).is_err())
}
