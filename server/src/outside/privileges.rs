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
//! Of root's capabilities CAP_NET_BIND_SERVICE alone is kept, where there is it. What the process
//! makes from then on is for its user alone, whatever the umask was.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, fchown},
    path::{Path, PathBuf},
};

use rustix::{
    fs::Mode,
    process::{Gid, Uid, getegid, geteuid, getgroups, umask},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
        set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
        set_thread_uid,
    },
};
use thiserror::Error;
use uzers::{User, get_group_by_gid, get_user_by_name, get_user_by_uid, get_user_groups};

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
        "{path} belongs to {owner}, and the server works as {user}: run \"chown -R {user}: \
         {root}\"",
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
    let shown = config_path.display();
    let Some(name) = &config.user else {
        keep_private();
        let warning = format!(
            "the server runs as root, who may do more than it needs: set \"user\" in {shown}, and \
             run \"chown -R USER: {root}\"",
            root = shell::word(&config.mail_root.display().to_string()),
        );
        return Ok(is_root().then_some(warning));
    };
    let user = Target::find(name)?;
    if !user.is_own() && !is_root() {
        let (own, _) = own_names();
        let user = user.name;
        return Err(PrivilegeError::NotRoot { user, own });
    }
    user.hand_over(&config.mail_root)?;
    let is_readable = File::open(config_path).is_ok();
    Ok((!is_readable).then(|| {
        let remedy = reading_remedy(config_path);
        format!("a reload will not be able to read {shown}: {remedy}")
    }))
}

/// As [`become_user`], for a command, so that what it writes is the server's, too: the configured
/// user's, or that of the owner of `mail_root`.
///
/// # Errors
///
/// The same.
pub fn become_owner(config: &Config) -> Result<(), PrivilegeError> {
    let user = match &config.user {
        _ if !is_root() => None,
        Some(name) => Some(Target::find(name)?),
        None => match fs::metadata(&config.mail_root) {
            // An owner without a name can't be anybody's choice.
            Ok(metadata) => get_user_by_uid(metadata.uid()).map(Target::from),
            Err(_) => None,
        },
    };
    match user {
        Some(user) => user.hand_over(&config.mail_root),
        None => {
            keep_private();
            Ok(())
        }
    }
}

/// Makes `mail_root` for the configured user, where it is missing. Otherwise it must be that
/// user's.
///
/// # Errors
///
/// Each says what to do.
pub fn prepare_mail_root(config: &Config) -> Result<(), PrivilegeError> {
    match &config.user {
        Some(name) => Target::find(name)?.prepare(&config.mail_root),
        None => Ok(()),
    }
}

/// Whether nobody may forbid this process anything.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// The names of the process's user and group; their numbers where they have none.
pub fn own_names() -> (String, String) {
    let gid = getegid().as_raw();
    let group = get_group_by_gid(gid).map(|group| group.name().to_string_lossy().into_owned());
    let group = group.unwrap_or_else(|| gid.to_string());
    (name_of(geteuid().as_raw()), group)
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

fn name_of(uid: u32) -> String {
    let name = get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned());
    name.unwrap_or_else(|| uid.to_string())
}

/// What is made from now on is for the process's user alone.
fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Whom the process is to be.
struct Target {
    name: String,
    uid: Uid,
    gid: Gid,
    /// The groups besides, without repetition, in order.
    groups: Vec<u32>,
}

impl From<User> for Target {
    fn from(user: User) -> Self {
        let gid = user.primary_group_id();
        let groups = get_user_groups(user.name(), gid).unwrap_or_default();
        let mut groups: Vec<u32> = groups.iter().map(uzers::Group::gid).collect();
        groups.sort_unstable();
        groups.dedup();
        Self {
            name: user.name().to_string_lossy().into_owned(),
            uid: Uid::from_raw(user.uid()),
            gid: Gid::from_raw(gid),
            groups,
        }
    }
}

impl Target {
    fn find(name: &str) -> Result<Self, PrivilegeError> {
        match get_user_by_name(name) {
            Some(user) => Ok(Self::from(user)),
            None => Err(PrivilegeError::NoSuchUser {
                user: name.to_owned(),
            }),
        }
    }

    fn is_own(&self) -> bool {
        self.uid == geteuid()
    }

    /// Becomes the user, who owns `mail_root`; one that is missing is made.
    fn hand_over(&self, mail_root: &Path) -> Result<(), PrivilegeError> {
        self.prepare(mail_root)?;
        if !self.is_own() {
            self.enter()?;
        }
        keep_private();
        Ok(())
    }

    fn prepare(&self, mail_root: &Path) -> Result<(), PrivilegeError> {
        let failed = |cause| PrivilegeError::MailRoot {
            path: mail_root.to_owned(),
            user: self.name.clone(),
            cause,
        };
        if self.uid.is_root() {
            return Ok(());
        }
        if is_root() && !mail_root.exists() {
            self.make(mail_root).map_err(failed)?;
        }
        match self.find_foreign(mail_root).map_err(failed)? {
            None => Ok(()),
            Some((path, owner)) => Err(PrivilegeError::Owner {
                path,
                owner: name_of(owner),
                user: self.name.clone(),
                mail_root: mail_root.to_owned(),
            }),
        }
    }

    fn make(&self, mail_root: &Path) -> io::Result<()> {
        if let Some(above) = mail_root.parent() {
            fs::create_dir_all(above)?;
        }
        DirBuilder::new().mode(0o700).create(mail_root)?;
        let (uid, gid) = (self.uid.as_raw(), self.gid.as_raw());
        fchown(File::open(mail_root)?, Some(uid), Some(gid))
    }

    /// What of `mail_root`, and of that which lies in it, is another's. What lies deeper was made
    /// by whoever made that.
    fn find_foreign(&self, mail_root: &Path) -> io::Result<Option<(PathBuf, u32)>> {
        let owner = match fs::metadata(mail_root) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?.uid(),
        };
        if owner != self.uid.as_raw() {
            return Ok(Some((mail_root.to_owned(), owner)));
        }
        for entry in fs::read_dir(mail_root)? {
            let entry = entry?;
            let owner = match entry.metadata() {
                // Another process has just removed it.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?.uid(),
            };
            if owner != self.uid.as_raw() {
                return Ok(Some((entry.path(), owner)));
            }
        }
        Ok(None)
    }

    /// From root to the user: groups first, while there is the right to. The system calls are
    /// those of a thread, and there is no other.
    fn enter(&self) -> Result<(), PrivilegeError> {
        let refused = |step, cause: rustix::io::Errno| PrivilegeError::Refused {
            user: self.name.clone(),
            step,
            cause: cause.into(),
        };
        assert!(is_single_threaded(), "rights are a thread's own");
        let (uid, gid) = (self.uid, self.gid);
        let groups = self.groups.iter().copied();
        let groups: Vec<_> = groups.map(Gid::from_raw).collect();
        set_keep_capabilities(true).map_err(|cause| refused("PR_SET_KEEPCAPS", cause))?;
        set_thread_groups(&groups).map_err(|cause| refused("setgroups", cause))?;
        set_thread_res_gid(gid, gid, gid).map_err(|cause| refused("setresgid", cause))?;
        set_thread_res_uid(uid, uid, uid).map_err(|cause| refused("setresuid", cause))?;
        let had = capabilities(None).map_err(|cause| refused("capget", cause))?;
        let kept = had.permitted & CapabilitySet::NET_BIND_SERVICE;
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).map_err(|cause| refused("capset", cause))?;
        set_keep_capabilities(false).map_err(|cause| refused("PR_SET_KEEPCAPS", cause))?;
        set_no_new_privs(true).map_err(|cause| refused("PR_SET_NO_NEW_PRIVS", cause))?;
        match self
            .is_entered()
            .map_err(|cause| refused("a look at it", cause))?
        {
            true => Ok(()),
            false => Err(PrivilegeError::NotGone {
                user: self.name.clone(),
            }),
        }
    }

    /// Whether nothing of root is left: no id, no group, no capability but one, and no way back.
    fn is_entered(&self) -> rustix::io::Result<bool> {
        let mut groups: Vec<u32> = getgroups()?.iter().map(|group| group.as_raw()).collect();
        groups.sort_unstable();
        let sets = capabilities(None)?;
        Ok(self.is_own()
            && getegid() == self.gid
            && groups == self.groups
            && CapabilitySet::NET_BIND_SERVICE.contains(sets.permitted | sets.effective)
            && set_thread_uid(Uid::ROOT).is_err())
    }
}

/// Also where the system does not tell.
fn is_single_threaded() -> bool {
    fs::read_dir("/proc/self/task").map_or(true, |threads| threads.count() == 1)
}
