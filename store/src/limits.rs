//! Every bound of the store, by name.

use std::time::Duration;

/// Largest content that is kept in a database; larger ones are files.
pub const INLINE_BYTES: usize = 128 * 1024;

/// Account databases that are held open. Each takes three file descriptors and about 130 KB.
pub const OPEN_ACCOUNTS: usize = 128;

/// How far the MODSEQ ceiling is raised at once.
pub const MODSEQ_BLOCK: u64 = 10_000;

/// Longest mailbox name in bytes of UTF-8.
pub const MAILBOX_NAME_BYTES: usize = 512;

/// Most parts of a mailbox name.
pub const MAILBOX_DEPTH: usize = 32;

/// Mailboxes of one account.
pub const MAILBOXES_MAX: u32 = 10_000;

/// Subscribed names of one account.
pub const SUBSCRIPTIONS_MAX: u32 = 10_000;

/// Removed UIDs that a mailbox remembers. Who asks for older changes is told that every UID that
/// is not there has vanished.
pub const TOMBSTONES_MAX: u32 = 20_000;

/// Targets of one alias.
pub const ALIAS_TARGETS: usize = 100;

/// Aliases with wildcards in one domain.
pub const ALIAS_PATTERNS: usize = 1000;

/// Aliases that are followed one behind the other.
pub const ALIAS_DEPTH: usize = 10;

/// Addresses that are looked at to find out whom one address leads to.
pub const ALIAS_STEPS: usize = 1000;

/// Recipients of one entry of the spool to which an alias can add: twice what a mail transaction
/// may have.
pub const ENTRY_RECIPIENTS: usize = 20_000;

/// How long an account remembers which spool entries were delivered to it, at least.
pub const DELIVERED_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Remembered deliveries that are looked at for removal with each delivering batch.
pub const DELIVERED_PRUNED: u32 = 256;

/// Destinations of which one claim takes lots.
pub const CLAIMED_DESTINATIONS: usize = 256;

/// Attempts at one entry that are remembered.
pub const ATTEMPTS_KEPT: i64 = 64;

/// Longest answer of a peer that is kept with a recipient, in bytes.
pub const ANSWER_BYTES: usize = 1024;

/// Staged files of one process.
pub const STAGES_MAX: usize = 512;

/// How often a process that starts tries to make its lock file.
pub const ANNOUNCEMENTS_MAX: u32 = 4;

/// Longest name of a folder in bytes, as file systems have it.
pub const FOLDER_NAME_BYTES: usize = 255;

/// Pages of 4 KiB after which SQLite moves its log into the database.
pub const LOG_PAGES: u32 = 1000;

/// Bytes of a log that are kept on disk for reuse.
pub const LOG_BYTES_KEPT: u64 = 8 * 1024 * 1024;

/// Page cache of one database in KiB.
pub const PAGE_CACHE_KIB: u32 = 512;

/// Prepared statements that one database keeps.
pub const STATEMENTS_MAX: usize = 64;

/// Piece in which a file is copied where it can't be linked.
pub const COPY_BYTES: usize = 64 * 1024;

/// Largest document of an account, in bytes.
pub const DOCUMENT_BYTES: usize = 256 * 1024;

/// Most that is kept beside a message, in bytes.
pub const EXTRAS_BYTES: usize = 4096;

/// Largest piece of an upload.
pub const UPLOAD_PIECE_BYTES: usize = 8 * 1024 * 1024;

/// Mailboxes that are gone and still known.
pub const MAILBOX_TOMBSTONES_MAX: u32 = 10_000;
