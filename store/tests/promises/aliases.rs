//! Aliases: who an address belongs to, and what can't be.

use rmail_proto::{Address, Entropy};
use rmail_store::{
    AccountUpdate, Addressee, Alias, AliasFilter, AliasWrite, DirectoryWrite, SqliteStore, Store,
    StoreError, limits,
};
use rusqlite::Connection;

use crate::world::{World, address, make_account, try_make_account, write_directory};

fn alias(name: &str, targets: &str) -> Alias {
    let targets = targets.split(' ').map(|target| address(&full(target)));
    Alias::new(&address(&full(name)), targets.collect())
}

/// A name without a domain is one of example.com.
fn full(name: &str) -> String {
    match name.contains('@') {
        true => name.to_owned(),
        false => format!("{name}@example.com"),
    }
}

fn write(store: &dyn Store, write: AliasWrite) -> Result<(), StoreError> {
    let results = store.write_aliases(vec![write]).expect("it writes");
    results
        .into_iter()
        .next()
        .expect("one result per operation")
}

fn create(store: &dyn Store, name: &str, targets: &str) -> Result<(), StoreError> {
    write(store, AliasWrite::Create(alias(name, targets)))
}

fn set_targets(store: &dyn Store, name: &str, targets: &str) -> Result<(), StoreError> {
    let Alias {
        address, targets, ..
    } = alias(name, targets);
    let update = AliasWrite::Update {
        address,
        targets: Some(targets),
        is_enabled: None,
    };
    write(store, update)
}

fn enable(store: &dyn Store, name: &str, is_enabled: bool) -> Result<(), StoreError> {
    let update = AliasWrite::Update {
        address: address(&full(name)),
        targets: None,
        is_enabled: Some(is_enabled),
    };
    write(store, update)
}

fn delete(store: &dyn Store, name: &str) -> Result<(), StoreError> {
    write(store, AliasWrite::Delete(address(&full(name))))
}

/// `account ann`, `alias sales-*` or `nobody`.
fn owner(store: &dyn Store, name: &str) -> String {
    match store.addressee(&address(&full(name))).expect("it reads") {
        None => "nobody".to_owned(),
        Some(Addressee::Account(account)) => format!("account {}", account.address.local_part()),
        Some(Addressee::Alias(alias)) => format!("alias {}", alias.address.local_part()),
    }
}

fn listed(store: &dyn Store, filter: &AliasFilter) -> Vec<String> {
    let aliases = store.aliases(filter).expect("it reads").into_iter();
    aliases.map(|alias| alias.address.to_string()).collect()
}

fn pointing_at(store: &dyn Store, target: &str) -> Vec<String> {
    let filter = AliasFilter {
        domain: None,
        target: Some(address(&full(target))),
    };
    listed(store, &filter)
}

#[test]
fn exact_comes_before_a_pattern_and_a_pattern_before_the_catch_all() {
    let (store, _world) = World::new_store();
    for account in ["ann", "sales-ann"] {
        make_account(&store, &full(account));
    }
    for name in [
        "*",
        "sales-*",
        "sales-?",
        "sales-eu-*",
        "Sales",
        "sales+vip",
    ] {
        create(&store, name, "ann").expect("it is new");
    }
    for (name, expected) in [
        ("ann", "account ann"),
        ("ANN", "account ann"),
        ("sales-ann", "account sales-ann"),
        ("sales", "alias sales"),
        ("sales-eu-1", "alias sales-eu-*"),
        ("sales-1", "alias sales-?"),
        ("Sales-12", "alias sales-*"),
        ("anybody", "alias *"),
        ("anybody@example.net", "nobody"),
        // Subaddresses are their users'.
        ("ann+tag", "account ann"),
        ("sales-ann+tag", "account sales-ann"),
        ("sales+vip", "alias sales+vip"),
        ("sales+other", "alias sales"),
        ("sales-1+tag", "alias sales-*"),
    ] {
        assert_eq!(owner(&store, name), expected, "{name}");
    }
}

#[test]
fn who_an_address_belongs_to_is_what_a_naive_model_says() {
    let (store, _world) = World::new_store();
    make_account(&store, "z@example.com");
    let mut entropy = Entropy::new(7);
    let mut text = |letters: &[u8]| {
        let count = 1 + entropy.next_u64() % 4;
        let letters = (0..count).map(|_| letters[entropy.next_u64() as usize % letters.len()]);
        letters.map(char::from).collect::<String>()
    };
    let mut names = Vec::new();
    for _ in 0..60 {
        let name = text(b"ab*?");
        if create(&store, &name, "z").is_ok() {
            names.push(alias(&name, "z").address.local_part().to_owned());
        }
    }
    assert!(names.len() > 20, "{names:?}");
    for _ in 0..300 {
        let name = text(b"ab");
        assert_eq!(
            owner(&store, &name),
            modelled(&names, &name),
            "{name} of {names:?}"
        );
    }
}

fn modelled(names: &[String], name: &str) -> String {
    fn takes(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], text) => {
                takes(rest, text) || !text.is_empty() && takes(pattern, &text[1..])
            }
            ([b'?', rest @ ..], [_, text @ ..]) => takes(rest, text),
            ([a, rest @ ..], [b, text @ ..]) => a == b && takes(rest, text),
            _ => false,
        }
    }
    let count = |name: &str, letters: &[char]| name.matches(letters).count();
    let mut taking: Vec<&String> = names
        .iter()
        .filter(|pattern| takes(pattern.as_bytes(), name.as_bytes()))
        .collect();
    taking.sort_by_key(|pattern| {
        let is_pattern = count(pattern, &['*', '?']) > 0;
        let (literal, single) = (count(pattern, &['a', 'b']), count(pattern, &['?']));
        (
            is_pattern,
            usize::MAX - literal,
            usize::MAX - single,
            *pattern,
        )
    });
    taking
        .first()
        .map_or("nobody".to_owned(), |first| format!("alias {first}"))
}

#[test]
fn an_address_is_an_accounts_or_an_aliass_and_has_one_spelling() {
    let (store, _world) = World::new_store();
    make_account(&store, "ann@example.com");
    assert_eq!(create(&store, "Ann", "bob"), Err(StoreError::AddressTaken));
    create(&store, "Info", "ann").expect("it is new");
    assert_eq!(create(&store, "INFO", "ann"), Err(StoreError::AddressTaken));
    assert_eq!(
        try_make_account(&store, "info@example.com"),
        Err(StoreError::AddressTaken)
    );
    create(&store, "a*?*b", "ann").expect("it is new");
    assert_eq!(create(&store, "a?*b", "ann"), Err(StoreError::AddressTaken));
    let found = store
        .alias(&address("A**?b@example.com"))
        .expect("it reads");
    let found = found.expect("that is another spelling of it");
    assert_eq!(found.address, address("a?*b@example.com"));
    create(&store, "ann@example.net", "ann Ann ANN@example.com").expect("it is elsewhere");
    let found = store.alias(&address("ann@example.net")).expect("it reads");
    assert_eq!(found.expect("it is there").targets.len(), 1, "each once");
}

#[test]
fn loops_are_found_when_they_are_made_and_nothing_has_happened_then() {
    let (store, _world) = World::new_store();
    make_account(&store, "ann@example.com");
    let loops = |result: Result<(), StoreError>, by: &str| {
        assert_eq!(result, Err(StoreError::AliasLoop(address(&full(by)))));
    };
    loops(create(&store, "a", "a"), "a");
    loops(create(&store, "sales-*", "ann sales-1"), "sales-1");
    loops(create(&store, "*", "nobody"), "nobody");
    create(&store, "a", "ann b").expect("b is nobody yet");
    create(&store, "b", "c@example.net ann").expect("it ends");
    loops(create(&store, "c", "b c"), "c");
    loops(set_targets(&store, "b", "d a"), "b");
    // A pattern that would take what another alias leads to.
    create(&store, "x", "y-1").expect("y-1 is nobody yet");
    loops(create(&store, "y-*", "x"), "y-1");
    // Through one that is disabled.
    enable(&store, "a", false).expect("it is there");
    loops(set_targets(&store, "b", "a"), "b");
    assert_eq!(listed(&store, &AliasFilter::default()).len(), 3);
    let b = store.alias(&address("b@example.com")).expect("it reads");
    assert_eq!(
        b.expect("it is there").targets,
        alias("b", "c@example.net ann").targets
    );
    // The catch-all leads to an account: no loop.
    create(&store, "*", "ann").expect("it ends");
}

#[test]
fn a_loop_that_a_removal_has_left_can_be_disabled_and_removed_and_not_enabled() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    create(&store, "*", "ann").expect("it is new");
    write_directory(&store, DirectoryWrite::DeleteAccount(account)).expect("she is there");
    assert_eq!(
        owner(&store, "ann"),
        "alias *",
        "the catch-all leads to itself"
    );
    enable(&store, "*", false).expect("it is there");
    let error = enable(&store, "*", true);
    assert_eq!(
        error,
        Err(StoreError::AliasLoop(address("ann@example.com")))
    );
    delete(&store, "*").expect("it is there");
    assert_eq!(owner(&store, "ann"), "nobody");
}

#[test]
fn disabled_aliases_keep_their_addresses_and_their_targets() {
    let (store, _world) = World::new_store();
    make_account(&store, "ann@example.com");
    create(&store, "sales", "ann").expect("it is new");
    create(&store, "*", "ann").expect("it is new");
    enable(&store, "SALES", false).expect("it is there");
    assert_eq!(
        owner(&store, "sales"),
        "alias sales",
        "the catch-all does not get it"
    );
    let found = store
        .alias(&address("sales@example.com"))
        .expect("it reads");
    let found = found.expect("it is there");
    assert!(!found.is_enabled);
    assert_eq!(found.targets, [address("ann@example.com")]);
    enable(&store, "sales", true).expect("it is there");
    for result in [
        enable(&store, "nobody", true),
        set_targets(&store, "nobody", "ann"),
        delete(&store, "nobody"),
    ] {
        assert_eq!(result, Err(StoreError::NoSuchAlias));
    }
}

#[test]
fn aliases_are_listed_by_domain_and_by_target() {
    let (store, _world) = World::new_store();
    make_account(&store, "ann@example.com");
    create(&store, "team", "Ann bob@Example.net").expect("it is new");
    create(&store, "all", "team ann+lists").expect("it is new");
    create(&store, "info@example.net", "Bob@example.net").expect("it is new");
    let domain = rmail_proto::Domain::parse("example.com").expect("it is one");
    let filter = AliasFilter {
        domain: Some(domain),
        target: None,
    };
    assert_eq!(
        listed(&store, &filter),
        ["all@example.com", "team@example.com"]
    );
    assert_eq!(listed(&store, &AliasFilter::default()).len(), 3);
    assert_eq!(
        pointing_at(&store, "ann"),
        ["all@example.com", "team@example.com"]
    );
    assert_eq!(pointing_at(&store, "ann+lists"), ["all@example.com"]);
    assert_eq!(pointing_at(&store, "te*"), ["all@example.com"]);
    assert_eq!(
        pointing_at(&store, "bob@example.net"),
        ["team@example.com", "info@example.net"]
    );
    delete(&store, "team").expect("it is there");
    assert_eq!(pointing_at(&store, "bob@example.net"), ["info@example.net"]);
}

#[test]
fn the_last_that_fits_is_taken_and_one_more_is_not() {
    let (store, _world) = World::new_store();
    let many = |count: usize| {
        let targets = (0..count).map(|n| format!("t{n}@example.net"));
        targets.collect::<Vec<_>>().join(" ")
    };
    create(&store, "list", &many(limits::ALIAS_TARGETS)).expect("it fits");
    assert!(matches!(
        create(&store, "more", &many(limits::ALIAS_TARGETS + 1)),
        Err(StoreError::TooMany(_))
    ));
    for number in 1..=limits::ALIAS_DEPTH {
        let to = format!("n{}", number - 1);
        create(&store, &format!("n{number}"), &to).expect("it is not too deep");
    }
    let deepest = format!("n{}", limits::ALIAS_DEPTH);
    let error = create(&store, "deeper", &deepest);
    assert!(matches!(error, Err(StoreError::TooMany(_))), "{error:?}");
    let patterns = (0..limits::ALIAS_PATTERNS)
        .map(|n| AliasWrite::Create(alias(&format!("p{n}-*"), "x@example.net")));
    let results = store.write_aliases(patterns.collect()).expect("it writes");
    assert!(results.iter().all(Result::is_ok));
    let error = create(&store, "one-more-*", "x@example.net");
    assert!(matches!(error, Err(StoreError::TooMany(_))), "{error:?}");
    create(&store, "*@example.net", "x@example.org").expect("another domain has its own");
}

#[test]
fn a_change_of_the_aliases_is_seen_by_others_and_is_one_of_the_directory() {
    let world = World::new();
    let (one, two) = (world.open(), world.open());
    make_account(&one, "ann@example.com");
    let version = two.directory_version().expect("it reads");
    two.look_at_peers().expect("it looks");
    create(&one, "info", "ann").expect("it is new");
    assert!(two.look_at_peers().expect("it looks").changed);
    assert!(two.directory_version().expect("it reads") > version);
    assert_eq!(owner(&two, "info"), "alias info");
    assert_eq!(create(&two, "info", "ann"), Err(StoreError::AddressTaken));
    delete(&two, "info").expect("it is there");
    assert_eq!(owner(&one, "info"), "nobody");
    let version = two.directory_version().expect("it reads");
    delete(&two, "info").expect_err("it is gone");
    assert_eq!(
        two.directory_version().expect("it reads"),
        version,
        "nothing changed"
    );
}

#[test]
fn an_alias_outlives_the_accounts_that_it_leads_to() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    create(&store, "info", "ann").expect("it is new");
    write_directory(&store, DirectoryWrite::DeleteAccount(account)).expect("it is there");
    assert_eq!(pointing_at(&store, "ann"), ["info@example.com"]);
    assert_eq!(owner(&store, "ann"), "nobody");
    make_account(&store, "ann@example.com");
    assert_eq!(owner(&store, "ann"), "account ann");
}

#[test]
fn a_directory_of_schema_1_is_brought_up_to_date() {
    let world = World::new();
    std::fs::create_dir_all(world.root()).expect("it is made");
    let old = Connection::open(world.root().join("directory.db")).expect("it opens");
    old.execute_batch(include_str!("../../src/sqlite/schema/directory_1.sql"))
        .expect("that is the schema");
    old.execute_batch(
        "INSERT INTO accounts VALUES (7, 'ann', 'example.com', \
         x'00000000000000000000000000000001', 'secret', 3, 1, 1, 'Ann', 9, 5, 0, 0, 0); \
         UPDATE meta SET version = 41; PRAGMA user_version = 1;",
    )
    .expect("that fits the schema");
    drop(old);
    let store: SqliteStore = world.open();
    let ann = store.account_by_address(&address("ann@example.com"));
    let ann = ann.expect("it reads").expect("she is there");
    assert_eq!((ann.id.0, ann.generation, ann.quota_bytes), (7, 3, 9));
    assert_eq!(store.directory_version(), Ok(41));
    assert!(listed(&store, &AliasFilter::default()).is_empty());
    create(&store, "info", "ann").expect("it is new");
    let update = AccountUpdate::default();
    let account = ann.id;
    write_directory(&store, DirectoryWrite::UpdateAccount { account, update })
        .expect("she is there");
    let again = world.open();
    assert_eq!(owner(&again, "info"), "alias info");
    let found: Option<Address> = again
        .alias(&address("info@example.com"))
        .expect("it reads")
        .map(|alias| alias.targets[0].clone());
    assert_eq!(found, Some(address("ann@example.com")));
}
