//! Every bound of the protocols, by name.
//!
//! Each has a test that reaches it. What an operator sets (`smtp.max_recipients` and the like)
//! comes in through a machine's configuration instead.

use core::time::Duration;

/// Bytes that a machine may have queued and unsent; see [`SendCredit`](crate::SendCredit).
pub const SEND_CREDIT_BYTES: usize = 256 * 1024;

/// Largest piece in which an upload (DATA, BDAT, APPEND) leaves a machine.
pub const UPLOAD_CHUNK_BYTES: usize = 64 * 1024;

/// Pieces of one upload that may wait for their reply. When the window is full, the machine
/// consumes nothing.
pub const UPLOAD_CHUNKS_IN_FLIGHT: usize = 2;

/// Longest SMTP command line, CRLF included (RFC 5321 §4.5.3.1.4 asks for 512 at least; RFC 4954
/// §4 for 12,288 where a base64 response is awaited).
pub const SMTP_COMMAND_LINE_BYTES: usize = 2 * 1024;

/// Longest line of an SMTP AUTH exchange, CRLF included (RFC 4954 §4).
pub const SMTP_AUTH_LINE_BYTES: usize = 12 * 1024;

/// Received fields of a message; one with more goes in circles (RFC 5321 §6.3 asks for 100 at
/// least).
pub const SMTP_RECEIVED_FIELDS: u32 = 100;

/// Longest `ENVID=` value in bytes (RFC 3461 §4.4).
pub const SMTP_ENVID_BYTES: usize = 100;

/// Longest `ORCPT=` value in bytes (RFC 3461 §4.2).
pub const SMTP_ORCPT_BYTES: usize = 500;

/// Longest local-part in bytes (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_BYTES: usize = 64;

/// Longest domain in bytes (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES: usize = 255;

/// Longest path in bytes, angle brackets included (RFC 5321 §4.5.3.1.3).
pub const PATH_BYTES: usize = 256;

/// Rejected commands after which an SMTP session is ended with 421.
pub const SMTP_ERRORS_MAX: u32 = 20;

/// Failed AUTH commands after which an SMTP session is ended with 421.
pub const SMTP_AUTH_FAILURES_MAX: u32 = 3;

/// Waiting for a command (RFC 5321 §4.5.3.2.7).
pub const SMTP_COMMAND_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Waiting for a block of data (RFC 5321 §4.5.3.2.5 gives the client 3 minutes a block; the
/// server waits a little longer).
pub const SMTP_DATA_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Waiting for a TLS handshake to end.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Waiting for a peer to take bytes.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Addresses in the From field of a submitted message.
pub const SMTP_FROM_ADDRESSES_MAX: usize = 32;

/// Ids of References and In-Reply-To that are kept.
pub const REFERENCES_MAX: usize = 32;

/// UIDs of one `Call::Fetch`.
pub const FETCH_MESSAGES: usize = 256;

/// Longest header that comes along with a FETCH's data; longer ones are read in pieces.
pub const FETCH_HEADER_BYTES: usize = 64 * 1024;

/// Largest piece of a message that is read at once.
pub const READ_BYTES: usize = 64 * 1024;

/// Messages in one shared piece of a mailbox's snapshot.
pub const SNAPSHOT_CHUNK_MESSAGES: usize = 512;

/// Keywords of one mailbox that FLAGS and PERMANENTFLAGS name. There may be more.
pub const MAILBOX_KEYWORDS_SHOWN: usize = 256;

/// Longest IMAP command in bytes, CRLF and literals included, APPEND's messages not.
pub const IMAP_COMMAND_BYTES: usize = 64 * 1024;

/// Longest IMAP tag in bytes.
pub const IMAP_TAG_BYTES: usize = 128;

/// Ranges of one set of message numbers or UIDs in a command.
pub const IMAP_SET_RANGES: usize = 8 * 1024;

/// Items of one FETCH.
pub const IMAP_FETCH_ITEMS: usize = 256;

/// Part numbers of one body section.
pub const IMAP_SECTION_DEPTH: usize = 64;

/// Depth to which the keys of a SEARCH nest.
pub const IMAP_SEARCH_DEPTH: usize = 100;

/// Keys of one SEARCH.
pub const IMAP_SEARCH_KEYS: usize = 1024;

/// Patterns of one LIST.
pub const IMAP_LIST_PATTERNS: usize = 64;

/// Longest mailbox name or pattern in a command, in bytes as sent.
pub const IMAP_MAILBOX_NAME_BYTES: usize = 1024;

/// Pairs of one ID command (RFC 2971 §3.3 asks for 30 at most).
pub const IMAP_ID_PAIRS: usize = 30;

/// Longest field name in the header of a submitted message; a longer line start is no field.
pub const SMTP_FIELD_NAME_BYTES: usize = 128;

/// Longest From field of a submitted message, without its name.
pub const SMTP_FROM_FIELD_BYTES: usize = 16 * 1024;

/// Most bytes that the missing fields add to a submitted message (Date, Message-ID with a
/// hostname of [`DOMAIN_BYTES`], and CRLFs).
pub const SMTP_HEADER_ADDED_BYTES: usize = 512;

/// Waiting for a client of a submission listener to authenticate.
pub const SMTP_LOGIN_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Output that is gathered before it is sent as one piece.
pub const SEND_PIECE_BYTES: usize = 16 * 1024;

/// Faulty IMAP commands in a row after which the session is ended with BYE.
pub const IMAP_FAULTS_MAX: u32 = 20;

/// Failed IMAP logins after which the session is ended with BYE.
pub const IMAP_LOGIN_FAILURES_MAX: u32 = 3;

/// From the beginning of an IMAP connection (or of TLS on it) to the login.
pub const IMAP_LOGIN_TIMEOUT: Duration = Duration::from_secs(3 * 60);

/// Waiting for a command of a client that is logged in (RFC 3501 §5.4 asks for 30 minutes at
/// least). IDLE knows no such limit.
pub const IMAP_COMMAND_TIMEOUT: Duration = Duration::from_secs(31 * 60);

/// From the first byte of an IMAP command to its last, literals included, APPEND's messages not.
pub const IMAP_COMMAND_TIME: Duration = Duration::from_secs(5 * 60);

/// Waiting for more of a message that is appended.
pub const IMAP_DATA_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// From one sign of life to the next while a client idles.
pub const IMAP_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2 * 60);

/// Longest line of an AUTHENTICATE exchange, CRLF included.
pub const IMAP_AUTH_LINE_BYTES: usize = 12 * 1024;

/// Longest line that can end IDLE, CRLF included.
pub const IMAP_IDLE_LINE_BYTES: usize = 64;

/// Untagged responses that are written before send credit is looked at again.
pub const IMAP_UPDATES_AT_ONCE: usize = 8;

/// Mailboxes that LIST looks at before send credit is looked at again.
pub const LIST_MAILBOXES_AT_ONCE: usize = 16;

/// Messages that a SEARCH looks at in one step, and UIDs of one `Call::Search`.
pub const SEARCH_MESSAGES: usize = 1000;

/// Messages of one APPEND (RFC 3502).
pub const APPEND_MESSAGES: usize = 256;

/// Send credit without which FETCH does not ask for contents.
pub const FETCH_CREDIT_BYTES: usize = SEND_CREDIT_BYTES / 2;

/// Longest header that HEADER.FIELDS looks at; fields beyond it are not found.
pub const FETCH_HEADER_FIELDS_BYTES: u64 = 256 * 1024;

/// Parts within parts. A multipart or message nested deeper is one opaque part.
pub const MIME_DEPTH_MAX: usize = 32;

/// Parts of one message. With the last one, boundaries lose their meaning and it runs to the end.
pub const MIME_PARTS_MAX: usize = 1_000;

/// Fields of one part's header that are kept while it is read, in bytes; what is beyond is not
/// seen.
pub const MIME_HEADER_BYTES: usize = 64 * 1024;

/// The same of all headers of one message together.
pub const MIME_HEADERS_BYTES: usize = 256 * 1024;

/// Longest boundary that is looked for, in bytes (RFC 2046 §5.1.1 allows 70).
pub const MIME_BOUNDARY_BYTES: usize = 512;

/// Addresses of one field that its ENVELOPE shows.
pub const MIME_ADDRESSES_MAX: usize = 2048;

/// Longest message id that is kept, in bytes (RFC 5322 §2.1.1: a line).
pub const MESSAGE_ID_BYTES: usize = 998;

/// Longest header field name that a filter compares, in bytes; a longer one matches nothing.
pub const FIELD_NAME_BYTES: usize = 1024;

/// Deepest nesting of comments in a From field.
pub const SMTP_COMMENT_DEPTH_MAX: u32 = 16;

/// Longest text of one SMTP reply line; with codes and CRLF it stays within the 512 bytes of RFC
/// 5321 §4.5.3.1.5. Longer texts take several lines.
pub const SMTP_REPLY_TEXT_BYTES: usize = 450;

/// Longest line of a reply that the SMTP client reads, CRLF included (RFC 5321 §4.5.3.1.5 asks for
/// 512; some peers write more).
pub const SMTP_REPLY_LINE_BYTES: usize = 4 * 1024;

/// Lines of one reply that the SMTP client reads.
pub const SMTP_REPLY_LINES_MAX: usize = 256;

/// Text of one reply that the SMTP client keeps, in bytes; later lines are read and dropped.
pub const SMTP_REPLY_KEPT_BYTES: usize = 4 * 1024;

/// Recipients of one mail transaction of the SMTP client, if the peer asks for no fewer (every
/// server takes 100: RFC 5321 §4.5.3.1.8).
pub const SMTP_CLIENT_RECIPIENTS_MAX: usize = 100;

/// Send credit without which the SMTP client begins no mail transaction.
pub const SMTP_CLIENT_CREDIT_BYTES: usize = SEND_CREDIT_BYTES / 2;

/// BDAT chunks of the SMTP client that may wait for their reply.
pub const SMTP_CLIENT_CHUNKS_IN_FLIGHT: usize = 8;

/// Longest ENVID in bytes that is passed on (RFC 3461 §4.4).
pub const SMTP_ENVELOPE_ID_BYTES: usize = 100;

/// Longest ORCPT in bytes that is passed on (RFC 3461 §4.2).
pub const SMTP_ORIGINAL_RECIPIENT_BYTES: usize = 500;

/// Iterations that SCRAM-SHA-256 may ask of the SMTP client: fewer are no protection (RFC 7677
/// §4), more are an attack.
pub const SCRAM_ITERATIONS: core::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// Longest message of a SCRAM server, in bytes.
pub const SCRAM_MESSAGE_BYTES: usize = 2 * 1024;

/// Waiting for the greeting of an SMTP server (RFC 5321 §4.5.3.2.1).
pub const SMTP_GREETING_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Waiting for the reply to EHLO, HELO, LHLO, STARTTLS, a step of AUTH, or RSET.
pub const SMTP_HELLO_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Waiting for the reply to MAIL (RFC 5321 §4.5.3.2.2).
pub const SMTP_MAIL_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Waiting for the reply to RCPT (RFC 5321 §4.5.3.2.3).
pub const SMTP_RCPT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Waiting for the reply to DATA (RFC 5321 §4.5.3.2.4).
pub const SMTP_DATA_COMMAND_TIMEOUT: Duration = Duration::from_secs(2 * 60);

/// Waiting for an SMTP server to take bytes, or to reply to a BDAT that is not the last (RFC 5321
/// §4.5.3.2.5).
pub const SMTP_DATA_BLOCK_TIMEOUT: Duration = Duration::from_secs(3 * 60);

/// Waiting for the reply to the end of a message (RFC 5321 §4.5.3.2.6).
pub const SMTP_DATA_END_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Waiting for the reply to QUIT, when all that matters is done.
pub const SMTP_QUIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest label of a domain name (RFC 1035 §2.3.4).
pub const DNS_LABEL_BYTES: usize = 63;

/// Longest domain name as text without its final dot; on the wire that is 255 (RFC 1035 §2.3.4).
pub const DNS_NAME_BYTES: usize = 253;

/// What we say that we take in a datagram (EDNS, RFC 6891 §6.2.3): it passes unfragmented.
pub const DNS_PAYLOAD_BYTES: u16 = 1232;

/// Longest datagram that is looked at. A driver's buffer need not hold more.
pub const DNS_DATAGRAM_BYTES: usize = 4096;

/// Longest answer that is taken by TCP.
pub const DNS_MESSAGE_BYTES: usize = 32 * 1024;

/// Name servers that are asked (resolv.conf(5) has the same).
pub const DNS_SERVERS_MAX: usize = 3;

/// Domains of a search list that are kept.
pub const DNS_SEARCH_MAX: usize = 6;

/// Largest `ndots` (resolv.conf(5)).
pub const DNS_NDOTS_MAX: u32 = 15;

/// Longest `resolv.conf` that is read.
pub const RESOLV_CONF_BYTES: usize = 64 * 1024;

/// Waiting for one name server, where nothing else is said (resolv.conf(5)).
pub const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// The same at most (resolv.conf(5)).
pub const DNS_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// How often each name server is asked, where nothing else is said (resolv.conf(5)).
pub const DNS_ATTEMPTS: u32 = 2;

/// The same at most (resolv.conf(5)).
pub const DNS_ATTEMPTS_MAX: u32 = 5;

/// From a question to its answer, whatever happens between.
pub const DNS_LOOKUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Timeouts in a row after which a name server is asked last.
pub const DNS_SERVER_TIMEOUTS_MAX: u32 = 2;

/// How long it is asked last. Then a single question tries it again.
pub const DNS_SERVER_PENALTY: Duration = Duration::from_secs(30);

/// Datagrams that do not fit their question after which it is asked by TCP: somebody guesses.
pub const DNS_STRAYS_MAX: u32 = 16;

/// Aliases (CNAME) that are followed for one question.
pub const DNS_ALIASES_MAX: u32 = 16;

/// Questions that are being asked at once; each has a socket open.
pub const DNS_LOOKUPS_IN_FLIGHT: usize = 128;

/// Further questions that wait for their turn.
pub const DNS_LOOKUPS_WAITING: usize = 4096;

/// Queries that wait for an answer, those with the same question counted one by one.
pub const DNS_WAITERS_MAX: usize = 16 * 1024;

/// Answers that are kept.
pub const DNS_CACHE_ENTRIES: usize = 8 * 1024;

/// What they take in memory together, about.
pub const DNS_CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Longest time for which records are kept, whatever their TTL says.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The same for what is not there (RFC 2308 §5 finds one to three hours reasonable).
pub const DNS_NEGATIVE_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// How long a first failure of the name servers is kept; doubled with each that follows (RFC
/// 9520 §3.2).
pub const DNS_FAILURE_TTL: Duration = Duration::from_secs(5);

/// The same at most (RFC 9520 §3.2).
pub const DNS_FAILURE_TTL_MAX: Duration = Duration::from_secs(5 * 60);

/// Hosts that are tried for one domain; further mail exchangers are left out.
pub const ROUTE_HOSTS_MAX: usize = 10;

/// Addresses of one host that are tried (RFC 5321 §5.1 asks for two at least).
pub const ROUTE_ADDRESSES_MAX: usize = 8;
/// Longest target of an HTTP request in bytes, unless the configuration says otherwise.
pub const HTTP_TARGET_BYTES: usize = 16 * 1024;

/// What a request line has besides its target at most, in bytes: method, version, blanks and CRLF.
pub const HTTP_REQUEST_LINE_ADDED_BYTES: usize = 32;

/// Largest head of an HTTP request in bytes, unless the configuration says otherwise.
pub const HTTP_HEAD_BYTES: usize = 32 * 1024;

/// Fields in the header of one HTTP request, unless the configuration says otherwise.
pub const HTTP_FIELDS_MAX: usize = 100;

/// Empty lines before an HTTP request line that are passed over (RFC 9112 §2.2).
pub const HTTP_EMPTY_LINES_MAX: usize = 1;

/// Longest `client-request-id` that is taken for one, in bytes.
pub const HTTP_CLIENT_REQUEST_ID_BYTES: usize = 128;

/// Digits of a chunk's size: as many as 64 bits have.
pub const HTTP_CHUNK_SIZE_DIGITS: u32 = 16;

/// Chunk extensions and trailers of one content in bytes. They are dropped.
pub const HTTP_CHUNK_DROPPED_BYTES: usize = 16 * 1024;

/// Largest unwanted content that is read and dropped; after a larger one the connection is closed.
pub const HTTP_DROPPED_CONTENT_BYTES: u64 = 64 * 1024;

/// Longest value of a response field in bytes.
pub const HTTP_FIELD_VALUE_BYTES: usize = 2 * 1024;

/// Fields that the world can give one response, and fields of all responses.
pub const HTTP_RESPONSE_FIELDS_MAX: usize = 12;

/// Waiting for the first byte of the next HTTP request.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// From the first byte of an HTTP request's head to its last, unless the configuration says
/// otherwise.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Waiting for more of an HTTP request's content, unless the configuration says otherwise.
pub const HTTP_CONTENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Rate in bytes that a content must keep in the mean: a message that comes by SMTP or IMAP, or
/// that of an HTTP request. A peer may fall behind by the timeout, and no further.
pub const CONTENT_BYTES_PER_SECOND: u64 = 1024;

/// Waiting for an HTTP client to take bytes.
pub const HTTP_SEND_TIMEOUT: Duration = Duration::from_secs(60);
