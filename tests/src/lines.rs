//! A plain client for the suites that count what a daemon acknowledged: it reports how a
//! connection ends instead of failing with it.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::daemon::PATIENCE;

/// Where to connect to, and how.
#[derive(Clone, Debug)]
pub struct Door {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Door {
    /// Without TLS.
    pub fn clear(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// With implicit TLS, for a server with this certificate.
    pub fn tls(address: SocketAddr, certificate: &Path) -> Self {
        let config = client_config(certificate);
        Self {
            address,
            tls: Some(Arc::new(config)),
        }
    }

    /// Where it leads.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects; the greeting is still to be read.
    ///
    /// # Errors
    ///
    /// Those of the connection, as everywhere here; also one that stays silent for too long.
    pub fn connect(&self) -> io::Result<Lines> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(config) => {
                let name = ServerName::from(self.address.ip());
                let tls = ClientConnection::new(Arc::clone(config), name);
                Box::new(StreamOwned::new(tls.map_err(io::Error::other)?, stream))
            }
            None => Box::new(stream),
        };
        Ok(Lines {
            stream: BufReader::new(stream),
            tags_used: 0,
        })
    }

    /// Connects to IMAP, and logs in.
    ///
    /// # Errors
    ///
    /// See [`connect`](Self::connect); also a login that is refused.
    pub fn log_in(&self, address: &str, password: &str) -> io::Result<Lines> {
        let mut client = self.connect()?;
        client.read_line()?;
        let (_, completion) = client.imap(&format!("LOGIN {address} \"{password}\""))?;
        match completion.starts_with("OK") {
            true => Ok(client),
            false => Err(io::Error::other(completion)),
        }
    }

    /// Connects to submission, and logs in.
    ///
    /// # Errors
    ///
    /// See [`connect`](Self::connect); also a login that is refused.
    pub fn log_in_to_send(&self, address: &str, password: &str) -> io::Result<Lines> {
        let mut client = self.connect()?;
        client.read_reply()?;
        client.smtp("EHLO client.example.net")?;
        let login = STANDARD.encode(format!("\0{address}\0{password}"));
        match client.smtp(&format!("AUTH PLAIN {login}"))? {
            (235, _) => Ok(client),
            (_, text) => Err(io::Error::other(text)),
        }
    }
}

/// What a client needs to trust this certificate, and no other.
pub fn client_config(certificate: &Path) -> ClientConfig {
    let certificate = CertificateDer::from_pem_file(certificate).expect("the server wrote it");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("it is well formed");
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A connection of lines.
pub struct Lines {
    stream: BufReader<Box<dyn Stream>>,
    tags_used: u32,
}

impl Lines {
    /// Sends this, to which it adds nothing.
    ///
    /// # Errors
    ///
    /// See [`Door::connect`].
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.send_bytes(text.as_bytes())
    }

    /// As [`send`](Self::send), for what is no text.
    ///
    /// # Errors
    ///
    /// See [`Door::connect`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// So many of the next bytes.
    ///
    /// # Errors
    ///
    /// See [`read_line`](Self::read_line).
    pub fn read_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next line, without its CRLF; the literals in it follow their lengths.
    ///
    /// # Errors
    ///
    /// See [`Door::connect`]; the end of the stream is one, too.
    pub fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        loop {
            let length = self.stream.read_until(b'\n', &mut line)?;
            if length == 0 || !line.ends_with(b"\r\n") {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            line.truncate(line.len() - 2);
            let Some(literal_bytes) = literal_bytes(&line) else {
                return String::from_utf8(line).map_err(io::Error::other);
            };
            let begin = line.len();
            line.resize(begin + literal_bytes, 0);
            self.stream.read_exact(&mut line[begin..])?;
        }
    }

    /// The code of the next SMTP reply, and its text.
    ///
    /// # Errors
    ///
    /// See [`read_line`](Self::read_line).
    pub fn read_reply(&mut self) -> io::Result<(u16, String)> {
        loop {
            let line = self.read_line()?;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or(io::ErrorKind::InvalidData)?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, line));
            }
        }
    }

    /// An SMTP command, and its reply.
    ///
    /// # Errors
    ///
    /// See [`read_line`](Self::read_line).
    pub fn smtp(&mut self, command: &str) -> io::Result<(u16, String)> {
        self.send(&format!("{command}\r\n"))?;
        self.read_reply()
    }

    /// Hands over one message, which is acknowledged with 250.
    ///
    /// # Errors
    ///
    /// See [`read_line`](Self::read_line); also any refusal.
    pub fn deliver(&mut self, from: &str, to: &[&str], message: &str) -> io::Result<()> {
        let mail = format!("MAIL FROM:<{from}>\r\n");
        let recipients = to.iter().map(|to| format!("RCPT TO:<{to}>\r\n"));
        self.expect(250, &mail)?;
        for recipient in recipients {
            self.expect(250, &recipient)?;
        }
        self.expect(354, "DATA\r\n")?;
        self.expect(250, &format!("{message}\r\n.\r\n"))
    }

    fn expect(&mut self, expected: u16, sent: &str) -> io::Result<()> {
        self.send(sent)?;
        match self.read_reply()? {
            (code, _) if code == expected => Ok(()),
            (_, text) => Err(io::Error::other(text)),
        }
    }

    /// An IMAP command; its untagged responses and its completion, without the tag.
    ///
    /// # Errors
    ///
    /// See [`read_line`](Self::read_line).
    pub fn imap(&mut self, command: &str) -> io::Result<(Vec<String>, String)> {
        let tag = self.begin(command)?;
        self.complete(&tag)
    }

    /// Sends an IMAP command; its tag.
    ///
    /// # Errors
    ///
    /// See [`Door::connect`].
    pub fn begin(&mut self, command: &str) -> io::Result<String> {
        self.tags_used += 1;
        let tag = format!("a{}", self.tags_used);
        self.send(&format!("{tag} {command}\r\n"))?;
        Ok(tag)
    }

    /// Reads until an IMAP command is complete.
    ///
    /// # Errors
    ///
    /// See [`read_line`](Self::read_line).
    pub fn complete(&mut self, tag: &str) -> io::Result<(Vec<String>, String)> {
        let mut untagged = Vec::new();
        loop {
            let line = self.read_line()?;
            match line
                .strip_prefix(tag)
                .and_then(|rest| rest.strip_prefix(' '))
            {
                Some(completion) => return Ok((untagged, completion.to_owned())),
                None => untagged.push(line),
            }
        }
    }
}

/// How long the literal is that this line ends with the announcement of.
fn literal_bytes(line: &[u8]) -> Option<usize> {
    let inside = line.strip_suffix(b"}")?;
    let begin = inside.iter().rposition(|&byte| byte == b'{')? + 1;
    std::str::from_utf8(&inside[begin..]).ok()?.parse().ok()
}
