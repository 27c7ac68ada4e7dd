//! The table of a [`DnsWorld`] behind real sockets.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::DnsWorld;

/// Longest message that comes in.
const MESSAGE_BYTES_MAX: usize = 4096;

/// How long a client of a stream may keep silent.
const STREAM_PATIENCE: Duration = Duration::from_secs(10);

/// A DNS server on a port of the loopback interface, by UDP and TCP, in threads of its own. It
/// ends when it is dropped.
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    world: Mutex<DnsWorld>,
    is_stopping: AtomicBool,
}

impl DnsServer {
    /// Serves this world on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn start(world: DnsWorld) -> Self {
        // A port that is free by UDP may be taken by TCP.
        let (udp, tcp) = (0..100)
            .find_map(|_| bind(0).ok())
            .expect("a port is free by UDP and TCP");
        Self::serve(world, udp, tcp)
    }

    /// Serves this world on that port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When it can't be bound by UDP and TCP.
    pub fn start_on(port: u16, world: DnsWorld) -> io::Result<Self> {
        let (udp, tcp) = bind(port)?;
        Ok(Self::serve(world, udp, tcp))
    }

    fn serve(world: DnsWorld, udp: UdpSocket, tcp: TcpListener) -> Self {
        let address = udp.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            is_stopping: AtomicBool::new(false),
        });
        let datagrams = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve_datagrams(&shared, &udp)
        });
        let streams = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept_streams(&shared, &tcp)
        });
        Self {
            address,
            shared,
            threads: vec![datagrams, streams],
        }
    }

    /// Where it listens, by UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The world, to change it or to see what was asked. Nobody is answered meanwhile.
    pub fn world(&self) -> MutexGuard<'_, DnsWorld> {
        self.shared.world()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        // Both threads wait for something to come.
        let _ = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|socket| socket.send_to(b"", self.address));
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, DnsWorld> {
        self.world.lock().expect("nobody panics with the world")
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }
}

fn bind(port: u16) -> io::Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    let tcp = TcpListener::bind(udp.local_addr()?)?;
    Ok((udp, tcp))
}

fn serve_datagrams(shared: &Shared, socket: &UdpSocket) {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let mut replies: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)> = BTreeMap::new();
    for number in 0u64.. {
        let now = Instant::now();
        while let Some(entry) = replies.first_entry()
            && entry.key().0 <= now
        {
            let (to, bytes) = entry.remove();
            let _ = socket.send_to(&bytes, to);
        }
        // A timeout of 0 would be none.
        let next = replies.first_key_value();
        let wait = next.map(|((at, _), _)| (*at - now).max(Duration::from_millis(1)));
        socket.set_read_timeout(wait).expect("it is not zero");
        let received = socket.recv_from(&mut buffer);
        if shared.is_stopping() {
            return;
        }
        let Ok((length, from)) = received else {
            continue;
        };
        let arrival = Instant::now();
        let answers = shared.world().answer_datagram(&buffer[..length]);
        for (copy, reply) in (0u64..).zip(answers) {
            let key = (arrival + reply.after, number * 2 + copy);
            replies.insert(key, (from, reply.bytes));
        }
    }
}

fn accept_streams(shared: &Arc<Shared>, listener: &TcpListener) {
    for stream in listener.incoming() {
        if shared.is_stopping() {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // It ends with its client, or with its patience.
        thread::spawn(move || serve_stream(&shared, stream));
    }
}

/// Messages with their length before them (RFC 1035 §4.2.2), until the client leaves.
fn serve_stream(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(STREAM_PATIENCE))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let Some(reply) = shared.world().answer_stream(&query) else {
            return Ok(());
        };
        thread::park_timeout(reply.after);
        let length = u16::try_from(reply.bytes.len()).expect("messages have 64 KiB at most");
        stream.write_all(&[&length.to_be_bytes()[..], &reply.bytes].concat())?;
    }
}
