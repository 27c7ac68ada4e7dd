//! A machine of the world: a disk, and the processes on it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use rmail_proto::{Entropy, Now, UnixTime};
use rmail_server::{config::Config, tls::ServerTls};
use rmail_store::StoreError;

use super::process::{self, Process, ProcessId};
use crate::{AccountChange, Disk, Setup};

/// How long a process that did not come up is left alone.
pub(super) const START_AGAIN: Duration = Duration::from_secs(1);

/// Names a host of a world, counted from 0.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub usize);

impl std::fmt::Display for HostId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("host {}", self.0))
    }
}

/// A disk, and what runs on it.
pub(super) struct Host {
    pub(super) disk: Disk,
    pub(super) setup: Setup,
    tls: Arc<ServerTls>,
    /// By [`ServerIndex`](crate::ServerIndex); `None` while a server is down.
    pub(super) servers: Vec<Option<Process>>,
    /// How often a process of it was killed, or asked to stop.
    pub(super) interruptions: u64,
}

impl Host {
    /// A host on which nothing runs.
    pub(super) fn new(setup: Setup, tls: Arc<ServerTls>, seed: u64) -> Self {
        let servers = (0..setup.servers).map(|_| None).collect();
        Self {
            disk: Disk::new(seed),
            setup,
            tls,
            servers,
            interruptions: 0,
        }
    }

    /// A process whose node has begun.
    pub(super) fn start(
        &self,
        id: ProcessId,
        now: Now,
        entropy: Entropy,
    ) -> Result<Process, StoreError> {
        let mount = self.disk.mount();
        let config = self.setup.config(mount.root());
        let mut process = Process::new(id, config, Arc::clone(&self.tls), mount, entropy)?;
        process.node.handle_start(now);
        Ok(process)
    }

    /// Does what the command line does, in a process of its own; returns the hints it sends.
    pub(super) fn change_account(
        &self,
        now: UnixTime,
        entropy: &mut Entropy,
        change: AccountChange,
    ) -> Result<Vec<(std::path::PathBuf, Vec<u8>)>, StoreError> {
        process::change_account(&self.disk.mount(), now, entropy, change)
    }

    /// Where other machines reach it.
    pub(super) fn address(id: HostId) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, 1 + id.0 as u8).into()
    }

    /// Its configuration, as a server with this `mail_root` has it.
    pub(super) fn config(&self) -> Config {
        self.setup.config(std::path::Path::new("/"))
    }
}

/// A process, if it runs on one of these hosts.
pub(super) fn find_process(hosts: &mut [Host], id: ProcessId) -> Option<&mut Process> {
    let mut processes = hosts
        .iter_mut()
        .flat_map(|host| host.servers.iter_mut().flatten());
    processes.find(|process| process.id == id)
}
