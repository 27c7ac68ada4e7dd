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

/// Jobs that have a thread at once, password hashes not counted.
pub const JOBS_RUNNING: usize = 16;

/// Logins that wait for a password to be hashed; more are put off.
pub const HASHES_WAITING: usize = 256;

/// Addresses whose account is remembered.
pub const DIRECTORY_CACHE: usize = 10_000;

/// Writes of one batch.
pub const BATCH_WRITES: usize = 256;

/// Bytes of message content of one batch, except when its first write alone is larger.
pub const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// How long a write waits when another process is writing.
pub const BUSY_RETRY: Duration = Duration::from_millis(10);

/// Tries before a write to a busy database fails.
pub const BUSY_TRIES: u32 = 500;

/// Messages that are being delivered; more wait in the spool.
pub const DELIVERY_ACTIVE: usize = 2_000;

/// Bytes of their content that are kept in memory.
pub const DELIVERY_BYTES: usize = 32 * 1024 * 1024;

/// Lots of mail to other servers that are at work or wait for a connection; more wait in the
/// spool.
pub const OUTBOUND_ACTIVE: usize = 2_000;

/// The same of one destination.
pub const OUTBOUND_ACTIVE_EACH: usize = 100;

/// Bytes of their content that are kept in memory; of more, pieces are read as they are sent.
pub const OUTBOUND_BYTES: usize = 32 * 1024 * 1024;

/// Addresses of hosts that are tried for one destination (RFC 5321 §5.1 asks for two at least).
pub const HOSTS_TRIED: usize = 10;

/// Connections that may break under one lot before it is put off.
pub const LOT_CONNECTIONS: u32 = 3;

/// How long a connection to another server may take to come up.
pub const CONNECT: Duration = Duration::from_secs(30);

/// How long a connection to another server is kept for which there is nothing to do.
pub const CONNECTION_IDLE: Duration = Duration::from_secs(5);

/// Header of a message that comes back with a report.
pub const REPORT_HEADER_BYTES: usize = 64 * 1024;

/// Piece in which a message is copied into a report.
pub const REPORT_PIECE_BYTES: usize = 64 * 1024;

/// How long a message waits in the spool that could not be delivered.
pub const HOLD: Duration = Duration::from_secs(60);

/// How often the spool is searched for messages that are nobody's.
pub const CLAIM_INTERVAL: Duration = Duration::from_secs(60);

/// How often the other processes' counters are looked at.
pub const PEERS_INTERVAL: Duration = Duration::from_secs(1);

/// Mailboxes that are kept in memory after the last session has left them.
pub const UNUSED_MAILBOXES: usize = 64;

/// Messages of those mailboxes.
pub const UNUSED_MESSAGES: u32 = 500_000;

/// How long sessions have to end when the server stops.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// Largest piece that is offered to a socket, and encrypted, at once.
pub const WRITE_BYTES: usize = 64 * 1024;

/// How long the last bytes of a session may take to go out.
pub const FLUSH: Duration = Duration::from_secs(30);

/// How long a closed session waits for its peer to close as well.
pub const LINGER: Duration = Duration::from_secs(2);

/// Bytes of messages that one step of a SEARCH holds; larger messages are read part by part.
pub const SEARCH_BATCH_BYTES: usize = 1024 * 1024;

/// What a SEARCH looks at of one part with text; what is beyond is not found.
pub const SEARCH_PART_BYTES: u64 = 4 * 1024 * 1024;

/// What a SEARCH decodes of one header field; what is beyond is found as it is written only.
pub const SEARCH_FIELD_BYTES: usize = 8 * 1024;

/// Bytes of one session's small messages that wait in memory for the rest of an APPEND; further
/// ones wait in files.
pub const UPLOAD_BYTES_IN_MEMORY: usize = 1024 * 1024;

/// Longest bearer token in bytes.
pub const TOKEN_BYTES: usize = 4096;

/// How far another machine's clock may be ahead of ours when it signs a token.
pub const TOKEN_SKEW: Duration = Duration::from_secs(60);

/// What of a client's text an error message repeats, in bytes.
pub const ERROR_ECHO_BYTES: usize = 128;

/// Options of one query.
pub const QUERY_OPTIONS: usize = 64;

/// Keys of one `$orderby`.
pub const ORDER_KEYS: usize = 8;

/// Items of a page that nobody asked another size of.
pub const PAGE_ITEMS: u32 = 10;

/// Items of a page.
pub const PAGE_ITEMS_MAX: u32 = 1000;

/// Longest `$skiptoken` and `$deltatoken` in bytes.
pub const CURSOR_BYTES: usize = 8 * 1024;

/// How long they are good.
pub const CURSOR_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Longest `bodyPreview`, in characters.
pub const PREVIEW_CHARS: usize = 255;

/// Addresses of one field that the API tells.
pub const ADDRESSES_TOLD: usize = 2048;

/// Header fields of one message that the API tells.
pub const HEADERS_TOLD: usize = 1000;

/// Longest file name that the API tells, in characters.
pub const FILE_NAME_CHARS: usize = 255;

/// Messages taken apart that the API keeps in memory, in bytes.
pub const PARSED_CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Brackets within each other in a client's JSON.
pub const JSON_DEPTH: usize = 64;

/// Longest user name, domain or password of a login, in bytes.
pub const LOGIN_VALUE_BYTES: usize = 1024;

/// Shortest password that can be set by the API, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;

/// Contents of HTTP requests that are held in memory, in bytes, of all connections together; what
/// is beyond gets 503.
pub const HTTP_CONTENT_BYTES_HELD: usize = 256 * 1024 * 1024;

/// Longest name of a folder in the API, in characters.
pub const FOLDER_NAME_CHARS: usize = 255;

/// Items of a page of the native endpoints that nobody asked another size of.
pub const NATIVE_PAGE_ITEMS: u64 = 50;

/// Items of a page of the native endpoints.
pub const NATIVE_PAGE_ITEMS_MAX: u64 = 500;

/// Connections to the HTTP API.
pub const HTTP_CONNECTIONS: usize = 1_000;

/// Tokens whose requests are counted, before those of whom nothing is to be remembered go.
pub const TOKENS_COUNTED: usize = 10_000;

/// Piece in which a large content goes into a staged file.
pub const STAGE_PIECE_BYTES: usize = 1024 * 1024;
/// Longest address in a request for set-up of a mail client, in characters.
pub const DISCOVERY_ADDRESS_CHARS: usize = 320;

/// Largest body of such a request.
pub const DISCOVERY_BODY_BYTES: usize = 64 * 1024;

/// Elements within each other in such a body.
pub const DISCOVERY_XML_DEPTH: usize = 32;

/// What of an HTML text is looked at; what is beyond is not told.
pub const HTML_BYTES: usize = 16 * 1024 * 1024;

/// Elements within each other in the HTML that is told; deeper ones are left out, and what stands
/// within them stays.
pub const HTML_DEPTH: usize = 128;

/// Empty lines, one after the other, of HTML that becomes text.
pub const EMPTY_LINES: usize = 8;

/// Longest message identifier that a client may give, in bytes: a line of a header has 998.
pub const MESSAGE_ID_BYTES: usize = 900;

/// Longest line of a message in bytes, without its CRLF (RFC 5322 §2.1.1).
pub const LINE_BYTES: usize = 998;

/// Longest name of a field that a client makes up, in bytes.
pub const OWN_FIELD_NAME_BYTES: usize = 70;

/// Fields that a client of the Graph family may make up for one message.
pub const GRAPH_HEADERS: usize = 5;

/// The same of the native family.
pub const OWN_FIELDS: usize = 50;

/// Categories of one message.
pub const CATEGORIES: usize = 100;

/// Messages within each other that a client attaches as JSON.
pub const ITEM_ATTACHMENT_DEPTH: usize = 8;

/// Messages that a reply says it refers to, besides the one that it answers.
pub const REFERENCES_WRITTEN: usize = 50;
