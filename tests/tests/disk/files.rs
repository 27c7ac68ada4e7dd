//! Message files: what is there after a loss of power, a failed sync, on a full disk.

use std::{io::ErrorKind, path::Path};

use rmail_store::Files;
use rmail_tests::{Disk, DiskFaults, OperationFault};

/// So many disks are tried where chance decides.
const SEEDS: u64 = 64;

fn write(files: &dyn Files, path: &Path, bytes: &[u8]) {
    let mut file = files.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
}

fn write_durably(files: &dyn Files, path: &Path, bytes: &[u8]) {
    let mut file = files.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync().unwrap();
    files.sync_folder(path.parent().unwrap()).unwrap();
}

fn read(files: &dyn Files, path: &Path) -> Option<Vec<u8>> {
    let mut file = files.open(path).ok()?;
    let mut bytes = vec![0; 100_000];
    let count = file.read_at(0, &mut bytes).unwrap();
    bytes.truncate(count);
    Some(bytes)
}

/// The outcomes of a loss of power over many seeds: `before` runs, `after` looks.
fn outcomes<T: Ord>(
    before: impl Fn(&dyn Files, &Path),
    after: impl Fn(&dyn Files, &Path) -> T,
) -> Vec<T> {
    let mut outcomes = Vec::new();
    for seed in 0..SEEDS {
        let disk = Disk::new(seed);
        let mount = disk.mount();
        before(mount.files().as_ref(), mount.root());
        disk.lose_power();
        let mount = disk.mount();
        outcomes.push(after(mount.files().as_ref(), mount.root()));
    }
    outcomes.sort();
    outcomes.dedup();
    outcomes
}

#[test]
fn what_is_synced_with_its_folder_survives() {
    let contents = outcomes(
        |files, root| {
            files.create_folder(&root.join("a/b")).unwrap();
            write_durably(files, &root.join("a/b/one"), b"one");
        },
        |files, root| read(files, &root.join("a/b/one")),
    );
    assert_eq!(contents, [Some(b"one".to_vec())]);
}

#[test]
fn a_file_whose_folder_was_not_synced_may_vanish() {
    let contents = outcomes(
        |files, root| {
            let mut file = files.create(&root.join("one")).unwrap();
            file.write_at(0, b"one").unwrap();
            file.sync().unwrap();
        },
        |files, root| read(files, &root.join("one")),
    );
    assert_eq!(contents, [None, Some(b"one".to_vec())]);
}

#[test]
fn what_was_not_synced_survives_in_part_and_nothing_else_changes() {
    let old = vec![1; 20_000];
    let contents = outcomes(
        |files, root| {
            let path = root.join("one");
            let mut file = files.create(&path).unwrap();
            file.write_at(0, &old).unwrap();
            file.sync().unwrap();
            files.sync_folder(root).unwrap();
            file.write_at(3_000, &[2; 10_000]).unwrap();
        },
        |files, root| read(files, &root.join("one")).unwrap(),
    );
    assert!(contents.len() > 5, "{}", contents.len());
    let is_torn = |bytes: &Vec<u8>| bytes[3_000] == 2 && bytes[12_999] == 1;
    assert!(contents.iter().any(is_torn));
    for bytes in contents {
        assert_eq!(bytes.len(), old.len());
        assert!(bytes[..3_000].iter().all(|&byte| byte == 1));
        assert!(bytes[13_000..].iter().all(|&byte| byte == 1));
    }
}

#[test]
fn a_file_may_be_longer_without_what_was_written() {
    let contents = outcomes(
        |files, root| {
            write_durably(files, &root.join("one"), b"");
            let mut lock = files.try_lock(&root.join("one")).unwrap().unwrap();
            lock.write_at(0, &[2; 5_000]).unwrap();
        },
        |files, root| read(files, &root.join("one")).unwrap(),
    );
    let lengths: Vec<usize> = contents.iter().map(Vec::len).collect();
    assert!(lengths.contains(&0) && lengths.contains(&5_000));
    assert!(contents.contains(&vec![0; 5_000]));
    assert!(contents.contains(&vec![2; 5_000]));
}

#[test]
fn a_rename_survives_whole_or_not_at_all_until_its_folder_is_synced() {
    let rename = |is_synced: bool| {
        outcomes(
            |files, root| {
                write_durably(files, &root.join("old"), b"old");
                write_durably(files, &root.join("new"), b"new");
                files.rename(&root.join("new"), &root.join("old")).unwrap();
                if is_synced {
                    files.sync_folder(root).unwrap();
                }
            },
            |files, root| {
                let text = |name: &str| {
                    let bytes = read(files, &root.join(name))?;
                    Some(String::from_utf8(bytes).unwrap())
                };
                (text("old"), text("new"))
            },
        )
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rename(true), [(text("new"), None)]);
    assert_eq!(
        rename(false),
        [(text("new"), None), (text("old"), text("new"))]
    );
}

#[test]
fn a_folder_that_is_moved_is_in_one_place() {
    let places = outcomes(
        |files, root| {
            files.create_folder(&root.join("a/b")).unwrap();
            files.create_folder(&root.join("trash")).unwrap();
            write_durably(files, &root.join("a/b/one"), b"one");
            files
                .rename(&root.join("a/b"), &root.join("trash/b"))
                .unwrap();
        },
        |files, root| {
            ["a/b/one", "trash/b/one"].map(|path| read(files, &root.join(path)).is_some())
        },
    );
    assert_eq!(places, [[false, true], [true, false]]);
}

#[test]
fn unsynced_names_survive_in_any_order() {
    let kept = outcomes(
        |files, root| {
            for name in ["one", "two"] {
                let mut file = files.create(&root.join(name)).unwrap();
                file.write_at(0, b"x").unwrap();
                file.sync().unwrap();
            }
        },
        |files, root| ["one", "two"].map(|name| files.open(&root.join(name)).is_ok()),
    );
    assert_eq!(kept.len(), 4, "{kept:?}");
}

#[test]
fn a_link_is_the_same_file_and_keeps_it_when_the_first_name_goes() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let (files, root) = (mount.files(), mount.root());
    write_durably(files.as_ref(), &root.join("one"), b"one");
    files.link(&root.join("one"), &root.join("two")).unwrap();
    let again = files.link(&root.join("one"), &root.join("two"));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    files.sync_folder(root).unwrap();
    files.remove(&root.join("one")).unwrap();
    files.sync_folder(root).unwrap();
    disk.lose_power();
    let mount = disk.mount();
    let files = mount.files();
    assert_eq!(read(files.as_ref(), &mount.root().join("one")), None);
    assert_eq!(
        read(files.as_ref(), &mount.root().join("two")),
        Some(b"one".to_vec())
    );
}

#[test]
fn a_failed_sync_is_not_made_good_by_a_later_one() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = Disk::new(seed);
        let mount = disk.mount();
        let path = mount.root().join("one");
        let files = mount.files();
        write(files.as_ref(), &path, b"");
        files.sync_folder(mount.root()).unwrap();
        let mut file = files.try_lock(&path).unwrap().unwrap();
        file.write_at(0, b"one").unwrap();
        disk.fail_operation(disk.operations() + 1, OperationFault::Failed);
        file.sync().unwrap_err();
        file.sync().unwrap();
        assert_eq!(read(files.as_ref(), &path), Some(b"one".to_vec()));
        disk.lose_power();
        let mount = disk.mount();
        let found = read(mount.files().as_ref(), &mount.root().join("one"));
        lost += u64::from(found != Some(b"one".to_vec()));
    }
    assert!(lost > SEEDS / 4 && lost < SEEDS, "{lost}");
}

#[test]
fn each_handle_is_told_of_a_failed_sync() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let path = mount.root().join("one");
    let files = mount.files();
    write(files.as_ref(), &path, b"one");
    let mut handles = [files.open(&path).unwrap(), files.open(&path).unwrap()];
    disk.fail_operation(disk.operations() + 1, OperationFault::Failed);
    for handle in &mut handles {
        handle.sync().unwrap_err();
        handle.sync().unwrap();
    }
    files.open(&path).unwrap().sync().unwrap();
}

#[test]
fn a_full_disk_refuses_what_needs_room_and_nothing_else() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let (files, root) = (mount.files(), mount.root());
    write(files.as_ref(), &root.join("one"), &[1; 6_000]);
    disk.set_faults(DiskFaults {
        capacity_bytes: Some(10_000),
        ..DiskFaults::default()
    });
    let mut file = files.create(&root.join("two")).unwrap();
    let full = file.write_at(0, &[2; 5_000]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.stats().refusals, 1);
    assert_eq!(read(files.as_ref(), &root.join("two")), Some(Vec::new()));
    file.write_at(0, &[2; 4_000]).unwrap();
    file.write_at(0, &[3; 4_000]).unwrap();
    file.sync().unwrap();
    let full = files.create(&root.join("three")).err().unwrap();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    files.rename(&root.join("two"), &root.join("four")).unwrap();
    files.remove(&root.join("one")).unwrap();
    files.create(&root.join("three")).unwrap();
    assert_eq!(disk.used_bytes(), 4_000);
}

#[test]
fn what_is_removed_leaves_its_room_once_nobody_has_it_open() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let (files, root) = (mount.files(), mount.root());
    write_durably(files.as_ref(), &root.join("one"), &[1; 6_000]);
    let mut open = files.open(&root.join("one")).unwrap();
    files.remove(&root.join("one")).unwrap();
    files.sync_folder(root).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(open.read_at(5_995, &mut buffer).unwrap(), 5);
    assert_eq!(disk.used_bytes(), 6_000);
    drop(open);
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn folders_behave_as_folders() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let (files, root) = (mount.files(), mount.root());
    files.create_folder(root).unwrap();
    files.create_folder(&root.join("a/b")).unwrap();
    files.create_folder(&root.join("a/b")).unwrap();
    write(files.as_ref(), &root.join("a/b/two"), b"");
    write(files.as_ref(), &root.join("a/b/one"), b"");
    let listed = files.list(&root.join("a/b")).unwrap();
    assert_eq!(listed, [root.join("a/b/one"), root.join("a/b/two")]);
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(
        kind(files.remove(&root.join("a/b"))),
        ErrorKind::IsADirectory
    );
    assert_eq!(kind(files.remove(&root.join("a/c"))), ErrorKind::NotFound);
    let missing = files.create(&root.join("x/one")).err().unwrap();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let below_file = files.create_folder(&root.join("a/b/one/c"));
    assert_eq!(kind(below_file), ErrorKind::NotADirectory);
    files.remove_folder(&root.join("a")).unwrap();
    assert_eq!(files.list(root).unwrap(), Vec::<std::path::PathBuf>::new());
    let elsewhere = files.list(Path::new("/elsewhere")).unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::NotFound);
}

#[test]
fn faults_come_as_often_as_they_are_wanted_and_from_the_seed() {
    let run = |seed| {
        let disk = Disk::new(seed);
        let mount = disk.mount();
        let files = mount.files();
        let mut file = files.create(&mount.root().join("one")).unwrap();
        file.write_at(0, b"x").unwrap();
        disk.set_faults(DiskFaults {
            read_errors: 0.1,
            write_errors: 0.2,
            sync_errors: 0.3,
            capacity_bytes: None,
        });
        let mut failed = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..1_000 {
            let results = [
                file.read_at(0, &mut [0]).map(|_| ()),
                file.write_at(0, b"y"),
                file.sync(),
            ];
            for (failed, result) in failed.iter_mut().zip(results) {
                if result.is_err() {
                    failed.push(round);
                }
            }
        }
        failed
    };
    let failed = run(1);
    for (failed, expected) in failed.iter().zip([100_usize, 200, 300]) {
        assert!(failed.len().abs_diff(expected) < 50, "{}", failed.len());
    }
    assert_eq!(failed, run(1));
    assert_ne!(failed, run(2));
}
