//! Greeting, EHLO, STARTTLS and AUTH.

use rmail_proto::{
    Close,
    smtp::client::{Config, Credentials, End, Protocol, Security, Trouble},
};

use crate::world::{
    HELLO, Peer, answer_hello, config, connect, credentials, establish_tls, fail_tls, message,
};

fn with_login(security: Security, cleartext_allowed: bool) -> Config {
    Config {
        credentials: Some(Credentials {
            cleartext_allowed,
            ..credentials()
        }),
        ..config(security)
    }
}

fn hello(config: Config, extensions: &[&str]) -> Peer {
    let mut peer = connect(config, vec![]);
    peer.play("S: 220 mx ESMTP\nC: EHLO mx.example.com");
    answer_hello(&mut peer, &[&["mx"], extensions].concat());
    peer
}

#[test]
fn nothing_is_said_before_the_greeting() {
    let mut peer = connect(config(Security::Opportunistic), vec![]);
    peer.expect_silence();
    peer.play(
        "S: 220-mx.example.net ESMTP
         S: 220 be polite
         C: EHLO mx.example.com",
    );
}

#[test]
fn refused_session_takes_no_message() {
    for (greeting, farewell, close) in [
        ("554 no service here", "QUIT\r\n", Close::Flush),
        ("450 later", "QUIT\r\n", Close::Flush),
        ("421 4.3.2 busy", "", Close::Abort),
    ] {
        let waiting = vec![message(1, &["a@b.c"], HELLO)];
        let mut peer = connect(config(Security::Opportunistic), waiting);
        peer.send(format!("{greeting}\r\n").as_bytes());
        let expected = format!("the server refused the session: {greeting}");
        assert_eq!(peer.world.trouble().to_string(), expected);
        assert_eq!(peer.world.waiting.len(), 1);
        assert_eq!(
            (peer.take_sent().as_str(), peer.closed),
            (farewell, Some(close))
        );
    }
}

#[test]
fn server_that_bears_our_name_gets_nothing() {
    let waiting = || vec![message(1, &["a@b.c"], HELLO)];
    let mut peer = connect(config(Security::Opportunistic), waiting());
    peer.play("S: 220 MX.example.com ESMTP\nC: QUIT");
    assert_eq!(*peer.world.trouble(), Trouble::OwnName);
    let mut peer = connect(config(Security::Opportunistic), waiting());
    peer.play(
        "S: 220 mx.example.com.example.net ESMTP
         C: EHLO mx.example.com
         S: 250-mx.example.com at your service
         S: 250 STARTTLS
         C: QUIT",
    );
    assert_eq!(*peer.world.trouble(), Trouble::OwnName);
    assert_eq!(peer.world.waiting.len(), 1);
    let trusting = Config {
        shuns_own_name: false,
        ..config(Security::Cleartext)
    };
    let mut peer = connect(trusting, waiting());
    peer.play(
        "S: 220 mx.example.com ESMTP
         C: EHLO mx.example.com
         S: 250 mx.example.com
         C: MAIL FROM:<alice@example.com>",
    );
}

#[test]
fn helo_follows_where_ehlo_is_not_known() {
    let mut peer = connect(
        config(Security::Opportunistic),
        vec![message(1, &["a@b.c"], HELLO)],
    );
    peer.play(
        "S: 220 old
         C: EHLO mx.example.com
         S: 502 5.5.1 what?
         C: HELO mx.example.com
         S: 250-old
         S: 250 PIPELINING
         C: MAIL FROM:<alice@example.com>",
    );
    for config in [
        config(Security::Required),
        with_login(Security::Opportunistic, true),
        Config {
            protocol: Protocol::Lmtp,
            ..config(Security::Cleartext)
        },
    ] {
        let mut peer = connect(config, vec![]);
        peer.send(b"220 old\r\n502 what?\r\n");
        assert!(!peer.take_sent().contains("HELO"));
        assert!(matches!(peer.world.trouble(), Trouble::Refused(_)));
    }
}

#[test]
fn after_starttls_everything_starts_afresh() {
    let waiting = vec![message(1, &["a@b.c"], HELLO)];
    let mut peer = connect(config(Security::Opportunistic), waiting);
    peer.play(
        "S: 220 mx
         C: EHLO mx.example.com
         S: 250-mx
         S: 250-SIZE 5
         S: 250 STARTTLS
         C: STARTTLS",
    );
    let taken = peer.offer(b"220 ready\r\n250-mx\r\n250 PIPELINING\r\n");
    assert_eq!(taken, 11, "what came before TLS is not looked at");
    peer.expect_silence();
    establish_tls(&mut peer);
    peer.play(
        "C: EHLO mx.example.com
         S: 250-mx
         S: 250 STARTTLS
         C: MAIL FROM:<alice@example.com>",
    );
    assert!(peer.machine().tls().is_some());
    assert_eq!(peer.machine().extensions().message_bytes_max, None);
}

#[test]
fn opportunistic_goes_on_without_tls_and_required_does_not() {
    let mut peer = hello(config(Security::Opportunistic), &[]);
    peer.play("C: QUIT");
    let mut peer = hello(config(Security::Opportunistic), &["STARTTLS"]);
    peer.play("C: STARTTLS\nS: 454 4.7.0 not now\nC: QUIT");
    let mut peer = hello(config(Security::Cleartext), &["STARTTLS"]);
    peer.play("C: QUIT");
    let mut peer = hello(config(Security::Required), &[]);
    peer.play("C: QUIT");
    assert_eq!(*peer.world.trouble(), Trouble::TlsUnavailable);
    let mut peer = hello(config(Security::Required), &["STARTTLS"]);
    peer.play("C: STARTTLS\nS: 454 4.7.0 not now\nC: QUIT");
    assert!(matches!(peer.world.trouble(), Trouble::StartTlsRefused(_)));
}

#[test]
fn failed_handshake_is_reported_so_that_it_can_be_tried_without() {
    let mut peer = hello(config(Security::Opportunistic), &["STARTTLS"]);
    peer.play("C: STARTTLS\nS: 220 ready");
    fail_tls(&mut peer);
    assert!(peer.world.trouble().is_tls());
    assert_eq!(
        peer.world.trouble().to_string(),
        "the TLS handshake failed: certificate expired"
    );
    assert_eq!(peer.closed, Some(Close::Abort));
    let mut peer = hello(config(Security::Opportunistic), &["STARTTLS"]);
    peer.play("C: STARTTLS\nS: 220 ready");
    peer.handle(rmail_proto::Event::PeerClosed);
    assert!(peer.world.trouble().is_tls());
}

#[test]
fn implicit_tls_comes_before_the_greeting() {
    let mut peer = connect(config(Security::Implicit), vec![]);
    assert_eq!(peer.offer(b"220 too early\r\n"), 0);
    peer.handle(rmail_proto::Event::TlsEstablished(
        rmail_proto::TlsInfo::default(),
    ));
    peer.play(
        "S: 220 mx
         C: EHLO mx.example.com
         S: 250-mx
         S: 250 STARTTLS
         C: QUIT",
    );
}

#[test]
fn password_is_not_shown_without_tls_unless_that_is_allowed() {
    let mut peer = hello(
        with_login(Security::Opportunistic, false),
        &["AUTH PLAIN LOGIN"],
    );
    peer.play("C: QUIT");
    assert_eq!(*peer.world.trouble(), Trouble::AuthUnavailable);
    let mut peer = hello(with_login(Security::Cleartext, true), &["AUTH LOGIN PLAIN"]);
    peer.play(
        "C: AUTH PLAIN AHVzZXIAcGVuY2ls
         S: 235 2.7.0 welcome
         C: QUIT",
    );
    let mut peer = hello(with_login(Security::Cleartext, true), &["AUTH LOGIN"]);
    peer.play(
        "C: AUTH LOGIN
         S: 334 VXNlcm5hbWU6
         C: dXNlcg==
         S: 334 UGFzc3dvcmQ6
         C: cGVuY2ls
         S: 235 welcome
         C: QUIT",
    );
}

#[test]
fn refused_login_sends_no_mail() {
    let mut peer = hello(with_login(Security::Cleartext, true), &["AUTH PLAIN"]);
    peer.play(
        "C: AUTH PLAIN AHVzZXIAcGVuY2ls
         S: 535 5.7.8 wrong
         C: QUIT",
    );
    assert!(matches!(peer.world.trouble(), Trouble::AuthRefused(_)));
    assert_eq!(peer.world.calls, ["Ended"]);
}

/// The client's first message.
const SCRAM: &str = "C: AUTH SCRAM-SHA-256 *";

/// `r=<nonce>x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096` for the nonce of the client.
fn server_first(peer: &mut Peer) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    peer.take_sent();
    let nonce = STANDARD.encode(credentials().nonce);
    STANDARD.encode(format!("r={nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"))
}

#[test]
fn scram_proves_both_sides() {
    let offers = &["AUTH PLAIN LOGIN SCRAM-SHA-256"];
    let mut peer = hello(with_login(Security::Cleartext, true), offers);
    let first = server_first(&mut peer);
    peer.play(&format!("S: 334 {first}\nC: *"));
    // v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
    peer.play(
        "S: 334 dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==
         C:
         S: 235 2.7.0 welcome
         C: QUIT",
    );
    assert_eq!(peer.world.calls, ["Scram", "NextMessage"]);
}

#[test]
fn server_that_proves_nothing_gets_no_mail() {
    let offers = &["AUTH SCRAM-SHA-256"];
    for replies in ["235 welcome", "334 dj1BQUFB", "334 !"] {
        let mut peer = hello(with_login(Security::Cleartext, false), offers);
        let first = server_first(&mut peer);
        peer.send(format!("334 {first}\r\n{replies}\r\n").as_bytes());
        assert_eq!(
            *peer.world.trouble(),
            Trouble::ServerNotAuthentic,
            "{replies}"
        );
    }
    let mut peer = hello(with_login(Security::Cleartext, false), offers);
    peer.play(&format!("{SCRAM}\nS: 235 welcome"));
    assert_eq!(peer.closed, Some(Close::Abort));
    assert_eq!(*peer.world.trouble(), Trouble::ServerNotAuthentic);
}

#[test]
fn finished_session_is_closed_after_quit() {
    let mut peer = hello(config(Security::Cleartext), &[]);
    peer.play("C: QUIT\nS: 221 bye");
    assert_eq!(peer.world.end, Some(End::Finished));
    assert_eq!(peer.closed, Some(Close::Flush));
}
