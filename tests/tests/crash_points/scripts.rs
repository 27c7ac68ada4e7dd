//! What is interrupted.

use rmail_proto::{SystemFlags, imap::StoreMode};
use rmail_store::{AccountUpdate, AccountWrite, DirectoryWrite};

use super::{
    actor::{Actor, Done, named},
    machine::Script,
};

fn make_both(actor: &mut Actor) {
    for name in ["ann", "bob"] {
        actor.make_account(name).expect("it is made");
    }
}

/// An account with mail of both sizes.
fn with_mail(actor: &mut Actor) {
    make_both(actor);
    actor
        .save("ann", "INBOX", &[1, 2, 3], false)
        .expect("it saves");
    actor.save("ann", "INBOX", &[4], true).expect("it saves");
    actor.save("ann", "Sent", &[5], true).expect("it saves");
}

fn spool() -> Script {
    Script::new("spool")
        .after(make_both)
        .step("accept a small message", |actor| actor.accept(1, false))
        .step("accept a large message", |actor| actor.accept(2, true))
        .unsynced_step("claim", Actor::claim)
        .step("deliver to ann", |actor| actor.deliver(0, "ann"))
        .unsynced_step("ann is done", |actor| actor.finish(0))
        .unsynced_step("hold", Actor::hold)
        .unsynced_step("claim again", Actor::claim)
        .step("accept a third message", |actor| actor.accept(3, false))
        .step("deliver to bob", |actor| actor.deliver(1, "bob"))
        .unsynced_step("bob is done", |actor| actor.finish(1))
}

/// Messages that ann sends, of which she keeps copies.
fn submissions() -> Script {
    Script::new("submissions")
        .after(|actor| {
            make_both(actor);
            for (number, is_large) in [(20, false), (30, true)] {
                let saved = actor.save("ann", "Drafts", &[number], is_large);
                saved.expect("it saves");
            }
        })
        .step("send a small message", |actor| actor.submit(1, false, None))
        .step("send a large message", |actor| actor.submit(2, true, None))
        .unsynced_step("claim", Actor::claim)
        .step("send a draft", |actor| actor.submit(21, false, Some(20)))
        .step("deliver to ann", |actor| actor.deliver(0, "ann"))
        .unsynced_step("ann is done", |actor| actor.finish(0))
        .step("send a large draft", |actor| {
            actor.submit(31, true, Some(30))
        })
        .step("deliver to bob", |actor| actor.deliver(1, "bob"))
        .unsynced_step("bob is done", |actor| actor.finish(1))
}

fn messages() -> Script {
    const DELETED: SystemFlags = SystemFlags::DELETED;
    let flag = |uids: &'static [u32], flags| {
        move |actor: &mut Actor| actor.flag("ann", "INBOX", uids, StoreMode::Add, flags)
    };
    Script::new("messages")
        .after(with_mail)
        .step("append", |actor| actor.save("ann", "INBOX", &[6], false))
        .unsynced_step("flag one", flag(&[1], SystemFlags::SEEN))
        .step("append two", |actor| {
            actor.save("ann", "INBOX", &[7, 8], true)
        })
        .unsynced_step("flag two", flag(&[2, 4], SystemFlags::FLAGGED))
        .step("copy", |actor| {
            actor.copy("ann", "INBOX", &[2, 4], "Archive")
        })
        .step("move", |actor| {
            actor.move_("ann", "INBOX", &[1, 7], "Trash")
        })
        .unsynced_step("mark as deleted", flag(&[2, 3, 4], DELETED))
        .step("expunge", |actor| actor.expunge("ann", "INBOX"))
        .unsynced_step("mark the copy as deleted", |actor| {
            actor.flag("ann", "Archive", &[2], StoreMode::Replace, DELETED)
        })
        .step("expunge the last copy", |actor| {
            actor.expunge("ann", "Archive")
        })
        .unsynced_step("flag another", flag(&[5], SystemFlags::ANSWERED))
}

fn create(actor: &Actor, name: &str) -> Done {
    let create = AccountWrite::CreateMailbox {
        name: name.to_owned(),
        special_use: None,
    };
    actor.write("ann", create).map(|_| ())
}

fn rename(actor: &Actor, from: &str, to: &str) -> Done {
    let rename = AccountWrite::RenameMailbox {
        mailbox: named(from),
        to: to.to_owned(),
    };
    actor.write("ann", rename).map(|_| ())
}

fn delete(actor: &Actor, name: &str) -> Done {
    let delete = AccountWrite::DeleteMailbox {
        mailbox: named(name),
    };
    actor.write("ann", delete).map(|_| ())
}

fn subscribe(actor: &Actor, name: &str, subscribed: bool) -> Done {
    let subscribe = AccountWrite::Subscribe {
        name: name.to_owned(),
        subscribed,
    };
    actor.write("ann", subscribe).map(|_| ())
}

fn mailboxes() -> Script {
    Script::new("mailboxes")
        .after(with_mail)
        .step("create", |actor| create(actor, "a/b/c"))
        .step("append there", |actor| {
            actor.save("ann", "a/b/c", &[6], true)
        })
        .step("subscribe", |actor| subscribe(actor, "a/b", true))
        .step("rename", |actor| rename(actor, "a/b", "d/e"))
        .step("unsubscribe", |actor| subscribe(actor, "a/b", false))
        .step("empty INBOX", |actor| rename(actor, "inbox", "Old"))
        .step("delete", |actor| delete(actor, "d/e/c"))
        .step("create again", |actor| create(actor, "d/e/c"))
        .step("append again", |actor| {
            actor.save("ann", "d/e/c", &[7], false)
        })
        .step("delete the first", |actor| delete(actor, "Sent"))
}

fn accounts() -> Script {
    Script::new("accounts")
        .step("make ann", |actor| actor.make_account("ann"))
        .step("make bob", |actor| actor.make_account("bob"))
        .step("bob has mail", |actor| {
            actor.save("bob", "INBOX", &[1], true)
        })
        .step("change ann", |actor| {
            let update = AccountUpdate {
                display_name: Some("Ann".to_owned()),
                ..AccountUpdate::default()
            };
            let account = actor.find("ann")?;
            actor
                .write_directory(DirectoryWrite::UpdateAccount { account, update })
                .map(|_| ())
        })
        .step("delete bob", |actor| actor.delete_account("bob"))
        .step("make bob again", |actor| actor.make_account("bob"))
        .step("bob has other mail", |actor| {
            actor.save("bob", "INBOX", &[2], false)
        })
}

fn aliases() -> Script {
    Script::new("aliases")
        .step("make ann", |actor| actor.make_account("ann"))
        .step("make a catch-all", |actor| actor.set_alias("*", &["ann"]))
        .step("make an alias", |actor| {
            actor.set_alias("team", &["ann", "bob", "carol"])
        })
        .step("change its targets", |actor| {
            actor.set_alias("team", &["dave", "ann"])
        })
        .step("remove the catch-all", |actor| actor.remove_alias("*"))
}

/// The log of an account grows until SQLite moves it into the database.
fn log() -> Script {
    let flag = |uids: &'static [u32]| {
        move |actor: &mut Actor| actor.flag("ann", "INBOX", uids, StoreMode::Add, SystemFlags::SEEN)
    };
    let save = |number| move |actor: &mut Actor| actor.save_inline("ann", "INBOX", number);
    let mut script = Script::new("log")
        .after(|actor| {
            make_both(actor);
            for number in 100..128 {
                actor.save_inline("ann", "INBOX", number).expect("it saves");
            }
        })
        .unsynced_step("flag", flag(&[1, 2]));
    for number in 200..206 {
        script = script.step("more mail", save(number));
    }
    script
        .unsynced_step("flag again", flag(&[3]))
        .step("yet more mail", save(300))
        .with_stride(13)
}

#[test]
fn accounts_survive_a_loss_of_power() {
    accounts().lose_power_at_each_point();
}

#[test]
fn accounts_survive_a_kill() {
    accounts().kill_at_each_point();
}

#[test]
fn accounts_survive_a_failure() {
    accounts().fail_at_each_point();
}

#[test]
fn accounts_survive_a_full_disk() {
    accounts().run_full_at_every_second_point();
}

#[test]
fn aliases_survive_a_loss_of_power() {
    aliases().lose_power_at_each_point();
}

#[test]
fn aliases_survive_a_kill() {
    aliases().kill_at_each_point();
}

#[test]
fn aliases_survive_a_failure() {
    aliases().fail_at_each_point();
}

#[test]
fn aliases_survive_a_full_disk() {
    aliases().run_full_at_every_second_point();
}

#[test]
fn log_survives_a_loss_of_power() {
    log().lose_power_at_each_point();
}

#[test]
fn log_survives_a_kill() {
    log().kill_at_each_point();
}

#[test]
fn log_survives_a_failure() {
    log().fail_at_each_point();
}

#[test]
fn log_survives_a_full_disk() {
    log().run_full_at_every_second_point();
}

#[test]
fn mailboxes_survive_a_loss_of_power() {
    mailboxes().lose_power_at_each_point();
}

#[test]
fn mailboxes_survive_a_kill() {
    mailboxes().kill_at_each_point();
}

#[test]
fn mailboxes_survive_a_failure() {
    mailboxes().fail_at_each_point();
}

#[test]
fn mailboxes_survive_a_full_disk() {
    mailboxes().run_full_at_every_second_point();
}

#[test]
fn messages_survive_a_loss_of_power() {
    messages().lose_power_at_each_point();
}

#[test]
fn messages_survive_a_kill() {
    messages().kill_at_each_point();
}

#[test]
fn messages_survive_a_failure() {
    messages().fail_at_each_point();
}

#[test]
fn messages_survive_a_full_disk() {
    messages().run_full_at_every_second_point();
}

#[test]
fn spool_survives_a_loss_of_power() {
    spool().lose_power_at_each_point();
}

#[test]
fn spool_survives_a_kill() {
    spool().kill_at_each_point();
}

#[test]
fn spool_survives_a_failure() {
    spool().fail_at_each_point();
}

#[test]
fn spool_survives_a_full_disk() {
    spool().run_full_at_every_second_point();
}

#[test]
fn submissions_survive_a_loss_of_power() {
    submissions().lose_power_at_each_point();
}

#[test]
fn submissions_survive_a_kill() {
    submissions().kill_at_each_point();
}

#[test]
fn submissions_survive_a_loss_of_power_at_the_start_after_a_kill() {
    submissions().kill_in_step_and_lose_power_at_the_start("send a draft");
}

#[test]
fn submissions_survive_a_failure() {
    submissions().fail_at_each_point();
}

#[test]
fn submissions_survive_a_full_disk() {
    submissions().run_full_at_every_second_point();
}

/// What a killed process has removed, the next one does not take for durable.
#[test]
fn removals_survive_a_loss_of_power_at_the_start_after_a_kill() {
    spool().kill_in_step_and_lose_power_at_the_start("bob is done");
    accounts().kill_in_step_and_lose_power_at_the_start("delete bob");
}
