//! What earlier versions have left is brought up to date, whatever comes between.
//!
//! An image is a `mail_root` as a version wrote it, below `images/`. Before a schema changes for
//! the first time after a release, `an_image_shows_what_was_written` leaves one in cargo's folder
//! for tests (`target/tmp/image`): it is copied to `images/`, and gets a line in [`IMAGES`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use rmail_store::Files;
use rmail_tests::{Disk, Mount};

use super::{
    actor::{Actor, text},
    machine::Script,
    picture::{self, Part, PartPicture, Picture},
};

/// The versions whose images there are.
const IMAGES: [&str; 1] = ["version_1"];

/// What each image holds.
fn fill(actor: &mut Actor) {
    for name in ["ann", "bob"] {
        actor.make_account(name).expect("it is made");
    }
    actor
        .save("ann", "INBOX", &[1, 2, 3], true)
        .expect("it saves");
    actor
        .copy("ann", "INBOX", &[1, 3], "Archive")
        .expect("it copies");
    actor.accept(4, false).expect("it is accepted");
    actor.accept(5, true).expect("it is accepted");
}

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("images")
        .join(version)
}

/// A disk with what lies in a folder of the real one.
fn disk_with(folder: &Path) -> Disk {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let target = mount.root().join("mail");
    copy_in(folder, mount.files().as_ref(), &target);
    disk
}

fn copy_in(folder: &Path, files: &dyn Files, target: &Path) {
    files.create_folder(target).expect("it is made");
    for entry in fs::read_dir(folder).expect("the image is there") {
        let path = entry.expect("it lists").path();
        let target = target.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy_in(&path, files, &target);
            continue;
        }
        let bytes = fs::read(&path).expect("it reads");
        let mut file = files.create(&target).expect("it is made");
        file.write_at(0, &bytes).expect("it is written");
    }
}

fn copy_out(files: &dyn Files, source: &Path, folder: &Path) {
    fs::create_dir_all(folder).expect("it is made");
    for path in files.list(source).expect("it lists") {
        let target = folder.join(path.file_name().expect("it has a name"));
        match files.open(&path) {
            Err(_) => copy_out(files, &path, &target),
            Ok(mut file) => {
                let mut bytes = vec![0; 1_000_000];
                let count = file.read_at(0, &mut bytes).expect("it reads");
                fs::write(&target, &bytes[..count]).expect("it is written");
            }
        }
    }
}

fn picture_of(disk: &Disk) -> Picture {
    let mount: Mount = disk.mount();
    let actor = Actor::start(&mount, 5).expect("it starts");
    picture::take(&actor.store, &mount)
}

fn script(version: &'static str) -> Script {
    Script::on(version, disk_with(&folder(version)))
        .step("append", |actor| actor.save("ann", "INBOX", &[6], false))
        .step("make carol", |actor| actor.make_account("carol"))
        .step("send", |actor| actor.submit(7, true, None))
}

#[test]
fn an_image_shows_what_was_written() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let mut actor = Actor::start(&mount, 3).expect("it starts");
    fill(&mut actor);
    drop(actor);
    picture::empty_logs(&mount);
    let image = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
    fs::remove_dir_all(&image).ok();
    copy_out(mount.files().as_ref(), &mount.root().join("mail"), &image);
    assert_eq!(picture_of(&disk_with(&image)), picture_of(&disk));
}

#[test]
fn what_an_earlier_version_wrote_is_all_there() {
    for version in IMAGES {
        let picture = picture_of(&disk_with(&folder(version)));
        let texts = |mailbox: &str| -> Vec<Vec<u8>> {
            let account = &picture[&Part::Account("ann".to_owned())];
            let mut mailboxes = account.mailboxes();
            let found = mailboxes.find(|(name, _)| *name == mailbox);
            let (_, found) = found.expect("there is such a mailbox");
            let texts = found.messages.iter();
            texts.map(|message| message.text.0.clone()).collect()
        };
        let sent = [text(1, false), text(2, false), text(3, true)];
        assert_eq!(texts("INBOX"), sent, "{version}");
        assert_eq!(
            texts("Archive"),
            [text(1, false), text(3, true)],
            "{version}"
        );
        let PartPicture::Lines(entries) = &picture[&Part::Spool] else {
            panic!("{version}");
        };
        assert_eq!(entries.len(), 2, "{version}");
    }
}

#[test]
fn an_upgrade_survives_a_loss_of_power() {
    for version in IMAGES {
        script(version).lose_power_at_each_point();
    }
}

#[test]
fn an_upgrade_survives_a_kill() {
    for version in IMAGES {
        script(version).kill_at_each_point();
    }
}

#[test]
fn an_upgrade_survives_a_failure() {
    for version in IMAGES {
        script(version).fail_at_each_point();
    }
}
