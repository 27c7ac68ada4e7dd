//! The HTTP API of both daemons, over the wire: who is let in, how mail clients are set up, pages
//! of other origins, and that what one protocol or process changes the others see.

mod cors;
mod discovery;
mod together;
mod tokens;

use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, Port},
    http::HttpClient,
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";
const SECRET: &str = "a key of at least 32 bytes, for these tests";

rmail_tests::promises! {
    forged_tokens_are_refused_in_one_way: crate::tokens::forged,
    tokens_end_at_their_second: crate::tokens::times,
    a_user_made_anew_does_not_inherit_tokens: crate::tokens::user_made_anew,
    a_new_password_ends_all_tokens: crate::tokens::password_changed,
    tokens_are_taken_from_authorization_alone: crate::tokens::elsewhere,
    thunderbird_is_told_the_servers: crate::discovery::autoconfig,
    outlook_is_told_the_servers: crate::discovery::autodiscover,
    outlook_is_told_the_endpoints: crate::discovery::autodiscover_json,
    apple_is_told_the_servers: crate::discovery::apple,
    discovery_is_no_oracle: crate::discovery::no_oracle,
    any_origin_is_allowed_without_credentials: crate::cors::any_origin,
    origins_that_are_not_listed_get_nothing: crate::cors::listed_origins,
    what_imap_changes_http_shows_at_once: crate::together::imap_then_http,
    what_http_changes_imap_shows_at_once: crate::together::http_then_imap,
    two_processes_are_one_server: crate::together::two_processes,
}

/// A daemon with Alice on it.
fn start(kind: Kind, api: &Value) -> Daemon {
    let mut config = json!({"exchange_api": {"token_secret": SECRET}});
    for (key, value) in api.as_object().expect("it is the section's keys") {
        config["exchange_api"][key] = value.clone();
    }
    let daemon = MailRoot::new().start_with(kind, &config);
    daemon.add_user(ALICE, PASSWORD);
    daemon
}

/// A client over TLS.
fn client(daemon: &Daemon) -> HttpClient {
    HttpClient::new(daemon.door(Port::Https))
}

/// A client over TLS that is logged in, and its token.
fn logged_in(daemon: &Daemon) -> (HttpClient, String) {
    let mut client = client(daemon);
    let token = client.log_in(ALICE, PASSWORD);
    (client, token)
}
