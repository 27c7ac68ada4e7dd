//! Posting to where clients want to be told of changes.

use std::{
    fmt,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::{crypto::aws_lc_rs, pki_types::CertificateDer};
use thiserror::Error;
use ureq::{
    Agent,
    config::Config,
    http::{self, header},
    tls::{Certificate, RootCerts, TlsConfig},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use super::target::{Target, is_public};
use crate::limits;

/// What is posted.
#[derive(Clone, Copy, Debug)]
pub struct Posting<'a> {
    /// Where to.
    pub target: &'a Target,
    /// `Content-Type`
    pub content_type: &'static str,
    /// The content.
    pub content: &'a [u8],
    /// Why.
    pub purpose: Purpose,
}

/// Why something is posted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// To see whether the other side wants it: the content of the answer counts.
    Handshake,
    /// To tell the other side: the status of the answer counts.
    Notification,
}

/// What was answered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PostAnswer {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// `Content-Type`
    pub content_type: Option<String>,
    /// The content of the answer to a handshake, [`limits::POST_ANSWER_BYTES`] at most.
    pub content: Vec<u8>,
}

impl PostAnswer {
    /// Whether the other side has taken it.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PostError {
    /// Too many handshakes are at work: to be tried again.
    #[error("too many others are being asked")]
    Busy,
    /// An address of the host is not public.
    #[error("the host is not public")]
    NotPublic,
    /// There is nobody, or who is there does not speak HTTP, has no good certificate, or is slow.
    #[error("{0}")]
    Failed(String),
}

/// Posts on behalf of clients. May block for [`limits::POST_TIME`].
pub trait Post: Send + Sync {
    /// Posts once, and waits for the answer. A redirection is an answer like others.
    ///
    /// # Errors
    ///
    /// When there is no answer in time.
    fn post(&self, posting: &Posting<'_>) -> Result<PostAnswer, PostError>;
}

/// [`Post`] over the network: no proxy, a connection for each request, certificates verified by the
/// roots that this machine trusts.
pub struct Webhooks {
    /// To those whose addresses must be public.
    public: Agent,
    /// To those whose need not be.
    exempt: Agent,
    handshakes: AtomicUsize,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhooks {
    /// With the roots of this machine; without any, nobody's certificate is good.
    pub fn of_machine() -> Self {
        Self::with_roots(&rustls_native_certs::load_native_certs().certs)
    }

    fn with_roots(roots: &[CertificateDer<'_>]) -> Self {
        let roots = roots
            .iter()
            .map(|root| Certificate::from_der(root).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let config = |https_only| {
            Agent::config_builder()
                .tls_config(tls.clone())
                .https_only(https_only)
                .proxy(None)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .http_status_as_error(false)
                .timeout_global(Some(limits::POST_TIME))
                .max_response_header_size(limits::POST_ANSWER_HEAD_BYTES)
                // A connection that is kept would be used without another look at its address.
                .max_idle_connections(0)
                .max_idle_connections_per_host(0)
                .user_agent(concat!("rmail/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        let connector = DefaultConnector::default;
        Self {
            public: Agent::with_parts(config(true), connector(), PublicResolver::default()),
            exempt: Agent::with_parts(config(false), connector(), DefaultResolver::default()),
            handshakes: AtomicUsize::new(0),
        }
    }

    fn send(&self, posting: &Posting<'_>) -> Result<PostAnswer, ureq::Error> {
        let agent = match posting.target.is_exempt() {
            true => &self.exempt,
            false => &self.public,
        };
        let request = agent
            .post(posting.target.url())
            .header(header::CONTENT_TYPE, posting.content_type);
        let answer = request.send(posting.content)?;
        let content_type = answer.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        Ok(PostAnswer {
            status: answer.status().as_u16(),
            content_type: content_type.map(str::to_owned),
            content: match posting.purpose {
                Purpose::Handshake => {
                    let mut content = Vec::new();
                    let reader = answer.into_body().into_reader();
                    let bytes_max = limits::POST_ANSWER_BYTES as u64;
                    reader.take(bytes_max).read_to_end(&mut content)?;
                    content
                }
                Purpose::Notification => Vec::new(),
            },
        })
    }
}

impl Post for Webhooks {
    fn post(&self, posting: &Posting<'_>) -> Result<PostAnswer, PostError> {
        let _handshake = match posting.purpose {
            Purpose::Handshake => Some(Handshake::begin(&self.handshakes)?),
            Purpose::Notification => None,
        };
        self.send(posting).map_err(|error| match error {
            ureq::Error::Other(error) if error.is::<AddressNotPublic>() => PostError::NotPublic,
            error => PostError::Failed(error.to_string()),
        })
    }
}

/// One of a few.
struct Handshake<'a>(&'a AtomicUsize);

impl<'a> Handshake<'a> {
    fn begin(running: &'a AtomicUsize) -> Result<Self, PostError> {
        let is_free = |count: usize| (count < limits::HANDSHAKES_RUNNING).then_some(count + 1);
        match running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free) {
            Ok(_) => Ok(Self(running)),
            Err(_) => Err(PostError::Busy),
        }
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Resolves names to public addresses. What it returns is what is connected to: nobody asks the
/// DNS a second time.
#[derive(Debug, Default)]
struct PublicResolver {
    system: DefaultResolver,
}

#[derive(Clone, Copy, Debug, Error)]
#[error("an address is not public")]
struct AddressNotPublic;

impl Resolver for PublicResolver {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.system.resolve(uri, config, timeout)?;
        // A host with both kinds of addresses is one that wants to be mistaken.
        match addresses.iter().all(|address| is_public(address.ip())) {
            true => Ok(addresses),
            false => Err(ureq::Error::Other(Box::new(AddressNotPublic))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        net::{TcpListener, TcpStream},
        thread::{self, JoinHandle},
    };

    use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

    use super::*;

    /// Answers one request, if one comes; returns it.
    fn receiver(answer: String) -> (String, JoinHandle<String>) {
        #[expect(clippy::disallowed_methods, reason = "the other side of the network")]
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "the other side of the network")]
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&mut stream);
            // Who has read enough may leave.
            let _ = stream.write_all(answer.as_bytes());
            request
        });
        (url, thread)
    }

    fn read_request(stream: &mut TcpStream) -> String {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            let length = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8(request.clone()).unwrap();
            let Some((head, content)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.parse::<usize>().unwrap())
            });
            if content.len() >= length.unwrap_or(0) {
                return text;
            }
        }
    }

    fn post(url: &str, purpose: Purpose, exempt: &[String]) -> Result<PostAnswer, PostError> {
        let target = Target::parse(url, exempt).unwrap();
        Webhooks::of_machine().post(&Posting {
            target: &target,
            content_type: "application/json",
            content: b"{}",
            purpose,
        })
    }

    #[test]
    fn what_is_posted_arrives_and_the_answer_comes_back() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
        let (url, thread) = receiver(answer.to_owned());
        let answer = post(&format!("{url}/hook?a=b"), Purpose::Handshake, &[url]).unwrap();
        assert!(answer.is_success());
        assert_eq!(answer.content_type.as_deref(), Some("text/plain"));
        assert_eq!(answer.content, b"ok");
        let request = thread.join().unwrap().to_lowercase();
        assert!(
            request.starts_with("post /hook?a=b http/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("\r\ncontent-type: application/json\r\n"),
            "{request}"
        );
        assert!(request.ends_with("\r\n\r\n{}"), "{request}");
    }

    #[test]
    fn redirects_are_answers_and_are_not_followed() {
        let (elsewhere, _never) = receiver(String::new());
        let answer =
            format!("HTTP/1.1 307 x\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n");
        let (url, thread) = receiver(answer);
        let answer = post(
            &url,
            Purpose::Notification,
            &["http://127.0.0.1:".to_owned()],
        );
        let answer = answer.unwrap();
        assert_eq!(answer.status, 307);
        assert!(!answer.is_success());
        thread.join().unwrap();
    }

    #[test]
    fn of_an_answer_a_little_is_read() {
        let long = "x".repeat(limits::POST_ANSWER_BYTES * 2);
        let length = long.len();
        let (url, thread) = receiver(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{long}"
        ));
        let answer = post(&url, Purpose::Handshake, std::slice::from_ref(&url)).unwrap();
        assert_eq!(answer.content.len(), limits::POST_ANSWER_BYTES);
        thread.join().unwrap();
    }

    #[test]
    fn name_of_an_address_that_is_not_public_is_not_connected_to() {
        let outcome = post("https://localhost:8443/", Purpose::Notification, &[]);
        assert_eq!(outcome, Err(PostError::NotPublic));
    }

    /// Speaks TLS with a certificate that it has made itself, and answers one request.
    fn tls_receiver() -> (String, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        #[expect(clippy::disallowed_methods, reason = "the other side of the network")]
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "the other side of the network")]
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            // Who does not trust us leaves.
            if stream.read(&mut [0; 4096]).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        (url, certificate)
    }

    #[test]
    fn certificates_are_verified_whether_the_target_is_exempt_or_not() {
        let post = |is_trusted: bool| {
            let (url, certificate) = tls_receiver();
            let roots = is_trusted.then_some(certificate);
            let target = Target::parse(&url, &["https://127.0.0.1:".to_owned()]).unwrap();
            let webhooks = Webhooks::with_roots(roots.as_slice());
            webhooks.post(&Posting {
                target: &target,
                content_type: "application/json",
                content: b"{}",
                purpose: Purpose::Notification,
            })
        };
        assert!(post(true).is_ok_and(|answer| answer.is_success()));
        match post(false) {
            Err(PostError::Failed(reason)) => assert!(reason.contains("certificate"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn few_handshakes_are_at_work_at_once() {
        let running = AtomicUsize::new(0);
        let begun: Vec<_> = (0..limits::HANDSHAKES_RUNNING)
            .map(|_| Handshake::begin(&running).unwrap())
            .collect();
        assert_eq!(Handshake::begin(&running).err(), Some(PostError::Busy));
        drop(begun);
        assert!(Handshake::begin(&running).is_ok());
    }
}
