//! Spooled messages on their way to mailboxes.

use rmail_store::MailboxRef;

use super::*;

#[test]
fn message_that_comes_while_the_spool_is_searched_is_searched_for_again() {
    let mut site = Site::new();
    let account = site.make_account();
    let hint = |site: &mut Site| {
        site.node.handle_datagram(site.now, None, b"queue");
        site.drain();
    };
    hint(&mut site);
    let searches: Vec<Done> = site
        .jobs
        .drain(..)
        .map(|job| job.run(&site.world))
        .collect();
    // They found nothing, and are not done yet.
    spool(&site, 10);
    hint(&mut site);
    for search in searches {
        site.finish(search);
    }
    site.settle();
    let inbox = MailboxRef::Name("INBOX".to_owned());
    let status = site.world.store.status(account, &inbox).unwrap();
    assert_eq!(status.messages, 1);
}
