//! Every bound of the server, by name.

use core::time::Duration;

/// Longest password in bytes.
pub const PASSWORD_BYTES: usize = 1024;

/// Shorter passwords, in characters, are warned of.
pub const PASSWORD_CHARS_ADVISED: usize = 8;

/// Argon2id: memory in KiB (OWASP Password Storage Cheat Sheet: 19 MiB with 2 passes, 1 lane).
pub const ARGON2_MEMORY_KIB: u32 = 19 * 1024;

/// Argon2id: passes over the memory.
pub const ARGON2_PASSES: u32 = 2;

/// Argon2id: lanes.
pub const ARGON2_LANES: u32 = 1;

/// Most memory in KiB that a stored record may ask for.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;

/// Most passes that a stored record may ask for.
pub const ARGON2_PASSES_MAX: u32 = 16;

/// Most lanes that a stored record may ask for.
pub const ARGON2_LANES_MAX: u32 = 16;

/// How long a verified password is remembered.
pub const PASSWORD_CACHE_TIME: Duration = Duration::from_secs(5 * 60);

/// Accounts whose verified password is remembered.
pub const PASSWORD_CACHE_ENTRIES: usize = 4096;

/// Largest PEM file that is read.
pub const PEM_BYTES: u64 = 1024 * 1024;

/// How long a self-signed certificate is good for: what operating systems still accept from a
/// certificate that was added by hand (825 days), and a little less.
pub const SELF_SIGNED_LIFE: Duration = Duration::from_secs(820 * 24 * 60 * 60);

/// A self-signed certificate with less than this left is made anew.
pub const SELF_SIGNED_RENEWAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An operator's certificate with less than this left is warned of.
pub const CERTIFICATE_END_WARNING: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Tries of the command line at a store in which another process is writing.
pub const CLI_BUSY_TRIES: u32 = 100;

/// Time between those tries.
pub const CLI_BUSY_WAIT: Duration = Duration::from_millis(100);

/// Accounts that an import writes at once.
pub const IMPORT_BATCH: usize = 256;

/// Largest file of accounts that is imported.
pub const IMPORT_BYTES: u64 = 256 * 1024 * 1024;

/// Times that a person is asked again for something mistyped.
pub const CLI_PROMPT_TRIES: u32 = 3;

/// Bytes of messages that one step of a SEARCH holds; larger messages are read part by part.
pub const SEARCH_BATCH_BYTES: usize = 1024 * 1024;

/// What a SEARCH looks at of one part with text; what is beyond is not found.
pub const SEARCH_PART_BYTES: u64 = 4 * 1024 * 1024;

/// What a SEARCH decodes of one header field; what is beyond is found as it is written only.
pub const SEARCH_FIELD_BYTES: usize = 8 * 1024;
