//! The account databases that are held open: the ones used last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use rmail_proto::AccountId;

use super::{account::AccountDatabase, lock};
use crate::limits;

/// A database that is open, or is just being opened by who holds the lock.
pub(super) type Slot = Arc<Mutex<Option<AccountDatabase>>>;

/// At most [`limits::OPEN_ACCOUNTS`] databases, besides those that are being used.
#[derive(Default)]
pub(super) struct OpenAccounts {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    uses: u64,
    slots: BTreeMap<AccountId, (u64, Slot)>,
}

impl OpenAccounts {
    /// An account's slot, and the databases that have to make room for it.
    pub(super) fn take(&self, account: AccountId) -> (Slot, Vec<AccountDatabase>) {
        let mut table = lock(&self.table);
        table.uses += 1;
        let uses = table.uses;
        let (used, slot) = table.slots.entry(account).or_default();
        *used = uses;
        let slot = slot.clone();
        let mut evicted = Vec::new();
        while table.slots.len() > limits::OPEN_ACCOUNTS {
            // Who else has the slot is using it, or waits to.
            let idle = table
                .slots
                .iter()
                .filter(|(_, (_, slot))| Arc::strong_count(slot) == 1);
            let Some(oldest) = idle.min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id) else {
                break;
            };
            let removed = table.slots.remove(&oldest);
            evicted.extend(removed.and_then(|(_, slot)| lock(&slot).take()));
        }
        (slot, evicted)
    }

    /// Closes the database of an account that is gone.
    pub(super) fn forget(&self, account: AccountId) {
        let removed = lock(&self.table).slots.remove(&account);
        // Closed outside the lock.
        drop(removed);
    }

    pub(super) fn take_all(&self) -> Vec<AccountDatabase> {
        let slots = std::mem::take(&mut lock(&self.table).slots);
        let open = slots
            .into_values()
            .filter_map(|(_, slot)| lock(&slot).take());
        open.collect()
    }
}
