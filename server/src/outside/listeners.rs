//! Listeners: those of the start are bound before the process hands root's rights over, and so
//! before there is a runtime; those of a reload with the rights that it kept.

use std::{
    io::{self, ErrorKind},
    net::TcpListener,
};

use crate::{limits, node::ListenerSpec};

/// A listener that is bound. Connections wait in it until a runtime accepts them.
#[derive(Debug)]
pub struct Listener {
    /// What is spoken there.
    pub spec: ListenerSpec,
    /// The socket; it does not block.
    pub socket: TcpListener,
}

/// Binds them all, at the start.
///
/// # Errors
///
/// For the operator: which one can't be bound, why, and what helps.
pub fn open(specs: &[ListenerSpec]) -> Result<Vec<Listener>, String> {
    let remedy = "ports below 1024 need root or CAP_NET_BIND_SERVICE; \
                  `rmail quickstart` uses high ports";
    let open = |spec: &ListenerSpec| bind(*spec, remedy);
    specs.iter().map(open).collect()
}

/// Binds one that a reload asks for.
///
/// # Errors
///
/// As [`open`].
pub fn open_later(spec: ListenerSpec) -> Result<Listener, String> {
    let remedy = "this process has no right to ports below 1024 any more: restart the server";
    bind(spec, remedy)
}

fn bind(spec: ListenerSpec, denied: &str) -> Result<Listener, String> {
    match socket(spec) {
        Ok(socket) => Ok(Listener { spec, socket }),
        Err(error) => Err(describe_failure(spec, &error, denied)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it does not block: an address needs no look-up"
)]
fn socket(spec: ListenerSpec) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(spec.address)?;
    // The standard library lets 128 wait; saying it again changes the number.
    rustix::net::listen(&socket, limits::LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Why a listener can't be opened, and what helps.
fn describe_failure(spec: ListenerSpec, error: &io::Error, denied: &str) -> String {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => denied,
        ErrorKind::AddrInUse => "another program has the port: stop it, or set another port",
        ErrorKind::AddrNotAvailable => "no interface has this address: set the host",
        _ => "set another port or host",
    };
    format!(
        "cannot listen on {} for {} ({}): {error}; {remedy}",
        spec.address,
        spec.kind.name(),
        spec.kind.port_key(),
    )
}
