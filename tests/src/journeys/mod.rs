//! What people do with a mail server, told by clients that type and read. Each journey takes
//! place in a [`World`](crate::World) and on both daemons, and must go the same way.

mod admission;
mod delivery;
mod mail_in;
mod mailboxes;
mod processes;
mod submission;

use crate::{Setup, Site};

/// A story, and what it needs.
pub struct Journey {
    /// Before it begins.
    pub setup: Setup,
    /// What happens. Panics when it goes wrong.
    pub run: fn(&Site),
}

impl Journey {
    /// A story that needs no more than one server, alice and bob.
    fn new(run: fn(&Site)) -> Self {
        Self {
            setup: Setup::default(),
            run,
        }
    }
}

pub use admission::{one_connection_too_many_is_told_so, stop_says_goodbye_and_loses_nothing};
pub use delivery::mail_for_a_deleted_account_comes_back;
pub use mail_in::{
    idling_client_is_told_of_mail, large_message_comes_out_as_it_went_in,
    mail_comes_in_and_is_read, recipients_are_found_or_refused,
};
pub use mailboxes::{mailboxes_are_renamed_and_messages_moved, two_sessions_see_one_mailbox};
pub use processes::{mail_is_seen_by_all_processes, new_password_counts_in_all_processes};
pub use submission::{
    mail_is_submitted_over_tls, nobody_logs_in_before_tls, nobody_sends_in_anothers_name,
};

/// Calls a macro with the names of all journeys that take place everywhere.
#[macro_export]
macro_rules! for_each_journey {
    ($macro:ident) => {
        $macro! {
            idling_client_is_told_of_mail
            large_message_comes_out_as_it_went_in
            mail_comes_in_and_is_read
            mail_is_seen_by_all_processes
            mail_is_submitted_over_tls
            mailboxes_are_renamed_and_messages_moved
            new_password_counts_in_all_processes
            nobody_logs_in_before_tls
            nobody_sends_in_anothers_name
            one_connection_too_many_is_told_so
            recipients_are_found_or_refused
            stop_says_goodbye_and_loses_nothing
            two_sessions_see_one_mailbox
        }
    };
}
