//! Rust's client libraries: lettre, and async-imap on tokio.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_imap::{Client, Session, extensions::idle::IdleResponse};
use futures_lite::StreamExt as _;
use lettre::{
    Message, SmtpTransport, Transport as _,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use rmail_tests::{
    daemon::{Daemon, PATIENCE, Port},
    lines::client_config,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

use crate::{ALICE, PASSWORD, expect_subjects, letter};

pub(crate) fn lettre_sends(daemon: &Daemon) {
    let pem = std::fs::read(daemon.root().certificate()).expect("the daemon made it");
    let tls = TlsParameters::builder("127.0.0.1".to_owned())
        .add_root_certificate(Certificate::from_pem(&pem).expect("it is well formed"))
        .build()
        .expect("these are good parameters");
    let credentials = Credentials::new(ALICE.to_owned(), PASSWORD.to_owned());
    let clear = lettre_on(daemon, Port::Smtp, Tls::None);
    let submission = lettre_on(daemon, Port::Submission, Tls::Required(tls.clone()));
    let smtps = lettre_on(daemon, Port::Smtps, Tls::Wrapper(tls));
    let transports = [
        ("bob@example.net", "cleartext", clear.build()),
        (
            ALICE,
            "starttls",
            submission.credentials(credentials.clone()).build(),
        ),
        (ALICE, "tls", smtps.credentials(credentials).build()),
    ];
    for (from, subject, transport) in transports {
        let message = Message::builder()
            .from(from.parse().expect("it is an address"))
            .to(ALICE.parse().expect("it is an address"))
            .subject(subject)
            .body("Grüße\n.\nend\n".to_owned())
            .expect("it is a message");
        let sent = transport.send(&message);
        assert!(sent.is_ok_and(|reply| reply.is_positive()), "{subject}");
    }
    expect_subjects(daemon, "INBOX", &["cleartext", "starttls", "tls"]);
}

fn lettre_on(
    daemon: &Daemon,
    port: Port,
    tls: Tls,
) -> lettre::transport::smtp::SmtpTransportBuilder {
    SmtpTransport::builder_dangerous("127.0.0.1")
        .port(daemon.port(port))
        .tls(tls)
        .timeout(Some(PATIENCE))
}

pub(crate) fn async_imap_reads(daemon: &Daemon) {
    block_on(async {
        let mut session = log_in(tls_client(daemon).await).await;
        let text = letter("appended");
        let appended = session.append("INBOX", None, None, &text).await;
        appended.expect("the message is taken");
        session.logout().await.expect("it is polite");

        let mut session = log_in(starttls_client(daemon).await).await;
        let mailbox = session.select("INBOX").await.expect("there is an INBOX");
        assert_eq!(mailbox.exists, 1);
        let fetched = session
            .uid_fetch("1:*", "(UID FLAGS ENVELOPE BODY.PEEK[])")
            .await;
        let mut fetched = fetched.expect("FETCH is taken");
        let message = fetched.next().await.expect("there is a message");
        let message = message.expect("it can be read");
        assert_eq!(message.body(), Some(text.as_bytes()));
        let envelope = message.envelope().expect("it was asked for");
        assert_eq!(envelope.subject.as_deref(), Some(&b"appended"[..]));
        let uid = message.uid.expect("it was asked for");
        drop(fetched);

        let moved = session.uid_mv(uid.to_string(), "Archive").await;
        moved.expect("a new account has an Archive");
        let mailbox = session.select("Archive").await.expect("it is there");
        assert_eq!(mailbox.exists, 1);
        let names = session.list(Some(""), Some("*")).await;
        let names: Vec<_> = names.expect("LIST is taken").collect().await;
        let has_sent = |name: &Result<async_imap::types::Name, _>| {
            name.as_ref().is_ok_and(|name| name.name() == "Sent")
        };
        assert!(names.iter().any(has_sent), "{names:?}");
        session.logout().await.expect("it is polite");
    });
}

pub(crate) fn async_imap_idles(daemon: &Daemon) {
    block_on(async {
        let mut session = log_in(tls_client(daemon).await).await;
        session.select("INBOX").await.expect("there is an INBOX");
        let mut idle = session.idle();
        idle.init().await.expect("IDLE is taken");
        let (news, _stop) = idle.wait_with_timeout(PATIENCE);
        let text = letter("news");
        let mut sender = daemon.door(Port::Smtp).connect().expect("it listens");
        sender.read_reply().expect("it greets");
        sender.smtp("EHLO client.example.net").expect("it answers");
        let delivered = sender.deliver("bob@example.net", &[ALICE], &text);
        delivered.expect("the message is taken");
        let news = news.await.expect("the connection lasts");
        assert!(matches!(news, IdleResponse::NewData(_)), "{news:?}");
        let mut session = idle.done().await.expect("IDLE ends");
        let found = session
            .search("SUBJECT news")
            .await
            .expect("SEARCH is taken");
        assert_eq!(found.len(), 1);
        session.logout().await.expect("it is polite");
    });
}

/// Runs this to its end, which must not be far.
fn block_on(future: impl Future<Output = ()>) {
    const MOST: Duration = PATIENCE.saturating_mul(2);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .expect("the runtime can be made")
        .block_on(async { tokio::time::timeout(MOST, future).await });
    ended.expect("the client waits for something in vain");
}

async fn connect(daemon: &Daemon, port: Port) -> TcpStream {
    let stream = TcpStream::connect(daemon.address(port)).await;
    stream.expect("the daemon listens")
}

async fn encrypt(daemon: &Daemon, stream: TcpStream) -> TlsStream<TcpStream> {
    let config = client_config(&daemon.root().certificate());
    let name = ServerName::from(daemon.address(Port::Imap).ip());
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await;
    stream.expect("the daemon has the certificate of its mail_root")
}

async fn tls_client(daemon: &Daemon) -> Client<TlsStream<TcpStream>> {
    let stream = encrypt(daemon, connect(daemon, Port::Imaps).await).await;
    let mut client = Client::new(stream);
    let greeting = client.read_response().await;
    assert!(greeting.is_ok_and(|greeting| greeting.is_some()));
    client
}

async fn starttls_client(daemon: &Daemon) -> Client<TlsStream<TcpStream>> {
    let mut client = Client::new(connect(daemon, Port::Imap).await);
    let greeting = client.read_response().await;
    assert!(greeting.is_ok_and(|greeting| greeting.is_some()));
    let begun = client.run_command_and_check_ok("STARTTLS", None).await;
    begun.expect("STARTTLS is taken");
    Client::new(encrypt(daemon, client.into_inner()).await)
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin + Debug + Send>(client: Client<S>) -> Session<S> {
    match client.login(ALICE, PASSWORD).await {
        Ok(session) => session,
        Err((error, _)) => panic!("the login is refused: {error}"),
    }
}
