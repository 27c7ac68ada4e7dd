//! Aliases on their way through the node: who is taken at RCPT, whose place is taken by whom, what
//! the sender hears, and who may send as whom.

use rmail_proto::{ForwardPath, ReversePath};
use rmail_store::{Alias, AliasWrite};

use super::{
    outbound::{ONE, Town, minutes},
    *,
};

fn address(text: &str) -> Address {
    match text.contains('@') {
        true => Address::parse(text).unwrap(),
        false => Address::parse(&format!("{text}@mail.example")).unwrap(),
    }
}

impl Site {
    fn write_alias(&mut self, write: AliasWrite) {
        let results = self.world.store.write_aliases(vec![write]).unwrap();
        results.into_iter().for_each(|result| result.unwrap());
        // As a hint of another process would.
        self.node.handle_datagram(self.now, None, b"directory");
        self.settle();
    }

    fn make_alias(&mut self, name: &str, targets: &[&str]) {
        let targets = targets.iter().map(|target| address(target)).collect();
        self.write_alias(AliasWrite::Create(Alias::new(&address(name), targets)));
    }

    fn remove_alias(&mut self, name: &str) {
        self.write_alias(AliasWrite::Delete(address(name)));
    }

    /// What a stranger on port 25 hears of a recipient.
    fn rcpt(&mut self, name: &str) -> String {
        let session = self.connect(ListenerKind::Smtp);
        let call = smtp::Call::Rcpt {
            forward_path: ForwardPath::Address(address(name)),
            size_bytes: 0,
            identity: None,
        };
        self.decide(session, call)
    }

    /// What somebody who has logged in hears of a reverse-path.
    fn mail(&mut self, account: AccountId, login: &str, from: &str) -> String {
        let session = self.connect(ListenerKind::Smtp);
        let call = smtp::Call::Mail {
            reverse_path: ReversePath::Address(address(from)),
            identity: Some(identity(account, login)),
            size_bytes: 0,
        };
        self.decide(session, call)
    }

    /// What is answered to a message with these addresses in its From field.
    fn send_with_from(&mut self, account: AccountId, login: &str, from: &[&str]) -> String {
        let session = self.connect(ListenerKind::Smtp);
        let call = submission(account, login, from);
        let summary = Some(Arc::new(Summary::default()));
        self.events.clear();
        self.ask(session, Call::Smtp(call, summary));
        self.settle();
        self.heard()
    }

    fn decide(&mut self, session: SessionId, call: smtp::Call) -> String {
        self.events.clear();
        self.ask(session, Call::Smtp(call, None));
        self.settle();
        self.heard()
    }

    fn heard(&mut self) -> String {
        match self.events.pop() {
            Some((_, SessionEvent::Reply(_, Reply::Smtp(smtp::Reply::Refused(refusal))))) => {
                format!("{} {}", refusal.code, refusal.enhanced)
            }
            Some((
                _,
                SessionEvent::Reply(_, Reply::Smtp(smtp::Reply::Permitted | smtp::Reply::Accepted)),
            )) => "250".to_owned(),
            other => panic!("{other:?}"),
        }
    }
}

fn identity(account: AccountId, login: &str) -> smtp::Identity {
    smtp::Identity {
        account,
        address: address(login),
    }
}

fn submission(account: AccountId, login: &str, from: &[&str]) -> smtp::Call {
    smtp::Call::Message {
        upload: UploadId(1),
        data: Bytes::from_static(b"Return-Path: <>\r\nSubject: x\r\n\r\nText\r\n"),
        envelope: Box::new(smtp::Envelope {
            id: "1".to_owned(),
            reverse_path: ReversePath::Null,
            recipients: vec![smtp::Recipient::new(ForwardPath::Address(address(login)))],
            identity: Some(identity(account, login)),
            header_from: from.iter().map(|from| address(from)).collect(),
            smtputf8: false,
            eight_bit_mime: false,
            notice: smtp::MailNotice::default(),
        }),
    }
}

fn success() -> smtp::RcptNotice {
    smtp::RcptNotice {
        notify: Some(smtp::Notify {
            success: true,
            failure: true,
            delay: false,
        }),
        orcpt: None,
    }
}

#[test]
fn recipients_are_those_that_lead_to_somebody() {
    let mut site = Site::new();
    let ann = site.make_account();
    let bob = site.make_account_of("bob");
    site.write_directory(disable(bob));
    for (name, targets) in [
        ("info", &["ann"][..]),
        ("sales-*", &["info", "bob"]),
        ("dead", &["gone"]),
        ("dead-too", &["bob"]),
        ("elsewhere", &["x@one.example"]),
    ] {
        site.make_alias(name, targets);
    }
    for (name, answer) in [
        ("info", "250"),
        ("Info+tag", "250"),
        ("sales-7", "250"),
        ("elsewhere", "250"),
        ("dead", "550 5.1.1"),
        ("dead-too", "550 5.1.1"),
        ("bob", "550 5.1.1"),
        ("stranger", "550 5.1.1"),
        ("x@one.example", "550 5.7.1"),
        ("postmaster", "250"),
    ] {
        assert_eq!(site.rcpt(name), answer, "{name}");
        assert_eq!(site.rcpt(name), answer, "{name}, from memory");
    }
    site.write_directory(DirectoryWrite::DeleteAccount(ann));
    site.node.handle_datagram(site.now, None, b"directory");
    for name in ["info", "sales-7", "ann"] {
        assert_eq!(site.rcpt(name), "550 5.1.1", "{name}");
    }
}

#[test]
fn the_catch_all_takes_what_nobody_else_has_and_neither_the_disabled_nor_the_postmaster() {
    let mut site = Site::new();
    site.make_account();
    let bob = site.make_account_of("bob");
    site.write_directory(disable(bob));
    site.make_alias("old", &["ann"]);
    assert_eq!(site.rcpt("anybody"), "550 5.1.1");
    site.make_alias("*", &["ann"]);
    assert_eq!(site.rcpt("anybody"), "250");
    site.write_alias(AliasWrite::Update {
        address: address("old"),
        targets: None,
        is_enabled: Some(false),
    });
    assert_eq!(site.rcpt("old"), "550 5.1.1");
    assert_eq!(site.rcpt("bob"), "550 5.1.1");
    let store = &*site.world.store;
    let found = crate::aliases::lead(store, &site.config, &address("postmaster")).unwrap();
    assert!(found.accounts().is_empty(), "there is no admin");
}

#[test]
fn an_alias_that_leads_elsewhere_is_refused_whole_where_nothing_is_relayed() {
    let mut site = Site::with(
        r#"{"domains": ["mail.example"], "hostname": "mail.example",
            "relay": {"enabled": false}}"#,
    );
    site.make_account();
    site.make_alias("both", &["ann", "x@one.example"]);
    assert_eq!(site.rcpt("both"), "550 5.7.1");
    assert_eq!(site.rcpt("ann"), "250");
}

#[test]
fn mail_for_an_alias_goes_to_all_of_them_here_and_elsewhere_from_its_sender() {
    let mut town = Town::new();
    town.site
        .make_alias("team", &["ann", "bob+list", "x@one.example", "all"]);
    town.site.make_alias("all", &["bob", "no@one.example"]);
    town.send_from(
        "ann@mail.example",
        &["team@mail.example"],
        smtp::RcptNotice::default(),
    );
    assert_eq!(town.inbox("bob").len(), 1, "by two ways, and once");
    let seen = town.seen(ONE);
    assert_eq!(seen.taken["x@one.example"], 1);
    assert_eq!(seen.named["no@one.example"], 1);
    let inbox = town.inbox("ann");
    assert_eq!(inbox.len(), 2, "the message and a report");
    for part in [
        "Action: failed",
        "Final-Recipient: rfc822; no@one.example",
        "Original-Recipient: rfc822; team@mail.example",
    ] {
        assert!(
            inbox[1].contains(part),
            "{part:?} is missing:\n{}",
            inbox[1]
        );
    }
    assert_eq!(town.queued(), 0);
}

#[test]
fn a_message_through_two_aliases_that_meet_arrives_once() {
    let mut town = Town::new();
    town.site.make_alias("one", &["bob", "x@one.example"]);
    town.site.make_alias("two", &["BOB", "x@one.example"]);
    town.send(&["one@mail.example", "two@mail.example", "bob@mail.example"]);
    assert_eq!(town.inbox("bob").len(), 1);
    assert_eq!(town.seen(ONE).taken["x@one.example"], 1);
    assert_eq!(town.queued(), 0);
}

#[test]
fn one_behind_an_alias_has_its_notices_and_several_have_all_but_success() {
    let mut town = Town::new();
    town.site.make_alias("info", &["bob"]);
    town.send_from("ann@mail.example", &["info@mail.example"], success());
    let [report] = &town.inbox("ann")[..] else {
        panic!("one report: {:?}", town.inbox("ann"));
    };
    for part in [
        "Action: delivered",
        "Original-Recipient: rfc822; info@mail.example",
        "Final-Recipient: rfc822; bob@mail.example",
    ] {
        assert!(report.contains(part), "{part:?} is missing:\n{report}");
    }
    town.site.make_alias("team", &["bob", "x@one.example"]);
    town.send_from("ann@mail.example", &["team@mail.example"], success());
    let inbox = town.inbox("ann");
    assert_eq!(inbox.len(), 2, "one more report, on the alias");
    for part in [
        "Action: expanded",
        "Final-Recipient: rfc822; team@mail.example",
    ] {
        assert!(
            inbox[1].contains(part),
            "{part:?} is missing:\n{}",
            inbox[1]
        );
    }
    assert!(
        !inbox[1].contains("bob@"),
        "who is behind it is not told:\n{}",
        inbox[1]
    );
    assert_eq!((town.inbox("bob").len(), town.queued()), (2, 0));
}

#[test]
fn an_alias_that_changes_after_rcpt_counts_as_it_is_when_it_is_delivered() {
    let mut town = Town::new();
    town.site.make_alias("info", &["ann"]);
    assert_eq!(town.site.rcpt("info"), "250");
    town.site.remove_alias("info");
    town.send(&["info@mail.example"]);
    let inbox = town.inbox("ann");
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].contains("Status: 5.1.1"), "{}", inbox[0]);
    town.site.make_alias("info", &["bob"]);
    town.send(&["info@mail.example"]);
    assert_eq!((town.inbox("bob").len(), town.queued()), (1, 0));
}

#[test]
fn a_loop_that_a_removal_has_left_ends_at_rcpt_and_in_delivery() {
    let mut town = Town::new();
    let bob = town
        .site
        .world
        .store
        .account_by_address(&address("bob"))
        .unwrap();
    town.site.make_alias("*", &["bob"]);
    assert_eq!(town.site.rcpt("anybody"), "250");
    town.site
        .write_directory(DirectoryWrite::DeleteAccount(bob.unwrap().id));
    town.site
        .node
        .handle_datagram(town.site.now, None, b"directory");
    assert_eq!(town.site.rcpt("anybody"), "550 5.1.1");
    town.send(&["anybody@mail.example"]);
    assert!(town.inbox("ann")[0].contains("Status: 5.1.1"));
    assert_eq!(town.queued(), 0);
}

#[test]
fn an_alias_is_expanded_once_wherever_the_process_dies() {
    for jobs in 0..12 {
        let mut town = Town::new();
        town.site
            .make_alias("team", &["ann", "bob", "x@one.example"]);
        town.site.jobs_left = Some(jobs);
        let is_accepted = town.submit("ann@mail.example", &["team@mail.example"], success());
        town.restart();
        town.pass(minutes(3));
        assert_eq!(town.queued(), 0, "after {jobs} jobs");
        let copies = usize::from(is_accepted);
        // Nobody may have heard of one that was accepted.
        assert!(
            (copies..=1).contains(&town.inbox("bob").len()),
            "after {jobs} jobs"
        );
        if is_accepted {
            assert!(
                town.seen(ONE).taken["x@one.example"] >= 1,
                "after {jobs} jobs"
            );
            let expanded = town.inbox("ann");
            let expanded = expanded.iter().filter(|it| it.contains("Action: expanded"));
            assert_eq!(expanded.count(), 1, "after {jobs} jobs");
        }
    }
}

#[test]
fn one_may_send_from_aliases_that_lead_to_oneself_and_from_no_other() {
    let mut site = Site::new();
    let ann = site.make_account();
    site.make_account_of("bob");
    site.make_alias("team", &["ann", "bob"]);
    site.make_alias("all", &["team"]);
    site.make_alias("bobs", &["bob"]);
    site.make_alias("ann-*", &["ann"]);
    for (from, answer) in [
        ("ann", "250"),
        ("ann+tag", "250"),
        ("team", "250"),
        ("All", "250"),
        ("ann-1", "250"),
        ("bobs", "550 5.7.1"),
        ("bob", "550 5.7.1"),
        ("nobody", "550 5.7.1"),
        ("ann@one.example", "550 5.7.1"),
    ] {
        assert_eq!(site.mail(ann, "ann", from), answer, "{from}");
        assert_eq!(site.send_with_from(ann, "ann", &[from]), answer, "{from}");
        let both = site.send_with_from(ann, "ann", &["ann", from]);
        assert_eq!(both, answer, "ann and {from}");
    }
    site.make_alias("*", &["ann"]);
    assert_eq!(site.mail(ann, "ann", "anything"), "250");
    assert_eq!(site.mail(ann, "ann", "bob"), "550 5.7.1");
    assert!(site.node.uploads.is_empty());
}

#[test]
fn a_session_that_ends_while_its_sender_is_looked_at_leaves_nothing() {
    let mut site = Site::new();
    let ann = site.make_account();
    site.make_alias("team", &["ann"]);
    let session = site.connect(ListenerKind::Smtp);
    let summary = Some(Arc::new(Summary::default()));
    site.ask(
        session,
        Call::Smtp(submission(ann, "ann", &["team"]), summary),
    );
    site.node.handle_session_over(site.now, session);
    site.settle();
    assert!(site.node.uploads.is_empty());
    let queued = site
        .world
        .store
        .queue(&rmail_store::QueueFilter::default(), None, 10);
    assert!(queued.unwrap().is_empty());
}

#[test]
fn aliases_of_an_account_are_those_that_lead_to_it_however_far() {
    let mut site = Site::new();
    let ann = site.make_account();
    site.make_account_of("sales-bob");
    site.make_alias("team", &["ann+lists"]);
    site.make_alias("all", &["team", "x@one.example"]);
    site.make_alias("sales-*", &["ann"]);
    site.make_alias("shop", &["sales-1"]);
    site.make_alias("not-hers", &["sales-bob", "x@one.example"]);
    let ann = site.world.store.account(ann).unwrap().unwrap();
    let aliases = crate::aliases::aliases_of(&*site.world.store, &site.config, &ann).unwrap();
    let names = aliases.iter().map(|alias| alias.address.local_part());
    let names: Vec<&str> = names.collect();
    assert_eq!(names, ["all", "sales-*", "shop", "team"]);
    site.write_alias(AliasWrite::Update {
        address: address("team"),
        targets: None,
        is_enabled: Some(false),
    });
    let aliases = crate::aliases::aliases_of(&*site.world.store, &site.config, &ann).unwrap();
    let names = aliases.iter().map(|alias| alias.address.local_part());
    let names: Vec<&str> = names.collect();
    assert_eq!(
        names,
        ["sales-*", "shop", "team"],
        "a disabled one leads no further"
    );
}
