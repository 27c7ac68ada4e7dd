//! A client's connection, for the diagnostics: blocking, and bounded in time and in bytes.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use super::interrupt::Interrupt;
use crate::limits;

/// What all connections have in common.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// With what is encrypted.
    pub tls: Arc<ClientConfig>,
    /// The name that the server is asked for under (RFC 6066 §3).
    pub server_name: ServerName<'static>,
    /// Ends whatever goes on.
    pub interrupt: Interrupt,
}

/// A connection, on which nothing takes longer than [`limits::DIAGNOSTICS_TIME`].
pub struct Client {
    stream: BufReader<Stream>,
    dialer: Dialer,
    local: IpAddr,
}

impl Dialer {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Those of the connection, here and in all that follows; `TimedOut` or `WouldBlock` when
    /// nothing comes in time.
    pub fn dial(&self, address: SocketAddr) -> io::Result<Client> {
        self.check_interrupt()?;
        self.client(TcpStream::connect_timeout(
            &address,
            limits::DIAGNOSTICS_TIME,
        )?)
    }

    /// Connects from an address of this machine.
    ///
    /// # Errors
    ///
    /// See [`dial`](Self::dial); also when this machine has no such address.
    pub fn dial_from(&self, source: IpAddr, address: SocketAddr) -> io::Result<Client> {
        self.check_interrupt()?;
        let family = match source {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        net::bind(&socket, &SocketAddr::new(source, 0))?;
        net::connect(&socket, &address)?;
        self.client(TcpStream::from(socket))
    }

    fn client(&self, stream: TcpStream) -> io::Result<Client> {
        stream.set_read_timeout(Some(limits::DIAGNOSTICS_TIME))?;
        stream.set_write_timeout(Some(limits::DIAGNOSTICS_TIME))?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?.ip();
        let interrupt = self.interrupt.clone();
        Ok(Client {
            stream: BufReader::new(Stream::Clear(Socket { stream, interrupt })),
            dialer: self.clone(),
            local,
        })
    }

    fn check_interrupt(&self) -> io::Result<()> {
        match self.interrupt.has_come() {
            true => Err(interrupted()),
            false => Ok(()),
        }
    }
}

impl Client {
    /// Our own address.
    pub fn local(&self) -> IpAddr {
        self.local
    }

    /// Encrypts from now on.
    ///
    /// # Errors
    ///
    /// Those of the handshake, as a [`rustls::Error`] within; `InvalidData` when something came
    /// before it, which might be a stranger's.
    pub fn start_tls(self) -> io::Result<Self> {
        let Self {
            stream,
            dialer,
            local,
        } = self;
        if !stream.buffer().is_empty() {
            let text = "something came in clear before the TLS handshake";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut socket = match stream.into_inner() {
            Stream::Clear(socket) => socket,
            Stream::Tls(_) => unreachable!("a client starts TLS once"),
        };
        let name = dialer.server_name.clone();
        let connection = ClientConnection::new(Arc::clone(&dialer.tls), name);
        let mut connection = connection.map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(Self {
            stream: BufReader::new(stream),
            dialer,
            local,
        })
    }

    /// Sends all of it.
    ///
    /// # Errors
    ///
    /// See [`Dialer::dial`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.dialer.check_interrupt()?;
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// The next line, with its CRLF.
    ///
    /// # Errors
    ///
    /// See [`Dialer::dial`]; also the end of the stream, and a line that is longer than
    /// [`limits::DIAGNOSTICS_LINE_BYTES`].
    pub fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let bound = limits::DIAGNOSTICS_LINE_BYTES as u64;
        (&mut self.stream)
            .take(bound)
            .read_until(b'\n', &mut line)?;
        match (line.ends_with(b"\n"), line.len() as u64 == bound) {
            (true, _) => Ok(line),
            (false, true) => Err(too_long()),
            (false, false) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// So many of the next bytes.
    ///
    /// # Errors
    ///
    /// See [`read_line`](Self::read_line).
    pub fn read_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        if count > limits::DIAGNOSTICS_LINE_BYTES {
            return Err(too_long());
        }
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

enum Stream {
    Clear(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A socket on which a signal ends what waits: with a time limit the operating system does not
/// take it up again by itself.
struct Socket {
    stream: TcpStream,
    interrupt: Interrupt,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Err(error)
                if error.kind() == io::ErrorKind::Interrupted && self.interrupt.has_come() =>
            {
                Err(interrupted())
            }
            read => read,
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Of another kind than what a reader tries again after.
fn interrupted() -> io::Error {
    io::Error::other("the command was interrupted")
}

fn too_long() -> io::Error {
    let text = "the server sends more than any answer is long";
    io::Error::new(io::ErrorKind::InvalidData, text)
}
