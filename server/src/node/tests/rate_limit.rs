//! What a client may do in how much time, through the node.

use rmail_proto::{ForwardPath, ReversePath, smtp::Refusal};

use super::*;

fn site_with_ann() -> Site {
    let mut site = Site::new();
    site.make_account();
    site
}

fn last_reply(site: &mut Site) -> Reply {
    site.settle();
    match site.events.pop() {
        Some((_, SessionEvent::Reply(_, reply))) => reply,
        other => panic!("{other:?}"),
    }
}

/// Tries a password by SMTP or IMAP; whether it was right, or else whether it was looked at.
fn log_in(site: &mut Site, kind: ListenerKind, word: &str) -> Result<(), bool> {
    let session = site.connect_from(kind, [192, 0, 2, 1].into());
    let (username, password) = ("ann@mail.example".to_owned(), Secret::new(word.to_owned()));
    let call = match kind.is_imap() {
        true => Call::Imap(imap::Call::Authenticate { username, password }, None),
        false => Call::Smtp(smtp::Call::Authenticate { username, password }, None),
    };
    site.ask(session, call);
    let outcome = match last_reply(site) {
        Reply::Smtp(smtp::Reply::Authenticated(_)) => Ok(()),
        Reply::Imap(imap::Reply::Authenticated { .. }) => Ok(()),
        Reply::Smtp(smtp::Reply::Refused(refusal)) => {
            Err(refusal != Refusal::too_many_failed_logins())
        }
        Reply::Imap(imap::Reply::No(no)) => Err(no.code == imap::NoCode::AuthenticationFailed),
        other => panic!("{other:?}"),
    };
    site.node.handle_session_over(site.now, session);
    site.drain();
    outcome
}

#[test]
fn failures_in_one_protocol_lock_out_of_all_and_a_lockout_ends() {
    let mut site = site_with_ann();
    for kind in [
        ListenerKind::Imap,
        ListenerKind::Submission,
        ListenerKind::Imap,
        ListenerKind::Smtps,
        ListenerKind::Imaps,
    ] {
        assert_eq!(log_in(&mut site, kind, "wrong"), Err(true));
    }
    for kind in [ListenerKind::Imap, ListenerKind::Submission] {
        assert_eq!(log_in(&mut site, kind, "correct horse"), Err(false));
    }
    let end = site.now.at + site.config.rate_limit.auth_failure_lockout;
    site.set_time(end);
    assert_eq!(
        log_in(&mut site, ListenerKind::Imap, "correct horse"),
        Ok(())
    );
}

#[test]
fn one_who_knows_the_password_is_not_locked_out_by_typing_errors() {
    let mut site = site_with_ann();
    for _ in 0..4 {
        for _ in 0..4 {
            assert_eq!(log_in(&mut site, ListenerKind::Imap, "wrong"), Err(true));
        }
        assert_eq!(
            log_in(&mut site, ListenerKind::Imap, "correct horse"),
            Ok(())
        );
    }
}

#[test]
fn connections_at_once_and_lately_are_bounded_and_a_place_is_free_at_once() {
    let mut site = site_with_ann();
    let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let connect = |site: &mut Site| {
        let admission = site
            .node
            .handle_connection(site.now, ListenerKind::Smtp, peer, peer.ip());
        match admission {
            Admission::Admitted(session) => Some(session.id()),
            Admission::Refused(reason) => {
                assert!(reason.starts_with(b"421 4.7.0 "), "{reason:?}");
                None
            }
        }
    };
    let open: Vec<SessionId> = (0..10).map(|_| connect(&mut site).unwrap()).collect();
    assert_eq!(connect(&mut site), None);
    site.node.handle_session_over(site.now, open[0]);
    assert!(connect(&mut site).is_some());
    for session in &open[1..] {
        site.node.handle_session_over(site.now, *session);
    }
    let more = (0..20).filter(|_| match connect(&mut site) {
        Some(session) => {
            site.node.handle_session_over(site.now, session);
            true
        }
        None => false,
    });
    assert_eq!(more.count(), 9, "20 in a minute, 11 were before");
}

#[test]
fn messages_and_recipients_are_bounded() {
    let mut site = site_with_ann();
    let session = site.connect(ListenerKind::Smtp);
    let mut refused = Vec::new();
    for number in 0..=30 {
        let call = smtp::Call::Mail {
            reverse_path: ReversePath::Null,
            identity: None,
            size_bytes: 0,
        };
        site.ask(session, Call::Smtp(call, None));
        if let Reply::Smtp(smtp::Reply::Refused(refusal)) = last_reply(&mut site) {
            assert_eq!(refusal, Refusal::rate_exceeded());
            refused.push(number);
        }
    }
    assert_eq!(refused, [30]);
    refused.clear();
    for number in 0..=100 {
        let address = Address::parse("ann@mail.example").unwrap();
        let call = smtp::Call::Rcpt {
            forward_path: ForwardPath::Address(address),
            size_bytes: 0,
            identity: None,
        };
        site.ask(session, Call::Smtp(call, None));
        if let Reply::Smtp(smtp::Reply::Refused(refusal)) = last_reply(&mut site) {
            assert_eq!(refusal, Refusal::rate_exceeded());
            refused.push(number);
        }
    }
    assert_eq!(refused, [100]);
}

/// A failed login for Ann from this address; when the answer came.
fn guess_from(site: &mut Site, peer: [u8; 4], word: &str) -> Duration {
    let session = site.connect_from(ListenerKind::Imap, peer.into());
    let (username, password) = ("ann@mail.example".to_owned(), Secret::new(word.to_owned()));
    let call = imap::Call::Authenticate { username, password };
    site.ask(session, Call::Imap(call, None));
    let asked_at = site.now.at;
    site.settle();
    while site.events.is_empty() {
        site.set_time(site.node.poll_timeout().unwrap());
        site.node.handle_timeout(site.now);
        site.settle();
    }
    site.events.clear();
    site.node.handle_session_over(site.now, session);
    site.drain();
    site.now.at.since(asked_at)
}

#[test]
fn guesses_from_many_addresses_are_slowed_and_nobody_is_locked_out() {
    let mut site = site_with_ann();
    for number in 0..99 {
        let quick = guess_from(&mut site, [198, 51, 100, number], "wrong");
        assert_eq!(quick, Duration::ZERO, "guess {number}");
    }
    let guesser = [203, 0, 113, 1];
    assert_eq!(guess_from(&mut site, guesser, "wrong"), limits::GUESS_DELAY);
    let owner = [203, 0, 113, 2];
    let first = guess_from(&mut site, owner, "correct horse");
    assert_eq!(
        first,
        limits::GUESS_DELAY,
        "or guesses need not be waited for"
    );
    let again = guess_from(&mut site, owner, "correct horse");
    assert_eq!(
        again,
        Duration::ZERO,
        "the password was verified shortly before"
    );
    let hour = site.now.at + limits::GUESSES_TIME;
    site.set_time(hour);
    assert_eq!(guess_from(&mut site, guesser, "wrong"), Duration::ZERO);
}

#[test]
fn password_before_the_last_change_is_refused_without_being_counted_for_a_day() {
    let mut site = site_with_ann();
    let ann = Address::parse("ann@mail.example").unwrap();
    let account = site
        .world
        .store
        .account_by_address(&ann)
        .unwrap()
        .unwrap()
        .id;
    let new = Credential::new(&Secret::new("battery staple".to_owned()), random::bytes());
    let update = AccountUpdate {
        credential: Some(new.to_string()),
        raise_generation: true,
        ..AccountUpdate::default()
    };
    site.write_directory(DirectoryWrite::UpdateAccount { account, update });
    for _ in 0..20 {
        assert_eq!(
            log_in(&mut site, ListenerKind::Imap, "correct horse"),
            Err(true)
        );
        site.set_time(site.now.at + Duration::from_secs(60));
    }
    assert_eq!(
        log_in(&mut site, ListenerKind::Imap, "battery staple"),
        Ok(())
    );
    let day = Instant::from_start(limits::PREVIOUS_PASSWORD_TIME);
    site.set_time(day);
    for _ in 0..5 {
        assert_eq!(
            log_in(&mut site, ListenerKind::Imap, "correct horse"),
            Err(true)
        );
    }
    assert_eq!(
        log_in(&mut site, ListenerKind::Imap, "battery staple"),
        Err(false)
    );
}

/// A site with room for two connections of each protocol.
fn narrow_site() -> Site {
    let mut site = Site::with(
        r#"{"domains": ["mail.example"], "hostname": "mail.example",
            "smtp": {"max_connections": 2}, "imap": {"max_connections": 2}}"#,
    );
    site.make_account();
    site
}

fn is_admitted(site: &mut Site, kind: ListenerKind) -> bool {
    let peer: SocketAddr = "203.0.113.9:4000".parse().unwrap();
    let admission = site.node.handle_connection(site.now, kind, peer, peer.ip());
    site.drain();
    matches!(admission, Admission::Admitted(_))
}

#[test]
fn connections_on_which_nothing_happens_keep_nobody_out() {
    for (kind, time) in [
        (ListenerKind::Smtp, limits::IDLE_WHEN_FULL),
        (ListenerKind::Submission, limits::LOGIN_WHEN_FULL),
        (ListenerKind::Imaps, limits::LOGIN_WHEN_FULL),
    ] {
        let mut site = narrow_site();
        let first = site.connect(kind);
        site.pass(Duration::from_secs(1));
        site.connect(kind);
        site.pass(time - Duration::from_secs(2));
        assert!(!is_admitted(&mut site, kind), "{kind:?}");
        site.pass(Duration::from_secs(1));
        assert!(is_admitted(&mut site, kind), "{kind:?}");
        let ended: Vec<SessionId> = site
            .events
            .drain(..)
            .map(|(session, event)| {
                assert!(matches!(event, SessionEvent::Abort), "{event:?}");
                session
            })
            .collect();
        assert_eq!(ended, [first], "the one that has been idle for longest");
        assert!(!is_admitted(&mut site, kind), "one place is one place");
        site.node.handle_session_over(site.now, first);
        assert!(!is_admitted(&mut site, kind), "it was given away already");
    }
}

#[test]
fn sessions_that_are_logged_in_are_never_ended_for_others() {
    let mut site = narrow_site();
    site.log_in();
    site.log_in();
    site.pass(Duration::from_secs(24 * 3600));
    site.settle();
    site.events.clear();
    assert!(!is_admitted(&mut site, ListenerKind::Imap));
    assert!(site.events.is_empty(), "{:?}", site.events);
}

/// Whoever is refused for another reason takes nobody's place.
#[test]
fn connection_that_is_refused_ends_no_other() {
    let mut site = narrow_site();
    site.connect(ListenerKind::Smtp);
    site.connect(ListenerKind::Smtp);
    let hasty: SocketAddr = "203.0.113.9:4000".parse().unwrap();
    site.pass(limits::IDLE_WHEN_FULL);
    for _ in 0..site.config.rate_limit.connection_rate.get() {
        let limits = &site.config.rate_limit;
        let limiter = &mut site.node.rate_limiter;
        limiter.admit(site.now.at, limits, hasty.ip()).unwrap();
        limiter.release(hasty.ip());
    }
    assert!(!is_admitted(&mut site, ListenerKind::Smtp));
    assert!(site.events.is_empty(), "{:?}", site.events);
}

/// The account may change while the answer is kept back.
#[test]
fn login_that_was_slowed_does_not_outlive_its_account() {
    let mut site = Site::new();
    let account = site.make_account();
    for number in 0..100 {
        guess_from(&mut site, [198, 51, 100, number], "wrong");
    }
    let session = site.connect(ListenerKind::Imap);
    site.ask_login(session);
    site.settle();
    assert!(site.events.is_empty(), "the answer is kept back");
    site.write_directory(disable(account));
    site.node.handle_datagram(site.now, None, b"directory");
    site.settle();
    let due = site.now.at + limits::GUESS_DELAY;
    site.set_time(due);
    site.node.handle_timeout(site.now);
    site.settle();
    assert!(site.is_told_to_end(session), "{:?}", site.events);
}
