//! `token issue`, `revoke` and `revoke-all`: bearer tokens of the HTTP API.

use std::sync::Arc;

use clap::Subcommand;
use rmail_store::{Account, AccountUpdate, DirectoryWrite, Record, RecordKind};
use serde::Serialize;

use super::{console::Console, directory::Directory, failure::Failure};
use crate::{
    api::{
        service::{ApiKeys, Service},
        time::write_time,
        token::Subject,
    },
    config::Config,
    limits,
    outside::{clock, random, token_secret},
};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Print a token for an account, as if its owner had just logged in
    Issue {
        /// The account
        address: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Void one token before its time, as logging out does; it is read from standard input
    Revoke,
    /// Void all tokens of an account; its sessions end, its password stays
    RevokeAll {
        /// The account
        address: String,
    },
}

/// A token as `--json` prints it.
#[derive(Serialize)]
struct TokenLine<'a> {
    address: String,
    token: &'a str,
    expires_at: String,
}

/// Does what is asked.
pub(super) fn run(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    config: Config,
    command: &TokenCommand,
) -> Result<(), Failure> {
    let service = service(config)?;
    match command {
        TokenCommand::Issue { address, json } => {
            issue(console, directory, &service, address, *json)
        }
        TokenCommand::Revoke => revoke(console, directory, &service),
        TokenCommand::RevokeAll { address } => {
            let account = directory.expect(address)?;
            let update = AccountUpdate {
                raise_generation: true,
                ..AccountUpdate::default()
            };
            directory.write(DirectoryWrite::UpdateAccount {
                account: account.id,
                update,
            })?;
            console.line(&format!("all tokens of {} are void", account.address))
        }
    }
}

fn service(config: Config) -> Result<Service, Failure> {
    let made = token_secret::load_or_make(&config.mail_root);
    let folder = config.mail_root.join("secrets");
    let token_secret = made.map_err(|error| Failure::file(&folder, "used", &error))?;
    let keys = ApiKeys {
        token_secret,
        process: rmail_proto::Secret::new(random::bytes()),
    };
    Ok(Service::new(Arc::new(config), keys))
}

fn issue(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    service: &Service,
    address: &str,
    json: bool,
) -> Result<(), Failure> {
    let account = directory.expect(address)?;
    if !account.is_enabled {
        return Err(Failure(format!(
            "{} is disabled, and no token would be taken; \"user set {0} --enabled yes\" first",
            account.address
        )));
    }
    let now = clock::unix_now();
    let id = u128::from_ne_bytes(random::bytes());
    let token = service.tokens.issue(now, &subject(&account), id);
    if !json {
        return console.line(token.reveal());
    }
    let ttl = i64::try_from(service.tokens.ttl().as_secs()).unwrap_or(i64::MAX);
    console.json(&TokenLine {
        address: account.address.to_string(),
        token: token.reveal(),
        expires_at: write_time(rmail_proto::UnixTime(now.0.saturating_add(ttl))),
    })
}

fn revoke(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    service: &Service,
) -> Result<(), Failure> {
    let token = console.read_secret("token", limits::TOKEN_BYTES)?;
    let claims = service
        .tokens
        .verify(clock::unix_now(), token.reveal().trim());
    let claims = claims.map_err(|_| {
        let reason = "this is no token of this server, or it has ended: there is nothing to void";
        Failure(reason.to_owned())
    })?;
    let account = directory.find(&claims.subject.address)?;
    directory.write(DirectoryWrite::PutRecord(Record {
        kind: RecordKind::Revocation,
        key: claims.id,
        account: account.map(|account| account.id),
        value: String::new(),
        expires_at: claims.expires_at,
    }))?;
    console.line(&format!("the token of {} is void", claims.subject.address))
}

fn subject(account: &Account) -> Subject {
    Subject {
        address: account.address.clone(),
        guid: account.guid,
        generation: account.generation,
        is_admin: account.is_admin,
    }
}
