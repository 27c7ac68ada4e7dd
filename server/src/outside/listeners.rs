//! Listeners, bound while the process may still bind any port: before it hands root's rights over,
//! and so before there is a runtime, which then takes them.

use std::net::TcpListener;

use crate::{limits, node::ListenerSpec};

/// A listener that is bound. Connections wait in it until a runtime accepts them.
#[derive(Debug)]
pub struct Listener {
    /// What is spoken there.
    pub spec: ListenerSpec,
    /// The socket; it does not block.
    pub socket: TcpListener,
}

/// Binds them all.
///
/// # Errors
///
/// For the operator: which one can't be bound, why, and what helps.
pub fn open(specs: &[ListenerSpec]) -> Result<Vec<Listener>, String> {
    let open = |spec: &ListenerSpec| match bind(spec) {
        Ok(socket) => Ok(Listener {
            spec: *spec,
            socket,
        }),
        Err(error) => Err(spec.describe_failure(&error)),
    };
    specs.iter().map(open).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a runtime has threads, and these are bound before"
)]
fn bind(spec: &ListenerSpec) -> std::io::Result<TcpListener> {
    let socket = TcpListener::bind(spec.address)?;
    // The standard library lets 128 wait; saying it again changes the number.
    rustix::net::listen(&socket, limits::LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
