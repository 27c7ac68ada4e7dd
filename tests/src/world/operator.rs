//! What an operator does to servers that run: another configuration, and a look at their state.

use std::path::Path;

use rmail_server::{
    config::Config,
    node::{ListenerSpec, Status},
};
use serde_json::{Value, json};

use super::{HostId, World};
use crate::{ServerIndex, Setup, setup::merge};

/// A port that another program has.
pub const TAKEN_PORT: u16 = 6666;

/// Certificates whose signatures all have one length (Ed25519), so that how many bytes a
/// handshake takes is the same in each run. They are for tests alone; their keys are no secret.
pub const CERTIFICATE: &str = "";
/// See [`CERTIFICATE`]: the one that comes after it.
pub const OTHER_CERTIFICATE: &str = "other-";

/// The keys of the configuration that name a certificate.
pub fn certificate_config(name: &str) -> Value {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/world/certificate"
    ));
    json!({ "tls": {
        "cert_file": folder.join(format!("{name}cert.pem")),
        "key_file": folder.join(format!("{name}key.pem")),
    }})
}

/// Opens a listener, unless somebody else has its port.
pub(super) fn listen(spec: ListenerSpec) -> Result<(), String> {
    match spec.address.port() {
        TAKEN_PORT => Err(format!("port {TAKEN_PORT} is taken")),
        _ => Ok(()),
    }
}

impl World {
    /// Puts these keys over the configuration of a host, and has all its servers read it again.
    /// One that is faulty is forgotten afterwards.
    pub fn reload(&mut self, host: HostId, changes: &Value) {
        self.touched += 1;
        let now = self.now;
        let host = &mut self.hosts[host.0];
        let mut changed = host.setup.clone();
        merge(&mut changed.config, changes);
        let mut written = Setup {
            config: certificate_config(CERTIFICATE),
            ..changed.clone()
        };
        merge(&mut written.config, &changed.config);
        for process in host.servers.iter_mut().flatten() {
            process.reload(now, &written);
        }
        let json = changed.config_json(Path::new("/"), crate::setup::PORTS);
        if Config::load(&json.to_string(), Path::new("/")).is_ok() {
            host.setup = changed;
        }
    }

    /// What `rmail status` tells of a server that runs.
    pub fn status(&self, host: HostId, server: ServerIndex) -> Option<Status> {
        let process = self.hosts[host.0].servers[server.0].as_ref()?;
        Some(process.node.status(self.now))
    }
}
