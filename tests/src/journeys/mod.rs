//! What people do with a mail server, told by clients that type and read. Each journey takes
//! place on a [`Host`](crate::Host) and on both daemons, and must go the same way.

mod mail_in;

use crate::{Setup, Site};

/// A story, and what it needs.
pub struct Journey {
    /// Before it begins.
    pub setup: Setup,
    /// What happens. Panics when it goes wrong.
    pub run: fn(&Site),
}

pub use mail_in::mail_comes_in_and_is_read;

/// Calls a macro with the names of all journeys that take place everywhere.
#[macro_export]
macro_rules! for_each_journey {
    ($macro:ident) => {
        $macro! {
            mail_comes_in_and_is_read
        }
    };
}
