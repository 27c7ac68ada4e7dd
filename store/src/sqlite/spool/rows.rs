//! The spool's vocabulary as columns.

use rusqlite::{Row, types::Type};

use rmail_proto::{
    Address, ForwardPath, ReversePath,
    smtp::{MailNotice, Notify, RcptNotice, Recipient, Return},
};

use super::LOCAL;
use crate::{Destination, Fate, StoreError, Told, limits, store::Result};

pub(super) fn destination_text(destination: &Destination) -> &str {
    match destination {
        Destination::Local => LOCAL,
        Destination::Remote(key) => {
            assert!(!key.is_empty(), "the empty key is that of mailboxes");
            key
        }
    }
}

pub(super) fn destination_from_text(text: String) -> Destination {
    match text.as_str() {
        LOCAL => Destination::Local,
        _ => Destination::Remote(text),
    }
}

pub(super) fn fate_number(fate: Fate) -> i64 {
    match fate {
        Fate::Waiting => 0,
        Fate::Delivered => 1,
        Fate::Relayed => 2,
        Fate::Failed => 3,
        Fate::Expanded => 4,
        Fate::Dropped => 5,
    }
}

pub(super) fn fate_from_row(row: &Row<'_>, index: usize) -> rusqlite::Result<Fate> {
    match row.get(index)? {
        0_i64 => Ok(Fate::Waiting),
        1 => Ok(Fate::Delivered),
        2 => Ok(Fate::Relayed),
        3 => Ok(Fate::Failed),
        4 => Ok(Fate::Expanded),
        5 => Ok(Fate::Dropped),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(index, other)),
    }
}

/// `path, notify, orcpt` of a recipient.
pub(super) fn recipient_values(
    recipient: &Recipient,
) -> (Option<String>, Option<i64>, Option<&str>) {
    let path = match &recipient.path {
        ForwardPath::Postmaster => None,
        ForwardPath::Address(address) => Some(address.to_string()),
    };
    let notify = recipient.notice.notify.map(|notify| {
        i64::from(notify.success) | i64::from(notify.failure) << 1 | i64::from(notify.delay) << 2
    });
    (path, notify, recipient.notice.orcpt.as_deref())
}

/// Reads `path, notify, orcpt` from the column `first` on.
pub(super) fn recipient_from_row(entry: u64, row: &Row<'_>, first: usize) -> Result<Recipient> {
    let path = match row.get::<_, Option<String>>(first)? {
        None => ForwardPath::Postmaster,
        Some(text) => ForwardPath::Address(parse_address(entry, &text)?),
    };
    let notify: Option<i64> = row.get(first + 1)?;
    let notify = notify.map(|bits| Notify {
        success: bits & 1 != 0,
        failure: bits & 2 != 0,
        delay: bits & 4 != 0,
    });
    let orcpt = row.get(first + 2)?;
    Ok(Recipient {
        path,
        notice: RcptNotice { notify, orcpt },
    })
}

pub(super) fn reverse_path_from(entry: u64, text: Option<String>) -> Result<ReversePath> {
    match text {
        None => Ok(ReversePath::Null),
        Some(text) => Ok(ReversePath::Address(parse_address(entry, &text)?)),
    }
}

/// Reads `ret, envid` from the column `first` on.
pub(super) fn notice_from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<MailNotice> {
    let ret: Option<String> = row.get(first)?;
    let ret = ret.map(|text| Return::parse(&text)).transpose();
    let ret =
        ret.map_err(|_| rusqlite::Error::InvalidColumnType(first, "ret".to_owned(), Type::Text))?;
    let envid = row.get(first + 1)?;
    Ok(MailNotice { ret, envid })
}

/// What was told, short enough to be kept.
pub(super) fn shortened(told: &Told) -> (&str, &str) {
    let cut = |text: &'_ str| {
        let mut end = text.len().min(limits::ANSWER_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        end
    };
    let (by, answer) = (&told.by, &told.answer);
    (&by[..cut(by)], &answer[..cut(answer)])
}

fn parse_address(entry: u64, text: &str) -> Result<Address> {
    Address::parse(text)
        .map_err(|_| StoreError::Failed(format!("spool entry {entry} has an invalid address")))
}
