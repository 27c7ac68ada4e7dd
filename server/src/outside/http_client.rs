//! HTTP as the client of our own server: one request a connection.

use std::{
    fmt,
    io::{Read as _, Write as _},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use ureq::{
    Agent, Error,
    http::{Method, Request, header},
    unversioned::{
        resolver::DefaultResolver,
        transport::{
            Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
            Transport, TransportAdapter,
        },
    },
};

use crate::limits;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    /// GET without content, POST with JSON.
    pub content: Option<&'a str>,
    /// `http://` or `https://`, an address, and a path with a query perhaps.
    pub url: &'a str,
    /// The host that is meant.
    pub host: &'a str,
    /// A bearer token (RFC 6750).
    pub token: Option<&'a str>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// The content; what is no UTF-8 in it is replaced.
    pub content: String,
}

/// Sends requests, each of which takes [`limits::DIAGNOSTICS_TIME`] at most.
#[derive(Debug)]
pub struct HttpClient {
    agent: Agent,
}

impl HttpClient {
    /// With TLS where the URL asks for it.
    pub fn new(tls: Arc<ClientConfig>, server_name: ServerName<'static>) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(limits::DIAGNOSTICS_TIME))
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .user_agent(concat!("rmail/", env!("CARGO_PKG_VERSION")))
            .build();
        let encrypting = Encrypting { tls, server_name };
        let connector = ().chain(TcpConnector::default()).chain(encrypting);
        Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
        }
    }

    /// Asks once.
    ///
    /// # Errors
    ///
    /// When there is no answer in time, or none that is HTTP.
    pub fn ask(&self, request: &HttpRequest<'_>) -> Result<HttpAnswer, Error> {
        let mut builder = Request::builder()
            .uri(request.url)
            .header(header::HOST, request.host);
        if let Some(token) = request.token {
            builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = match request.content {
            None => self.agent.run(builder.body(())?)?,
            Some(content) => {
                let builder = builder.header(header::CONTENT_TYPE, "application/json");
                self.agent
                    .run(builder.method(Method::POST).body(content.to_owned())?)?
            }
        };
        let status = answer.status().as_u16();
        let mut content = Vec::new();
        let reader = answer.into_body().into_reader();
        let bytes_max = limits::DIAGNOSTICS_CONTENT_BYTES;
        reader.take(bytes_max).read_to_end(&mut content)?;
        Ok(HttpAnswer {
            status,
            content: String::from_utf8_lossy(&content).into_owned(),
        })
    }
}

/// Puts TLS of ours over connections for https: ureq's own takes roots, but no single certificate.
#[derive(Debug)]
struct Encrypting {
    tls: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl<In: Transport> Connector<In> for Encrypting {
    type Out = Either<In, Encrypted>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let name = self.server_name.clone();
        let mut connection = ClientConnection::new(Arc::clone(&self.tls), name)?;
        let clock = Arc::clone(&details.current_time);
        let mut socket = TransportAdapter::new(transport.boxed(), clock);
        socket.set_timeout(details.timeout);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let config = details.config;
        Ok(Some(Either::B(Encrypted {
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            stream: StreamOwned::new(connection, socket),
        })))
    }
}

struct Encrypted {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").finish_non_exhaustive()
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let count = self.stream.read(input)?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
