//! What is kept for the HTTP API.

use bytes::Bytes;
use rmail_proto::UnixTime;
use rmail_store::{AccountWrite, AccountWritten, Store, StoreError, UploadWrite};

use crate::world::{NOW, World, make_account, write};

#[test]
fn document_is_swapped_only_if_it_is_as_it_was() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "alice@example.com");
    let swap = |old: Option<&str>, new: &str| {
        let swap = AccountWrite::SwapDocument {
            name: "x".to_owned(),
            old: old.map(str::to_owned),
            new: new.to_owned(),
        };
        write(&store, account, swap)
    };
    assert_eq!(swap(Some("1"), "2"), Err(StoreError::ChangedSince));
    assert_eq!(swap(None, "1"), Ok(AccountWritten::Done));
    assert_eq!(swap(None, "2"), Err(StoreError::ChangedSince));
    assert_eq!(swap(Some("1"), "2"), Ok(AccountWritten::Done));
    assert_eq!(store.document(account, "x").unwrap().as_deref(), Some("2"));
}

#[test]
fn uploads_that_were_emptied_do_not_count() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "alice@example.com");
    let upload = |change| write(&store, account, AccountWrite::Upload(change)).map(|_| ());
    for key in [[1; 32], [2; 32]] {
        let put = UploadWrite::Put {
            key,
            document: "d".to_owned(),
            expires_at: UnixTime(NOW.0 + 10),
        };
        assert_eq!(upload(put), Ok(()));
    }
    let append = |start| UploadWrite::Append {
        key: [1; 32],
        start,
        bytes: Bytes::from_static(b"12345"),
    };
    assert_eq!(upload(append(0)), Ok(()));
    assert_eq!(upload(append(0)), Err(StoreError::NoSuchUpload));
    assert_eq!(store.uploads(account, NOW), Ok((2, 5)));
    assert_eq!(upload(UploadWrite::Empty { key: [1; 32] }), Ok(()));
    assert_eq!(store.uploads(account, NOW), Ok((1, 0)));
    let found = store.upload(account, NOW, &[1; 32]).unwrap();
    assert_eq!(found.map(|it| it.received), Some(5));
    assert_eq!(store.uploads(account, UnixTime(NOW.0 + 10)), Ok((0, 0)));
}
