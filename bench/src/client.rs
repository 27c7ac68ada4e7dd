//! A client that sends lines and reads lines, with TLS and without.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use rmail_server::tls::ClientTls;
use rustls::{ClientConnection, StreamOwned};

use crate::Result;

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A conversation.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

pub(crate) fn connect_plain(port: u16) -> Result<Client> {
    Ok(Client::new(Box::new(connect(port)?)))
}

pub(crate) fn connect_tls(port: u16) -> Result<Client> {
    // The daemon's certificate is its own.
    let config = ClientTls::without_roots().opportunistic;
    let connection = ClientConnection::new(config, "localhost".try_into()?)?;
    let stream = StreamOwned::new(connection, connect(port)?);
    Ok(Client::new(Box::new(stream)))
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

impl Client {
    fn new(stream: Box<dyn Stream>) -> Self {
        let stream = BufReader::with_capacity(2048, stream);
        Self { stream }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        Ok(self.stream.get_mut().flush()?)
    }

    pub(crate) fn send_line(&mut self, line: &str) -> Result<()> {
        self.send(format!("{line}\r\n").as_bytes())
    }

    /// Reads up to a line that starts so, and is not to be continued.
    pub(crate) fn expect(&mut self, start: &str) -> Result<()> {
        self.read_until(start).map(drop)
    }

    /// The lines up to one that starts so.
    pub(crate) fn read_until(&mut self, start: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.read_line()?;
            let is_continued = line.as_bytes().get(3) == Some(&b'-');
            if line.starts_with(start) && !is_continued {
                return Ok(lines);
            }
            let is_refusal = line.contains(" NO ") || line.contains(" BAD ");
            if is_refusal || line.starts_with(['4', '5']) {
                return Err(format!("waited for {start}, got {line}").into());
            }
            lines.push(line);
        }
    }

    /// The first message of the selected mailbox.
    pub(crate) fn fetch_first(&mut self) -> Result<Vec<u8>> {
        self.send_line("f FETCH 1 BODY.PEEK[]")?;
        let line = self.read_line()?;
        let size = line
            .rsplit_once('{')
            .and_then(|(_, size)| size.strip_suffix('}'));
        let size: usize = size.ok_or(format!("no literal in {line}"))?.parse()?;
        let mut message = vec![0; size];
        self.stream.read_exact(&mut message)?;
        self.expect("f OK")?;
        Ok(message)
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the daemon closed the connection".into());
        }
        Ok(line.trim_end().to_owned())
    }
}
