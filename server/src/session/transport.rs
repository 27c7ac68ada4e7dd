//! Bytes on the wire: as they are, or through rustls.

use std::{
    io::{Read as _, Write as _},
    mem,
    sync::Arc,
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use rmail_proto::TlsInfo;
use rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
    pki_types::ServerName,
};

use crate::limits;

/// Which side of TLS a session is, if there is TLS.
#[derive(Clone, Debug)]
pub enum TlsSide {
    /// The peer has connected to us.
    Server(Arc<ServerConfig>),
    /// We have connected to a host of this name.
    Client(Arc<ClientConfig>, ServerName<'static>),
}

/// Outgoing bytes, and TLS once it is started.
#[derive(Debug, Default)]
pub(super) struct Transport {
    available_tls: Option<TlsSide>,
    tls: Option<Box<Tls>>,
    /// What the machine sent and the socket has not been offered: many small sends become few
    /// large writes, and few TLS records.
    plaintext: BytesMut,
    /// What the socket is offered.
    wire: BytesMut,
    /// The send credit that the end of `wire` gives back.
    wire_credit: usize,
    has_ended: bool,
}

#[derive(Debug)]
struct Tls {
    connection: Connection,
    is_established: bool,
}

impl Transport {
    pub(super) fn new(available_tls: Option<TlsSide>) -> Self {
        Self {
            available_tls,
            ..Self::default()
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the peer will send no more.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Bytes to be sent.
    pub(super) fn held_bytes(&self) -> usize {
        self.plaintext.len() + self.wire.len()
    }

    pub(super) fn start_tls(&mut self) -> Result<(), rustls::Error> {
        let mut connection = match self.available_tls.clone() {
            Some(TlsSide::Server(config)) => Connection::from(ServerConnection::new(config)?),
            Some(TlsSide::Client(config, name)) => {
                Connection::from(ClientConnection::new(config, name)?)
            }
            None => return Err(rustls::Error::General("there is no certificate".into())),
        };
        // What is queued is bounded by the machine's send credit.
        connection.set_buffer_limit(None);
        // What was sent before goes out in the clear.
        self.wire_credit += self.plaintext.len();
        self.wire.unsplit(self.plaintext.split());
        self.tls = Some(Box::new(Tls {
            connection,
            is_established: false,
        }));
        Ok(())
    }

    /// Decrypts into `input`. Says so once the handshake is done.
    pub(super) fn handle_received(
        &mut self,
        mut bytes: &[u8],
        input: &mut BytesMut,
    ) -> Result<Option<TlsInfo>, rustls::Error> {
        let tls = self.tls.as_mut().expect("called with TLS only");
        let mut established = None;
        while !bytes.is_empty() && !self.has_ended {
            let read = tls.connection.read_tls(&mut bytes);
            read.map_err(|error| rustls::Error::General(error.to_string()))?;
            // After an error rustls has an alert to send, which `transmit` collects.
            let state = tls.connection.process_new_packets()?;
            let start = input.len();
            input.resize(start + state.plaintext_bytes_to_read(), 0);
            let read = tls.connection.reader().read_exact(&mut input[start..]);
            read.expect("rustls said that so many bytes are there");
            if !tls.is_established && !tls.connection.is_handshaking() {
                tls.is_established = true;
                established = Some(tls_info(&tls.connection));
            }
            self.has_ended = state.peer_has_closed();
        }
        Ok(established)
    }

    pub(super) fn handle_end_of_stream(&mut self) {
        self.has_ended = true;
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.plaintext.extend_from_slice(bytes);
    }

    /// Says that nothing follows, where the transport has a way to.
    pub(super) fn send_end(&mut self) {
        if self.tls.is_none() {
            return;
        }
        while !self.plaintext.is_empty() {
            self.move_to_wire();
        }
        if let Some(tls) = &mut self.tls {
            tls.connection.send_close_notify();
        }
    }

    pub(super) fn transmit(&mut self) -> &[u8] {
        if self.wire.is_empty() {
            self.move_to_wire();
        }
        &self.wire
    }

    /// Returns the send credit that is given back.
    pub(super) fn handle_sent(&mut self, bytes: usize) -> usize {
        self.wire.advance(bytes);
        if !self.wire.is_empty() {
            return 0;
        }
        // An idle session holds no buffer.
        self.wire = BytesMut::new();
        mem::take(&mut self.wire_credit)
    }

    fn move_to_wire(&mut self) {
        let bytes = self.plaintext.len().min(limits::WRITE_BYTES);
        self.wire_credit += bytes;
        let chunk = self.plaintext.split_to(bytes);
        if self.plaintext.is_empty() {
            self.plaintext = BytesMut::new();
        }
        let Some(tls) = &mut self.tls else {
            self.wire.unsplit(chunk);
            return;
        };
        let written = tls.connection.writer().write_all(&chunk);
        written.expect("the buffer has no bound");
        let mut wire = mem::take(&mut self.wire).writer();
        while tls.connection.wants_write() {
            let written = tls.connection.write_tls(&mut wire);
            written.expect("writing to memory does not fail");
        }
        self.wire = wire.into_inner();
    }
}

fn tls_info(connection: &Connection) -> TlsInfo {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(_) | None => "TLS",
    };
    let cipher = connection
        .negotiated_cipher_suite()
        .map(|suite| format!("{:?}", suite.suite()));
    TlsInfo {
        version: version.to_owned(),
        cipher: cipher.unwrap_or_default(),
        server_name: match connection {
            Connection::Server(connection) => connection.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        },
    }
}
