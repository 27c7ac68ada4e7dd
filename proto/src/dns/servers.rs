//! The servers, and which of them answer.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::{Instant, limits};

/// The name servers and what is known of their health. It decides in which order they are asked,
/// never whether.
#[derive(Debug)]
pub(super) struct Servers {
    servers: Vec<Server>,
    rotates: bool,
    turn: usize,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// In a row.
    timeouts: u32,
    /// With timeouts enough, it is asked last until then.
    penalty_until: Instant,
}

impl Servers {
    /// Of more servers than [`limits::DNS_SERVERS_MAX`], the first are taken.
    pub(super) fn new(addresses: &[SocketAddr], rotates: bool) -> Self {
        let addresses = addresses.iter().take(limits::DNS_SERVERS_MAX);
        let servers = addresses.map(|&address| Server {
            address,
            timeouts: 0,
            penalty_until: Instant::default(),
        });
        Self {
            servers: servers.collect(),
            rotates,
            turn: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// In which order to ask them now: as they are configured, or in turns; those that have not
    /// answered lately last. One whose penalty is over is put in its place for this question
    /// alone, until it has answered.
    pub(super) fn order(&mut self, now: Instant) -> Vec<SocketAddr> {
        let count = self.servers.len();
        let first = if self.rotates { self.turn } else { 0 };
        self.turn = (self.turn + 1) % count.max(1);
        let mut order = Vec::with_capacity(count);
        let mut last = Vec::new();
        for index in (first..first + count).map(|index| index % count) {
            let server = &mut self.servers[index];
            if server.timeouts < limits::DNS_SERVER_TIMEOUTS_MAX {
                order.push(server.address);
            } else if server.penalty_until <= now {
                server.penalty_until = now + limits::DNS_SERVER_PENALTY;
                order.push(server.address);
            } else {
                last.push(server.address);
            }
        }
        order.extend(last);
        order
    }

    /// It has answered, whatever it said.
    pub(super) fn note_answer(&mut self, address: SocketAddr) {
        if let Some(server) = self.server(address) {
            server.timeouts = 0;
        }
    }

    /// It has not answered in time.
    pub(super) fn note_timeout(&mut self, now: Instant, address: SocketAddr) {
        if let Some(server) = self.server(address) {
            server.timeouts = server.timeouts.saturating_add(1);
            server.penalty_until = now + limits::DNS_SERVER_PENALTY;
        }
    }

    fn server(&mut self, address: SocketAddr) -> Option<&mut Server> {
        self.servers
            .iter_mut()
            .find(|server| server.address == address)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    fn addresses() -> Vec<SocketAddr> {
        let texts = ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"];
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn servers_take_turns_where_they_are_told_to() {
        let [a, b, c] = addresses()[..] else { panic!() };
        let mut servers = Servers::new(&[a, b, c], false);
        assert_eq!(servers.order(at(0)), [a, b, c]);
        assert_eq!(servers.order(at(0)), [a, b, c]);
        let mut servers = Servers::new(&[a, b, c], true);
        assert_eq!(servers.order(at(0)), [a, b, c]);
        assert_eq!(servers.order(at(0)), [b, c, a]);
        assert_eq!(servers.order(at(0)), [c, a, b]);
        assert_eq!(servers.order(at(0)), [a, b, c]);
    }

    #[test]
    fn dead_server_is_asked_last_and_tried_by_one_question_at_a_time() {
        let [a, b, _] = addresses()[..] else { panic!() };
        let mut servers = Servers::new(&[a, b], false);
        for _ in 0..limits::DNS_SERVER_TIMEOUTS_MAX {
            assert_eq!(servers.order(at(0)), [a, b]);
            servers.note_timeout(at(0), a);
        }
        assert_eq!(servers.order(at(0)), [b, a]);
        let penalty = limits::DNS_SERVER_PENALTY.as_secs();
        assert_eq!(servers.order(at(penalty - 1)), [b, a]);
        assert_eq!(servers.order(at(penalty)), [a, b], "the one that tries");
        assert_eq!(servers.order(at(penalty)), [b, a], "the others do not wait");
        servers.note_answer(a);
        assert_eq!(servers.order(at(penalty)), [a, b]);
    }

    #[test]
    fn servers_beyond_the_limit_are_left_out() {
        let mut many = addresses();
        many.push("192.0.2.4:53".parse().unwrap());
        let mut servers = Servers::new(&many, false);
        assert_eq!(servers.order(at(0)), addresses());
        assert_eq!(Servers::new(&[], true).order(at(0)), vec![]);
    }
}
