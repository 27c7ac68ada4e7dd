//! Identifiers that are never used twice.

use std::sync::{Mutex, PoisonError};

use rmail_proto::Entropy;

/// Draws identifiers: the upper half names this start of the process, the lower half never
/// repeats within it, for the generator runs through all 2⁶⁴ numbers before one comes again.
pub(super) struct IdSource {
    start: u64,
    entropy: Mutex<Entropy>,
}

impl IdSource {
    pub(super) fn new(seed: u64) -> Self {
        let mut entropy = Entropy::new(seed);
        Self {
            start: entropy.next_u64(),
            entropy: Mutex::new(entropy),
        }
    }

    /// A name for this start.
    pub(super) fn process_name(&self) -> String {
        format!("{:016x}", self.start)
    }

    pub(super) fn next_id(&self) -> u128 {
        u128::from(self.start) << 64 | u128::from(self.next_number())
    }

    pub(super) fn next_number(&self) -> u64 {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        entropy.next_u64()
    }
}
