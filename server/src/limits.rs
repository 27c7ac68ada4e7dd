//! Every bound of the server, by name.

use core::time::Duration;

/// Connections that may wait in a listener to be accepted; `net.core.somaxconn` bounds it, too.
pub const LISTEN_BACKLOG: i32 = 1024;

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

/// Address space that is reserved for a hash: more than the 32 MiB up to which glibc may keep what
/// is freed (M_MMAP_THRESHOLD in mallopt(3)).
pub const ARGON2_RESERVED_BYTES: usize = 33 * 1024 * 1024;

/// How long a verified password is remembered.
pub const PASSWORD_CACHE_TIME: Duration = Duration::from_secs(5 * 60);

/// Accounts whose verified password is remembered.
pub const PASSWORD_CACHE_ENTRIES: usize = 4096;

/// How long after a change the password before it is refused without being counted as a guess.
pub const PREVIOUS_PASSWORD_TIME: Duration = Duration::from_secs(24 * 3600);

/// Failed logins for one account, within [`GUESSES_TIME`], that slow the answers to more of them.
pub const GUESSES_MAX: usize = 100;

/// See [`GUESSES_MAX`].
pub const GUESSES_TIME: Duration = Duration::from_secs(3600);

/// By how much those answers are slowed.
pub const GUESS_DELAY: Duration = Duration::from_secs(2);

/// Accounts whose failed logins are counted.
pub const ACCOUNTS_GUESSED: usize = 4096;

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

/// How long the diagnostics wait for a connection, an answer, or a message to arrive.
pub const DIAGNOSTICS_TIME: Duration = Duration::from_secs(10);

/// Time between their looks at the queue.
pub const DIAGNOSTICS_PAUSE: Duration = Duration::from_millis(50);

/// Longest line or literal that they read, in bytes.
pub const DIAGNOSTICS_LINE_BYTES: usize = 256 * 1024;

/// Lines that they read of one answer.
pub const DIAGNOSTICS_ANSWER_LINES: usize = 1000;

/// Largest content of an HTTP answer that they read, in bytes.
pub const DIAGNOSTICS_CONTENT_BYTES: u64 = 1024 * 1024;

/// With less room on the disk than for so many messages of the largest size, they warn.
pub const DIAGNOSTICS_ROOM_MESSAGES: u64 = 20;

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

/// Tries before a write to a busy database fails: half a minute. Where the disk is slow, another
/// process that writes without a pause leaves few moments between its writes.
pub const BUSY_TRIES: u32 = 3000;

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

/// The same for connections to other servers: what those have said is still to be written down
/// when the grace ends.
pub const STOP_GRACE_OUTBOUND: Duration = Duration::from_secs(9);

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

/// Pages of messages that the API keeps in memory as they were told, in bytes.
pub const PAGES_CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Brackets within each other in a client's JSON.
pub const JSON_DEPTH: usize = 64;

/// Longest user name, domain or password of a login, in bytes.
pub const LOGIN_VALUE_BYTES: usize = 1024;

/// Shortest password that can be set by the API, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;

/// HTTP requests that are carried out at once whose content does not fit one piece: while that
/// goes on it is in memory.
pub const LARGE_REQUESTS_RUNNING: usize = 4;

/// Longest name of a folder in the API, in characters.
pub const FOLDER_NAME_CHARS: usize = 255;

/// Items of a page of the native endpoints that nobody asked another size of.
pub const NATIVE_PAGE_ITEMS: u64 = 50;

/// Items of a page of the native endpoints.
pub const NATIVE_PAGE_ITEMS_MAX: u64 = 500;

/// Longest answer to `rmail reload` and `rmail status`, in bytes.
pub const COMMAND_ANSWER_BYTES: usize = 100_000;

/// Most of the faults and warnings in an answer to `rmail reload`, in bytes of JSON.
pub const RELOAD_REPORT_BYTES: usize = COMMAND_ANSWER_BYTES / 2;

/// Messages of the queue that `rmail status` counts.
pub const STATUS_QUEUE_COUNTED: usize = 10_000;

/// How long a connection that wants a login may go without one, where its place is needed.
pub const LOGIN_WHEN_FULL: Duration = Duration::from_secs(10);

/// How long nothing may happen on a connection to port 25, where its place is needed. A message
/// that comes at the least rate has a piece in less.
pub const IDLE_WHEN_FULL: Duration = Duration::from_secs(90);

/// Connections to the HTTP API.
pub const HTTP_CONNECTIONS: usize = 1_000;

/// Tokens whose requests are counted, before those of whom nothing is to be remembered go.
pub const TOKENS_COUNTED: usize = 10_000;
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

/// How long a sender who got an automatic reply gets no other (RFC 3834 §2).
pub const AUTOMATIC_REPLY_PAUSE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Senders whom an account has answered by itself lately; more get no answer.
pub const AUTOMATIC_REPLIES_KEPT: usize = 1_000;

/// What is looked at of a message before it is answered automatically.
pub const AUTOMATIC_REPLY_HEADER_BYTES: usize = 64 * 1024;

/// Longest URL that notifications are posted to, in bytes.
pub const TARGET_URL_BYTES: usize = 2048;

/// How long a notification may take to be posted, from the name's resolution to the answer.
pub const POST_TIME: Duration = Duration::from_secs(10);

/// What is read of an answer to a post, in bytes.
pub const POST_ANSWER_BYTES: usize = 4096;

/// Longest head of such an answer, in bytes.
pub const POST_ANSWER_HEAD_BYTES: usize = 16 * 1024;

/// Handshakes with targets of new subscriptions at once; each holds the thread of its request.
pub const HANDSHAKES_RUNNING: usize = 4;

/// Posts of notifications at once. They are not counted among the other jobs.
pub const POSTS_RUNNING: usize = 16;

/// The same to targets of one account.
pub const POSTS_RUNNING_EACH: usize = 4;

/// Longest time from now to which a subscription is made (Graph: 10,080 minutes).
pub const SUBSCRIPTION_LIFE: Duration = Duration::from_secs(10_080 * 60);

/// Longest `clientState`, in characters.
pub const CLIENT_STATE_CHARS: usize = 128;

/// Notifications of one post.
pub const NOTIFICATIONS_POSTED: usize = 100;

/// Notifications of one subscription that wait, in memory and in its record; what is beyond is
/// missed.
pub const NOTIFICATIONS_WAITING: usize = 1000;

/// How long changes are gathered before subscriptions are looked at.
pub const NOTIFICATIONS_SETTLE: Duration = Duration::from_millis(500);

/// Subscriptions of which one job writes down what waits.
pub const NOTIFICATIONS_KEPT: usize = 64;

/// Accounts whose changes are looked for by one job.
pub const NOTIFICATIONS_ACCOUNTS: usize = 16;

/// Tries at telling what other processes tell, too, before it is put off.
pub const NOTIFICATIONS_TRIES: u32 = 3;

/// First pause after a post that failed; each further one is twice as long.
pub const POST_RETRY_FIRST: Duration = Duration::from_secs(2);

/// Longest pause between posts that fail.
pub const POST_RETRY_LONGEST: Duration = Duration::from_secs(15 * 60);

/// How long a notification is tried to be posted.
pub const POST_RETRY_LIFE: Duration = Duration::from_secs(4 * 60 * 60);

/// How often all subscriptions are read, in case another process did not tell that they changed.
pub const SUBSCRIPTIONS_INTERVAL: Duration = Duration::from_secs(60);
/// Messages that a search by the API finds.
pub const SEARCH_RESULTS: u64 = 1000;

/// Messages that are looked at in one piece when a list is filtered: the first one.
pub const WALK_MESSAGES_MIN: u64 = 64;

/// The same: the largest one.
pub const WALK_MESSAGES_MAX: u64 = 8192;

/// Names of categories of one account that are no keywords themselves.
pub const CATEGORY_NAMES: usize = 1000;

/// How often a draft is read and changed again that others change at the same time.
pub const DRAFT_TRIES: usize = 8;

/// Largest attachment that an upload session takes, in bytes.
pub const UPLOAD_BYTES: u64 = 150 * 1024 * 1024;

/// How long an upload session lives.
pub const UPLOAD_LIFE: Duration = Duration::from_secs(60 * 60);

/// Longest name of a category, in characters.
pub const CATEGORY_NAME_CHARS: usize = 255;
