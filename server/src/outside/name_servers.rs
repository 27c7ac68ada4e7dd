//! Which name servers this machine asks.

use std::{fs::File, io::Read};

use rmail_proto::limits;

/// Where it says so.
const PATH: &str = "/etc/resolv.conf";

/// The file's text; empty when there is none, which stands for a server on this machine.
pub fn read() -> String {
    let mut bytes = Vec::new();
    let file = File::open(PATH);
    let bound = limits::RESOLV_CONF_BYTES as u64;
    let read = file.and_then(|file| file.take(bound).read_to_end(&mut bytes));
    if let Err(error) = read {
        tracing::warn!(%error, "{PATH} can't be read");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
