//! Messages that do not fit in memory.

use std::{path::PathBuf, sync::Arc};

use rmail_proto::{AccountId, imap::Columns, mime::Summary};
use rmail_store::{AccountWrite, Content, SqliteStore, StageId, Store, StoreError, limits};

use crate::world::{
    ChangedFiles, NOW, World, delete_messages, id_of, make_account, message, named, uid, uid_set,
    uids_in, write,
};

const CHUNK_BYTES: usize = 64 * 1024;

/// The chunk with this number; no two are alike.
fn chunk(number: usize) -> Vec<u8> {
    (0..CHUNK_BYTES)
        .map(|index| (index * 31 + number * 7) as u8)
        .collect()
}

fn upload(store: &SqliteStore, chunks: usize) -> StageId {
    let stage = store.stage().expect("there is room");
    for number in 0..chunks {
        store
            .stage_append(stage, &chunk(number))
            .expect("it is written");
    }
    store.stage_finish(stage).expect("it is synced");
    stage
}

fn save_staged(store: &SqliteStore, account: AccountId, stage: StageId, chunks: usize) {
    let mut large = message("");
    large.content = Content::Staged(stage);
    large.summary = Arc::new(Summary {
        size_bytes: (chunks * CHUNK_BYTES) as u64,
        header_bytes: 100,
        ..Summary::default()
    });
    let save = AccountWrite::Save {
        mailbox: named("INBOX"),
        messages: vec![large],
    };
    write(store, account, save).expect("it is saved");
}

fn files_below(folder: PathBuf) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.expect("it lists").path());
    paths
        .map(|path| if path.is_dir() { files_below(path) } else { 1 })
        .sum()
}

#[test]
fn a_large_message_streams_in_and_out_chunk_by_chunk() {
    let (store, world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    let chunks = 48;
    let stage = upload(&store, chunks);
    save_staged(&store, account, stage, chunks);
    store.stage_drop(stage);
    assert_eq!(files_below(world.account_folder("ann").join("messages")), 1);
    assert_eq!(files_below(world.root().join("spool")), 0);
    let inbox = id_of(&store, account, "INBOX");
    for number in 0..chunks {
        let offset = (number * CHUNK_BYTES) as u64;
        let read = store.read(account, inbox, uid(1), offset, CHUNK_BYTES);
        assert_eq!(read.expect("it reads").expect("it is there"), chunk(number));
    }
    let end = store.read(account, inbox, uid(1), (chunks * CHUNK_BYTES) as u64, 1);
    assert_eq!(end.expect("it reads").map(|bytes| bytes.len()), Some(0));
}

#[test]
fn the_header_of_a_large_message_comes_without_its_content() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    let stage = upload(&store, 4);
    save_staged(&store, account, stage, 4);
    let inbox = id_of(&store, account, "INBOX");
    let columns = Columns {
        header: true,
        content: true,
        ..Columns::default()
    };
    let read = store.messages(account, inbox, &[uid(1)], columns, 1_000);
    let (messages, _) = read.expect("it reads");
    assert_eq!(messages[0].header, chunk(0)[..100]);
    assert_eq!(messages[0].content, None);
    let read = store.messages(account, inbox, &[uid(1)], columns, 10_000_000);
    let (messages, _) = read.expect("it reads");
    let content = messages[0].content.as_ref().expect("it fits");
    assert_eq!(content.len(), 4 * CHUNK_BYTES);
}

#[test]
fn a_file_lives_as_long_as_its_last_copy() {
    let (store, world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    let stage = upload(&store, 4);
    save_staged(&store, account, stage, 4);
    let copy = AccountWrite::Copy {
        source: id_of(&store, account, "INBOX"),
        uids: uid_set(&[1]),
        target: named("Sent"),
    };
    write(&store, account, copy).expect("it copies");
    let files = || files_below(world.account_folder("ann").join("messages"));
    assert_eq!(files(), 1);
    delete_messages(&store, account, "INBOX", &[1]);
    assert_eq!(files(), 1);
    let delete = AccountWrite::DeleteMailbox {
        mailbox: named("Sent"),
    };
    write(&store, account, delete).expect("it is deleted");
    assert_eq!(files(), 0);
}

#[test]
fn a_full_disk_refuses_the_whole_batch_and_is_tried_again() {
    let world = World::new();
    let files = ChangedFiles::after_reboot();
    let store = world.open_with(files.clone());
    let account = make_account(&store, "ann@example.com");
    assert!(uids_in(&store, account, "INBOX").is_empty());
    let stage = upload(&store, 4);
    let mut large = message("");
    large.content = Content::Staged(stage);
    let save = |message| AccountWrite::Save {
        mailbox: named("INBOX"),
        messages: vec![message],
    };
    let batch = vec![save(message("small")), save(large)];
    files.fill(true);
    assert_eq!(store.stage(), Err(StoreError::Full));
    let refused = store.write_account(NOW, account, batch.clone(), &[]);
    assert_eq!(refused.err(), Some(StoreError::Full));
    assert!(uids_in(&store, account, "INBOX").is_empty());
    files.fill(false);
    let written = store
        .write_account(NOW, account, batch, &[])
        .expect("there is room");
    assert!(written.results.iter().all(Result::is_ok));
    assert_eq!(uids_in(&store, account, "INBOX"), [1, 2]);
}

#[test]
fn a_small_staged_message_is_kept_in_the_database() {
    let (store, world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    let chunks = limits::INLINE_BYTES / CHUNK_BYTES;
    let stage = upload(&store, chunks);
    save_staged(&store, account, stage, chunks);
    assert_eq!(files_below(world.account_folder("ann").join("messages")), 0);
    assert_eq!(uids_in(&store, account, "INBOX"), [1]);
}

#[test]
fn an_upload_that_is_not_finished_or_was_dropped_is_none() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    let save = |stage| {
        let mut large = message("");
        large.content = Content::Staged(stage);
        let save = AccountWrite::Save {
            mailbox: named("INBOX"),
            messages: vec![large],
        };
        write(&store, account, save)
    };
    let stage = store.stage().expect("there is room");
    assert_eq!(save(stage), Err(StoreError::NoSuchUpload));
    store.stage_finish(stage).expect("it is synced");
    assert_eq!(
        store.stage_append(stage, b"late"),
        Err(StoreError::NoSuchUpload)
    );
    store.stage_drop(stage);
    assert_eq!(save(stage), Err(StoreError::NoSuchUpload));
}

#[test]
fn uploads_at_one_time_are_bounded() {
    let (store, world) = World::new_store();
    let stages: Vec<StageId> = (0..limits::STAGES_MAX)
        .map(|_| store.stage().expect("there is room"))
        .collect();
    assert_eq!(store.stage(), Err(StoreError::TooMany("uploads")));
    for stage in stages {
        store.stage_drop(stage);
    }
    assert_eq!(files_below(world.root().join("spool/tmp")), 0);
}

#[test]
fn a_file_that_no_message_names_is_swept_up_after_a_reboot() {
    let world = World::new();
    let store = world.open();
    let account = make_account(&store, "ann@example.com");
    let stage = upload(&store, 4);
    save_staged(&store, account, stage, 4);
    drop(store);
    let folder = world.account_folder("ann").join("messages/ff");
    std::fs::create_dir_all(&folder).expect("it is made");
    let orphan = folder.join(format!("{:032x}.eml", 0xff));
    std::fs::write(&orphan, b"nobody's").expect("it is written");
    let store = world.open_with(ChangedFiles::after_reboot());
    assert_eq!(uids_in(&store, account, "INBOX"), [1]);
    assert!(!orphan.exists());
    assert_eq!(files_below(world.account_folder("ann").join("messages")), 1);
}
