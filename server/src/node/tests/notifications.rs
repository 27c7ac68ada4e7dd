//! What the node promises of change notifications.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rmail_proto::{DateTime, Flags, MailboxId};
use rmail_store::{AccountWrite, Content, MailboxRef, NewMessage, Store};
use serde_json::Value;

use super::*;
use crate::{
    api::subscriptions::{ChangeKind, Marks, Subscription, search},
    outside::webhooks::{Post, PostAnswer, PostError, Posting},
};

/// The targets: they take everything, or answer as a test says.
#[derive(Debug, Default)]
pub(super) struct Targets {
    heard: Mutex<Vec<(String, Value)>>,
    /// The status of all answers, if it is another than 202.
    status: Mutex<Option<u16>>,
}

impl Targets {
    /// What they were told since the last call.
    fn take(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *lock(&self.heard))
    }

    fn answer(&self, status: u16) {
        *lock(&self.status) = Some(status);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Post for Targets {
    fn post(&self, posting: &Posting<'_>) -> Result<PostAnswer, PostError> {
        let content = serde_json::from_slice(posting.content).unwrap();
        lock(&self.heard).push((posting.target.url().to_owned(), content));
        Ok(PostAnswer {
            status: lock(&self.status).unwrap_or(202),
            ..PostAnswer::default()
        })
    }
}

const HOOK: &str = "https://hooks.example/";
const LIFE: &str = "https://hooks.example/life";

impl Site {
    fn subscribe(&mut self, account: AccountId, key: u128) {
        self.subscribe_to(account, key, None);
    }

    fn subscribe_to(&mut self, account: AccountId, key: u128, folder: Option<MailboxId>) {
        let subscription = Subscription {
            resource: "me/messages".to_owned(),
            folder: folder.map(|folder| folder.to_string()),
            kinds: ChangeKind::ALL.to_vec(),
            notification_url: HOOK.to_owned(),
            lifecycle_url: Some(LIFE.to_owned()),
            client_state: None,
            tls_version: None,
            marks: Marks::now(&*self.world.store, account, folder).unwrap(),
            untold: None,
        };
        let expires_at = UnixTime(self.now.unix.0 + 24 * 60 * 60);
        let record = subscription.to_record(key, account, expires_at);
        self.write_directory(DirectoryWrite::PutRecord(record));
        self.hear("subscriptions");
    }

    /// A hint of another process.
    fn hear(&mut self, hint: &str) {
        self.node.handle_datagram(self.now, None, hint.as_bytes());
        self.settle();
    }

    /// Another process saves a message, and says so.
    fn save(&mut self, account: AccountId) {
        self.save_many(account, 1);
    }

    fn save_many(&mut self, account: AccountId, count: usize) {
        save_to(&*self.world.store, account, count);
        self.hear(&format!("account {}", account.0));
    }

    /// Another process on the same `mail_root`, and at the same time.
    fn beside(&self, seed: u64) -> Self {
        let (config, targets) = (Arc::clone(&self.config), Arc::clone(&self.targets));
        Self::start(config, targets, self.now, seed, TempDir::new().unwrap())
    }

    /// The changes that wait in the record of a subscription.
    fn untold(&self, key: u128) -> usize {
        let kind = rmail_store::RecordKind::Subscription;
        let record = self.world.store.record(self.now.unix, kind, key).unwrap();
        let untold = Subscription::read(&record.unwrap()).unwrap().untold;
        untold.map_or(0, |untold| untold.waiting.len())
    }

    /// How often this process has written anything.
    fn writes(&self) -> u64 {
        let path = self.world.store.hint_socket().with_extension("count");
        u64::from_le_bytes(std::fs::read(path).unwrap().try_into().unwrap())
    }

    fn wait_long(&mut self, time: Duration) {
        let until = self.now.at + time;
        while self.now.at < until {
            self.wait(Duration::from_secs(60));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.set_time(self.now.at + time);
        self.node.handle_timeout(self.now);
        self.settle();
    }

    /// Changes are gathered, looked at and told.
    fn wait_settled(&mut self) {
        self.wait(limits::NOTIFICATIONS_SETTLE);
    }

    /// As [`wait_settled`](Self::wait_settled), but posts stay at work; how many there are.
    fn begin_posts(&mut self) -> Vec<Job> {
        self.set_time(self.now.at + limits::NOTIFICATIONS_SETTLE);
        self.node.handle_timeout(self.now);
        self.drain();
        let mut posts = Vec::new();
        while let Some(job) = self.jobs.pop_front() {
            if is_post(&job) {
                posts.push(job);
            } else {
                let done = job.run(&self.world);
                self.finish(done);
            }
        }
        posts
    }
}

fn write_to(store: &dyn Store, account: AccountId, write: AccountWrite) {
    let written = store.write_account(START, account, vec![write], &[]);
    written.unwrap().results.remove(0).unwrap();
}

fn save_to(store: &dyn Store, account: AccountId, count: usize) {
    let message = NewMessage {
        content: Content::Inline(Bytes::from_static(b"Subject: x\r\n\r\n")),
        summary: Default::default(),
        flags: Flags::default(),
        internal_date: DateTime::utc(START),
    };
    let write = AccountWrite::Save {
        mailbox: MailboxRef::Name("INBOX".to_owned()),
        messages: vec![message; count],
    };
    write_to(store, account, write);
}

fn is_post(job: &Job) -> bool {
    matches!(job, Job::Notify(NotifyJob::Post { .. }))
}

/// How many changes were told, by target.
fn counts(heard: &[(String, Value)]) -> Vec<(&str, usize)> {
    let heard = heard.iter();
    heard
        .map(|(url, content)| (url.as_str(), content["value"].as_array().unwrap().len()))
        .collect()
}

#[test]
fn changes_are_gathered_for_a_moment_and_told_at_once() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.wait_settled();
    assert!(site.targets.take().is_empty());
    for _ in 0..3 {
        site.save(account);
    }
    assert!(site.targets.take().is_empty());
    site.wait_settled();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 3)]);
    site.wait(Duration::from_secs(120));
    assert!(site.targets.take().is_empty());
}

/// Another process on the same `mail_root`, which tells nobody what it does.
fn silent_peer(site: &mut Site) -> SqliteStore {
    let root = &site.config.mail_root;
    let peer = SqliteStore::open(root, Arc::new(RealFiles), None, 9).unwrap();
    site.wait(limits::PEERS_INTERVAL);
    peer
}

#[test]
fn change_without_a_hint_is_told_within_a_minute() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.wait_settled();
    let peer = silent_peer(&mut site);
    save_to(&peer, account, 1);
    let until = site.now.at + limits::SUBSCRIPTIONS_INTERVAL + limits::PEERS_INTERVAL;
    while site.now.at < until {
        site.wait(limits::PEERS_INTERVAL);
    }
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
}

#[test]
fn change_by_a_process_that_died_is_told_once_that_is_seen() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.wait_settled();
    let peer = silent_peer(&mut site);
    save_to(&peer, account, 1);
    drop(peer);
    for _ in 0..3 {
        site.wait(limits::PEERS_INTERVAL);
    }
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
}

#[test]
fn what_happened_while_no_process_ran_is_told_after_the_start() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.save(account);
    site.restart();
    site.wait_settled();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
}

#[test]
fn post_that_is_not_taken_is_repeated_after_pauses_that_grow() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.targets.answer(503);
    site.save(account);
    site.wait_settled();
    assert_eq!(site.targets.take().len(), 1);
    site.wait(limits::POST_RETRY_FIRST - Duration::from_millis(1));
    assert_eq!(site.targets.take().len(), 0);
    site.wait(Duration::from_millis(1));
    assert_eq!(site.targets.take().len(), 1);
    site.wait(limits::POST_RETRY_FIRST);
    assert_eq!(site.targets.take().len(), 0);
    site.targets.answer(200);
    site.wait(limits::POST_RETRY_FIRST);
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
    site.wait(Duration::from_secs(3600));
    assert_eq!(site.targets.take().len(), 0);
}

#[test]
fn what_is_not_taken_for_four_hours_is_given_up_and_told_once_as_missed() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.targets.answer(410);
    site.save(account);
    site.wait_settled();
    site.wait_long(limits::POST_RETRY_LIFE + limits::POST_RETRY_LONGEST);
    let heard = site.targets.take();
    let missed: Vec<_> = heard.iter().filter(|(url, _)| url == LIFE).collect();
    assert!(!missed.is_empty());
    assert_eq!(missed[0].1["value"][0]["lifecycleEvent"], "missed");
    site.targets.answer(202);
    site.wait(limits::POST_RETRY_LONGEST);
    let heard = site.targets.take();
    assert_eq!(counts(&heard), [(LIFE, 1)]);
    site.wait(limits::POST_RETRY_LIFE);
    assert!(site.targets.take().is_empty());
}

#[test]
fn what_is_beyond_the_queue_is_missed_and_a_post_has_a_hundred() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.save_many(account, limits::NOTIFICATIONS_WAITING + 1);
    site.wait_settled();
    let heard = site.targets.take();
    let mut heard = counts(&heard);
    heard.retain(|(url, _)| *url == HOOK);
    let posts = limits::NOTIFICATIONS_WAITING / limits::NOTIFICATIONS_POSTED;
    assert_eq!(heard, vec![(HOOK, limits::NOTIFICATIONS_POSTED); posts]);
}

#[test]
fn slow_targets_take_no_thread_from_others_and_hold_up_no_shutdown() {
    let mut site = Site::new();
    let account = site.make_account();
    for key in 0..10 {
        site.subscribe(account, key);
    }
    let accounts: Vec<AccountId> = (0..10)
        .map(|number| site.make_account_of(&format!("user{number}")))
        .collect();
    for (number, account) in accounts.iter().enumerate() {
        site.subscribe(*account, 100 + number as u128);
    }
    site.save(account);
    let posts = site.begin_posts();
    assert_eq!(posts.len(), limits::POSTS_RUNNING_EACH);
    for account in accounts {
        site.save(account);
    }
    let more = site.begin_posts();
    assert_eq!(posts.len() + more.len(), limits::POSTS_RUNNING_EACH + 10);
    // Other work goes on.
    site.log_in();
    site.node.handle_stop(site.now);
    let sessions: Vec<SessionId> = site.node.sessions.keys().copied().collect();
    for session in sessions {
        site.node.handle_session_over(site.now, session);
    }
    let mut actions = std::iter::from_fn(|| site.node.poll_action());
    assert!(actions.any(|action| matches!(action, NodeAction::Stopped)));
    for job in posts.into_iter().chain(more) {
        let done = job.run(&site.world);
        site.finish(done);
    }
    assert!(site.jobs.is_empty());
}

#[test]
fn posts_at_once_are_bounded_in_all() {
    let mut site = Site::new();
    for number in 0..limits::POSTS_RUNNING + 5 {
        let account = site.make_account_of(&format!("user{number}"));
        site.subscribe(account, number as u128);
        site.save(account);
    }
    let mut posts = site.begin_posts();
    posts.extend(site.begin_posts());
    assert_eq!(posts.len(), limits::POSTS_RUNNING);
    for job in posts {
        let done = job.run(&site.world);
        site.finish(done);
    }
    site.settle();
    assert_eq!(site.targets.take().len(), limits::POSTS_RUNNING + 5);
}

#[test]
fn one_post_at_a_time_keeps_the_order_of_what_a_target_hears() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.save(account);
    let first = site.begin_posts();
    site.save(account);
    let second = site.begin_posts();
    assert_eq!((first.len(), second.len()), (1, 0));
    for job in first {
        let done = job.run(&site.world);
        site.finish(done);
    }
    site.settle();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1), (HOOK, 1)]);
}

#[test]
fn nothing_is_told_to_a_subscription_that_is_gone_or_over() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.targets.answer(500);
    site.save(account);
    site.wait_settled();
    assert_eq!(site.targets.take().len(), 1);
    let kind = rmail_store::RecordKind::Subscription;
    site.write_directory(DirectoryWrite::DropRecord(kind, 1));
    site.hear("subscriptions");
    site.wait(Duration::from_secs(600));
    assert!(site.targets.take().is_empty());
    site.subscribe(account, 2);
    site.save(account);
    site.wait_settled();
    assert_eq!(site.targets.take().len(), 1);
    site.wait(Duration::from_secs(24 * 60 * 60));
    assert!(site.targets.take().is_empty());
}

#[test]
fn subscriptions_of_a_deleted_account_go_with_it() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.targets.answer(500);
    site.save(account);
    site.wait_settled();
    assert_eq!(site.targets.take().len(), 1);
    site.write_directory(DirectoryWrite::DeleteAccount(account));
    site.hear("directory");
    site.wait(Duration::from_secs(600));
    assert!(site.targets.take().is_empty());
}

#[test]
fn what_waits_when_the_process_ends_is_told_by_the_next() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.targets.answer(503);
    site.save(account);
    site.wait_settled();
    let first = site.targets.take().remove(0).1["value"][0].clone();
    site.save(account);
    site.wait_settled();
    site.targets.take();
    site.restart();
    site.save(account);
    site.targets.answer(202);
    site.wait_settled();
    let heard = site.targets.take();
    assert_eq!(counts(&heard), [(HOOK, 3)]);
    assert_eq!(heard[0].1["value"][0], first);
    assert_eq!(site.untold(1), 0);
    site.restart();
    site.wait(Duration::from_secs(3600));
    assert!(site.targets.take().is_empty());
}

#[test]
fn end_of_a_folder_is_told_by_the_next_process() {
    let mut site = Site::new();
    let account = site.make_account();
    let sent = MailboxRef::Name("Sent".to_owned());
    let folder = site.world.store.status(account, &sent).unwrap().mailbox;
    site.subscribe_to(account, 1, Some(folder));
    site.wait_settled();
    site.targets.answer(503);
    let delete = AccountWrite::DeleteMailbox { mailbox: sent };
    write_to(&*site.world.store, account, delete);
    site.hear(&format!("account {}", account.0));
    site.wait_settled();
    let heard = site.targets.take();
    assert_eq!(counts(&heard), [(LIFE, 1)]);
    let told = &heard[0].1["value"][0];
    assert_eq!(told["lifecycleEvent"], "subscriptionRemoved");
    site.restart();
    site.targets.answer(202);
    site.wait_settled();
    let heard = site.targets.take();
    assert_eq!(counts(&heard), [(LIFE, 1)]);
    assert_eq!(heard[0].1["value"][0], *told);
    site.wait_settled();
    site.restart();
    site.wait(Duration::from_secs(3600));
    assert!(site.targets.take().is_empty());
    let kind = rmail_store::RecordKind::Subscription;
    let records = site.world.store.records(site.now.unix, kind, None);
    assert_eq!(records.unwrap(), []);
}

#[test]
fn of_two_processes_one_takes_over_from_one_that_died() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.wait_settled();
    let mut dying = site.beside(7);
    let mut other = site.beside(8);
    for site in [&mut site, &mut other] {
        site.wait(limits::PEERS_INTERVAL);
    }
    site.targets.answer(503);
    dying.save(account);
    dying.wait_settled();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
    site.targets.answer(202);
    // It tells: nobody else does, whatever happens.
    for site in [&mut site, &mut other] {
        site.save(account);
        site.wait_settled();
    }
    assert!(site.targets.take().is_empty());
    drop(dying);
    for _ in 0..3 {
        for site in [&mut site, &mut other] {
            site.wait(limits::PEERS_INTERVAL);
        }
    }
    assert_eq!(counts(&site.targets.take()), [(HOOK, 3)]);
    assert_eq!(site.untold(1), 0);
}

#[test]
fn what_was_left_by_a_process_that_nobody_saw_die_is_told_within_a_minute() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.wait_settled();
    site.targets.answer(503);
    let mut dying = site.beside(7);
    dying.save(account);
    dying.wait_settled();
    drop(dying);
    site.targets.take();
    site.targets.answer(202);
    site.wait(limits::SUBSCRIPTIONS_INTERVAL);
    site.wait_settled();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
}

#[test]
fn what_was_found_and_did_not_come_home_is_told_within_a_minute() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.wait_settled();
    site.save(account);
    let (store, nothing) = (Arc::clone(&site.world.store), Default::default());
    search::news(&*store, site.now.unix, account, &nothing).unwrap();
    site.wait_settled();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
    // Nothing else happens to the account.
    save_to(&*store, account, 1);
    search::news(&*store, site.now.unix, account, &nothing).unwrap();
    site.wait(limits::SUBSCRIPTIONS_INTERVAL);
    site.wait_settled();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
}

#[test]
fn what_was_taken_is_not_told_again_by_the_next_process() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.save_many(account, limits::NOTIFICATIONS_POSTED + 1);
    let first = site.begin_posts();
    for job in first {
        let done = job.run(&site.world);
        site.finish(done);
    }
    // The rest is on its way when the process dies.
    while let Some(job) = site.jobs.pop_front() {
        if !is_post(&job) {
            let done = job.run(&site.world);
            site.finish(done);
        }
    }
    assert_eq!(counts(&site.targets.take()), [(HOOK, 100)]);
    assert_eq!(site.untold(1), 1);
    site.restart();
    site.wait_settled();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
    site.restart();
    site.wait_settled();
    assert!(site.targets.take().is_empty());
}

#[test]
fn what_is_taken_while_the_process_stops_is_not_told_again() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.save(account);
    let posts = site.begin_posts();
    site.log_in();
    site.node.handle_stop(site.now);
    for job in posts {
        let done = job.run(&site.world);
        site.finish(done);
    }
    site.settle();
    assert_eq!(counts(&site.targets.take()), [(HOOK, 1)]);
    site.restart();
    site.wait_settled();
    assert!(site.targets.take().is_empty());
}

#[test]
fn four_hours_count_over_all_processes_and_missed_is_told_once_by_any() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.targets.answer(410);
    site.save(account);
    site.wait_settled();
    for _ in 0..4 {
        site.wait_long(limits::POST_RETRY_LIFE / 5);
        site.restart();
    }
    let heard = site.targets.take();
    assert!(heard.iter().all(|(url, _)| url == HOOK));
    site.wait_long(limits::POST_RETRY_LIFE / 5 + limits::POST_RETRY_LONGEST);
    let heard = site.targets.take();
    assert!(heard.iter().any(|(url, _)| url == LIFE));
    assert_eq!(site.untold(1), 1);
    site.restart();
    site.targets.answer(202);
    site.wait_settled();
    let heard = site.targets.take();
    assert_eq!(counts(&heard), [(LIFE, 1)]);
    assert_eq!(heard[0].1["value"][0]["lifecycleEvent"], "missed");
    site.restart();
    site.wait_long(limits::POST_RETRY_LIFE);
    assert!(site.targets.take().is_empty());
}

#[test]
fn changes_that_cancel_each_other_out_leave_the_record() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.targets.answer(503);
    site.save(account);
    site.wait_settled();
    site.save(account);
    site.wait_settled();
    assert_eq!(site.untold(1), 2);
    let inbox = MailboxRef::Name("INBOX".to_owned());
    let mailbox = site.world.store.status(account, &inbox).unwrap().mailbox;
    let second = rmail_proto::Uid::new(2).unwrap();
    let uids: rmail_proto::imap::UidSet = [second].into_iter().collect();
    let writes = vec![
        AccountWrite::StoreFlags {
            mailbox,
            uids: uids.clone(),
            mode: rmail_proto::imap::StoreMode::Add,
            flags: Flags {
                system: rmail_proto::SystemFlags::DELETED,
                ..Flags::default()
            },
            unchanged_since: None,
        },
        AccountWrite::Expunge {
            mailbox,
            uids: None,
        },
    ];
    let store = Arc::clone(&site.world.store);
    store.write_account(START, account, writes, &[]).unwrap();
    site.hear(&format!("account {}", account.0));
    site.wait_settled();
    assert_eq!(site.untold(1), 1);
}

#[test]
fn a_change_and_its_post_are_a_write_each_and_a_subscription_that_idles_is_none() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.wait_settled();
    let before = site.writes();
    site.wait_long(Duration::from_secs(600));
    assert_eq!(site.writes(), before);
    site.save(account);
    assert_eq!(site.writes(), before + 1);
    site.wait_settled();
    assert_eq!(site.writes(), before + 3);
    // A post that fails is none.
    site.targets.answer(503);
    site.save(account);
    site.wait_settled();
    site.wait(limits::POST_RETRY_FIRST);
    assert_eq!(site.writes(), before + 5);
}

#[test]
fn what_was_told_is_noted_later_where_the_database_is_busy() {
    let mut site = Site::new();
    let account = site.make_account();
    site.subscribe(account, 1);
    site.save(account);
    for job in site.begin_posts() {
        let done = job.run(&site.world);
        site.finish(done);
    }
    let Some(Job::Notify(NotifyJob::Keep(left, _))) = site.jobs.pop_front() else {
        panic!("what was told is noted");
    };
    let keys = left.into_iter().map(|(key, _)| key).collect();
    let busy = NotifyDone::Kept(keys, Err(StoreError::Busy));
    site.finish(Done::Notified(busy));
    assert!(site.jobs.is_empty());
    assert_eq!(site.untold(1), 1);
    site.wait_settled();
    assert_eq!(site.untold(1), 0);
}
