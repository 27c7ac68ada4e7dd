//! One direction of a stream.

use std::{collections::VecDeque, time::Duration};

use rmail_proto::{Entropy, Instant};

/// How bytes travel.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The shortest time that a piece takes.
    pub latency_min: Duration,
    /// The longest.
    pub latency_max: Duration,
    /// Bytes of the longest piece in which what was written arrives.
    pub piece_bytes_max: usize,
    /// Bytes that were written and not read, at most.
    pub window_bytes: usize,
}

impl Default for Link {
    /// A good connection within a continent.
    fn default() -> Self {
        Self {
            latency_min: Duration::from_millis(1),
            latency_max: Duration::from_millis(20),
            piece_bytes_max: 16 * 1024,
            window_bytes: 64 * 1024,
        }
    }
}

/// Bytes on their way from a writer to a reader: in order, in pieces, each after a while.
#[derive(Debug)]
pub(crate) struct Pipe {
    link: Link,
    pieces: VecDeque<Piece>,
    /// Bytes of the pieces.
    held_bytes: usize,
    /// When the last piece arrives: none overtakes another.
    last_arrival: Instant,
    /// The connection is lost, and what was on its way with it.
    is_lost: bool,
}

#[derive(Debug)]
struct Piece {
    arrives_at: Instant,
    content: PieceContent,
}

#[derive(Debug)]
enum PieceContent {
    Bytes(Vec<u8>),
    End,
}

/// What a reader finds.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Read {
    Bytes(Vec<u8>),
    End,
    /// The connection is lost.
    Lost,
    /// Nothing is here now.
    Nothing,
}

impl Pipe {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            pieces: VecDeque::new(),
            held_bytes: 0,
            last_arrival: Instant::default(),
            is_lost: false,
        }
    }

    /// What is on its way is lost, and the reader hears of it.
    pub(crate) fn lose(&mut self) {
        self.pieces.clear();
        self.held_bytes = 0;
        self.is_lost = true;
    }

    /// What is written from now on arrives after that time.
    pub(crate) fn stall(&mut self, until: Instant) {
        self.last_arrival = self.last_arrival.max(until);
        for piece in &mut self.pieces {
            piece.arrives_at = piece.arrives_at.max(until);
        }
    }

    /// Takes as much as there is room for, but not a little of much.
    pub(crate) fn write(&mut self, now: Instant, entropy: &mut Entropy, bytes: &[u8]) -> usize {
        if self.is_lost {
            return bytes.len();
        }
        let room = self.link.window_bytes.saturating_sub(self.held_bytes);
        if room < bytes.len() && room < self.link.window_bytes / 4 {
            // A little room is no room, or pieces get ever smaller (RFC 9293 §3.8.6.2.1).
            return 0;
        }
        let taken = &bytes[..room.min(bytes.len())];
        let mut rest = taken;
        while !rest.is_empty() {
            let most = rest.len().min(self.link.piece_bytes_max);
            let (piece, after) = rest.split_at(1 + below(entropy, most));
            rest = after;
            self.push(now, entropy, PieceContent::Bytes(piece.to_vec()));
        }
        self.held_bytes += taken.len();
        taken.len()
    }

    /// Nothing follows.
    pub(crate) fn end(&mut self, now: Instant, entropy: &mut Entropy) {
        if self.is_lost {
            return;
        }
        self.push(now, entropy, PieceContent::End);
    }

    /// What has arrived.
    pub(crate) fn read(&mut self, now: Instant) -> Read {
        if self.is_lost {
            return Read::Lost;
        }
        match self.pieces.front() {
            Some(piece) if piece.arrives_at <= now => {}
            Some(_) | None => return Read::Nothing,
        }
        match self.pieces.pop_front().expect("it was just there").content {
            PieceContent::Bytes(bytes) => {
                self.held_bytes -= bytes.len();
                Read::Bytes(bytes)
            }
            PieceContent::End => Read::End,
        }
    }

    /// When there is something to read.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        if self.is_lost {
            return Some(Instant::default());
        }
        self.pieces.front().map(|piece| piece.arrives_at)
    }

    fn push(&mut self, now: Instant, entropy: &mut Entropy, content: PieceContent) {
        let latency = duration_between(entropy, self.link.latency_min, self.link.latency_max);
        self.last_arrival = self.last_arrival.max(now + latency);
        let arrives_at = self.last_arrival;
        self.pieces.push_back(Piece {
            arrives_at,
            content,
        });
    }
}

/// A number below `bound`, which must not be 0.
fn below(entropy: &mut Entropy, bound: usize) -> usize {
    entropy.next_below(bound as u64) as usize
}

/// A time between these two.
pub(crate) fn duration_between(entropy: &mut Entropy, min: Duration, max: Duration) -> Duration {
    let span = max.saturating_sub(min).as_nanos() as u64;
    min + Duration::from_nanos(entropy.next_below(span + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_whole_in_order_and_the_end_last() {
        let mut entropy = Entropy::new(1);
        let link = Link {
            piece_bytes_max: 3,
            ..Link::default()
        };
        let mut pipe = Pipe::new(link);
        let now = Instant::default();
        assert_eq!(pipe.write(now, &mut entropy, b"hello, world"), 12);
        pipe.end(now, &mut entropy);
        let mut read = Vec::new();
        while let Some(at) = pipe.next_arrival() {
            match pipe.read(at) {
                Read::Bytes(bytes) => read.extend(bytes),
                Read::End => break,
                Read::Lost | Read::Nothing => panic!("something was to arrive"),
            }
        }
        assert_eq!(read, b"hello, world");
        assert_eq!(pipe.next_arrival(), None);
    }

    #[test]
    fn window_bounds_what_is_on_its_way() {
        let mut entropy = Entropy::new(1);
        let mut pipe = Pipe::new(Link {
            window_bytes: 10,
            ..Link::default()
        });
        let now = Instant::default();
        assert_eq!(pipe.write(now, &mut entropy, &[0; 16]), 10);
        assert_eq!(pipe.write(now, &mut entropy, &[0; 16]), 0);
    }
}
