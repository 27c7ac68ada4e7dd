//! `$skiptoken` and `$deltatoken`: opaque, signed, and good for one user and one list.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rmail_proto::{MailboxId, ModSeq, UnixTime};
use serde::{Deserialize, Serialize};

use crate::{api::error::ApiError, limits};

/// Where a list goes on, or since when changes are wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    /// Which of the two.
    pub kind: CursorKind,
    /// Whose: the account's GUID.
    pub account: u128,
    /// Of which folder; of all folders, or of the list of them, without one.
    pub folder: Option<MailboxId>,
    /// The options that the list was begun with, as a query.
    pub options: String,
    /// Where.
    pub position: Position,
    /// When it was made.
    pub issued_at: UnixTime,
}

/// What a cursor is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum CursorKind {
    /// `$skiptoken`
    #[serde(rename = "s")]
    Skip,
    /// `$deltatoken`
    #[serde(rename = "d")]
    Delta,
}

/// A place in a list, and in time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Position {
    /// Items before the first of the page.
    pub skip: u64,
    /// Changes after this are wanted: 0 for all items.
    pub since: ModSeq,
    /// Where the changes of this round end.
    pub until: ModSeq,
}

/// A cursor as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    k: CursorKind,
    a: String,
    f: Option<String>,
    o: String,
    n: u64,
    s: u64,
    u: u64,
    t: i64,
}

/// Seals cursors and opens them.
pub struct Cursors {
    key: hmac::Key,
}

/// Keys of other uses sign nothing here.
const CONTEXT: &[u8] = b"rmail cursor 1\0";

impl Cursors {
    /// With a secret of the server's; it may be the one that signs tokens.
    pub fn new(secret: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&secret, CONTEXT);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
        }
    }

    /// The cursor as a token; `None` when its options make it longer than
    /// [`limits::CURSOR_BYTES`].
    pub fn seal(&self, cursor: &Cursor) -> Option<String> {
        let written = Written {
            k: cursor.kind,
            a: format!("{:x}", cursor.account),
            f: cursor.folder.map(|folder| folder.to_string()),
            o: cursor.options.clone(),
            n: cursor.position.skip,
            s: cursor.position.since.0,
            u: cursor.position.until.0,
            t: cursor.issued_at.0,
        };
        let mut bytes = serde_json::to_vec(&written).expect("texts and numbers are JSON");
        let mac = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        let token = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        (token.len() <= limits::CURSOR_BYTES).then_some(token)
    }

    /// The cursor of a token that was sealed for this account and this list.
    ///
    /// # Errors
    ///
    /// `sync_state_not_found` for a delta token, `bad_request` for a skip token: when it is
    /// forged, another's, of another list, or older than [`limits::CURSOR_LIFE`].
    pub fn open(
        &self,
        now: UnixTime,
        kind: CursorKind,
        account: u128,
        folder: Option<MailboxId>,
        token: &str,
    ) -> Result<Cursor, ApiError> {
        let cursor = self.read(token);
        let life = i64::try_from(limits::CURSOR_LIFE.as_secs()).unwrap_or(i64::MAX);
        let cursor = cursor.filter(|cursor| {
            let ends_at = cursor.issued_at.0.saturating_add(life);
            let is_ours = cursor.account == account && cursor.folder == folder;
            is_ours && cursor.kind == kind && now.0 < ends_at
        });
        cursor.ok_or_else(|| match kind {
            CursorKind::Delta => ApiError::sync_state_not_found(),
            CursorKind::Skip => {
                ApiError::bad_request().with_message("The skip token is not valid.".to_owned())
            }
        })
    }

    fn read(&self, token: &str) -> Option<Cursor> {
        const MAC_BYTES: usize = 32;
        if token.len() > limits::CURSOR_BYTES {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (written, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        hmac::verify(&self.key, written, mac).ok()?;
        let written: Written = serde_json::from_slice(written).ok()?;
        let folder = match written.f {
            Some(folder) => Some(MailboxId::parse(&folder)?),
            None => None,
        };
        Some(Cursor {
            kind: written.k,
            account: u128::from_str_radix(&written.a, 16).ok()?,
            folder,
            options: written.o,
            position: Position {
                skip: written.n,
                since: ModSeq(written.s),
                until: ModSeq(written.u),
            },
            issued_at: UnixTime(written.t),
        })
    }
}

impl std::fmt::Debug for Cursors {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_700_000_000);
    const FOLDER: Option<MailboxId> = Some(MailboxId(7));

    fn cursor() -> Cursor {
        Cursor {
            kind: CursorKind::Delta,
            account: u128::MAX - 5,
            folder: FOLDER,
            options: "$select=subject".to_owned(),
            position: Position {
                skip: 3,
                since: ModSeq(u64::MAX),
                until: ModSeq(9),
            },
            issued_at: NOW,
        }
    }

    fn cursors() -> Cursors {
        Cursors::new(b"a secret of the server")
    }

    fn open(token: &str) -> Result<Cursor, ApiError> {
        cursors().open(NOW, CursorKind::Delta, cursor().account, FOLDER, token)
    }

    #[test]
    fn what_was_sealed_comes_back() {
        let token = cursors().seal(&cursor()).unwrap();
        assert_eq!(open(&token), Ok(cursor()));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        assert!(token.bytes().all(is_plain));
    }

    #[test]
    fn every_byte_of_a_token_counts() {
        let token = cursors().seal(&cursor()).unwrap();
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                open(&changed),
                Err(ApiError::sync_state_not_found()),
                "{index}"
            );
        }
        for text in ["", "latest", &token[1..], &format!("{token}A"), "AAAA"] {
            assert!(open(text).is_err(), "{text}");
        }
        let other = Cursors::new(b"another secret").seal(&cursor()).unwrap();
        assert!(open(&other).is_err());
    }

    #[test]
    fn token_is_good_for_one_account_one_list_and_one_use() {
        let token = cursors().seal(&cursor()).unwrap();
        let account = cursor().account;
        let open = |kind, account, folder| cursors().open(NOW, kind, account, folder, &token);
        assert!(open(CursorKind::Delta, account, FOLDER).is_ok());
        assert!(open(CursorKind::Delta, account + 1, FOLDER).is_err());
        assert!(open(CursorKind::Delta, account, None).is_err());
        let error = open(CursorKind::Skip, account, FOLDER).unwrap_err();
        assert_eq!(error.code(), "BadRequest");
    }

    #[test]
    fn token_lives_thirty_days() {
        let token = cursors().seal(&cursor()).unwrap();
        let is_good = |seconds: i64| {
            let now = UnixTime(NOW.0 + seconds);
            cursors()
                .open(now, CursorKind::Delta, cursor().account, FOLDER, &token)
                .is_ok()
        };
        let days = 30 * 24 * 3600;
        assert!(is_good(days - 1) && !is_good(days));
    }

    #[test]
    fn longest_token_is_bounded() {
        let with_options = |bytes: usize| {
            let options = "a".repeat(bytes);
            cursors().seal(&Cursor {
                options,
                ..cursor()
            })
        };
        assert!(with_options(limits::CURSOR_BYTES / 2).is_some());
        assert!(with_options(limits::CURSOR_BYTES).is_none());
    }
}
