//! A mailbox with a quota: what does not fit is refused where it can be.

use rmail_proto::{ForwardPath, smtp::Refusal};

use super::*;

const QUOTA: u64 = 1000;

fn site() -> (Site, AccountId) {
    let mut site = Site::new();
    let account = site.make_account();
    let update = AccountUpdate {
        quota_bytes: Some(QUOTA),
        ..AccountUpdate::default()
    };
    site.write_directory(DirectoryWrite::UpdateAccount { account, update });
    (site, account)
}

/// What RCPT is answered for a message of so many bytes.
fn rcpt(site: &mut Site, size_bytes: u64) -> smtp::Reply {
    let session = site.connect(ListenerKind::Smtp);
    let address = Address::parse("ann@mail.example").unwrap();
    let call = smtp::Call::Rcpt {
        forward_path: ForwardPath::Address(address),
        size_bytes,
        identity: None,
    };
    site.ask(session, Call::Smtp(call, None));
    site.settle();
    match site.events.pop() {
        Some((_, SessionEvent::Reply(_, Reply::Smtp(reply)))) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_fits_is_permitted_and_what_never_will_is_refused_for_good() {
    let (mut site, _) = site();
    assert!(matches!(rcpt(&mut site, 0), smtp::Reply::Permitted));
    assert!(matches!(rcpt(&mut site, QUOTA), smtp::Reply::Permitted));
    match rcpt(&mut site, QUOTA + 1) {
        smtp::Reply::Refused(refusal) => assert_eq!(refusal, Refusal::message_over_quota()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_accepted_and_is_not_delivered_yet_takes_its_room() {
    let (mut site, _) = site();
    spool(&site, 900);
    assert!(matches!(rcpt(&mut site, 100), smtp::Reply::Permitted));
    match rcpt(&mut site, 101) {
        smtp::Reply::Refused(refusal) => assert_eq!(refusal, Refusal::mailbox_full()),
        other => panic!("{other:?}"),
    }
}
