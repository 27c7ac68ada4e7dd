//! From a configuration to a node that is ready to serve, in two steps: what needs root's rights,
//! and all that does not.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use rmail_proto::{Now, Secret};
use rmail_store::{RealFiles, SqliteStore, Store, StoreError};
use thiserror::Error;

use crate::{
    api::service::ApiKeys,
    cli::Prepared,
    node::{Node, NodeSetup, World, configured_listeners},
    outside::{
        listeners::{self, Listener},
        name_servers, open_files,
        privileges::{self, PrivilegeError},
        random, token_secret,
        webhooks::Webhooks,
    },
    tls::{ClientTls, ServerTls, TlsError},
};

/// What root's rights were needed for is done.
#[derive(Debug)]
pub struct Opened {
    prepared: Prepared,
    listeners: Vec<Listener>,
}

/// What a runtime drives.
#[derive(Debug)]
pub struct Started {
    /// To be begun with [`Node::handle_start`] once the listeners are open.
    pub node: Node,
    /// Where connections wait.
    pub listeners: Vec<Listener>,
    /// For the node's jobs.
    pub world: Arc<World>,
    /// Where hints of other processes arrive: a Unix datagram socket to be made here, if it can
    /// be. Without it, changes are noticed within a second all the same.
    pub hint_socket: PathBuf,
}

/// Why the server does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener can't be opened.
    #[error("{0}")]
    Listener(String),
    /// The process can't work as the configured user.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The certificate can't be used or made.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The secret that signs tokens can't be read or made.
    #[error(
        "the secret in {folder} can't be read or made: {source}; make the folder writable for the \
         user that runs rmail, or set exchange_api.token_secret"
    )]
    Secrets {
        /// Where it is kept.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store can't be opened.
    #[error("the mail in {mail_root} can't be opened: {source}")]
    Store {
        /// The configured `mail_root`.
        mail_root: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// Binds the listeners and becomes the configured user. The process must have one thread, the
/// caller's: those that it makes later have no more rights than this one is left with.
///
/// # Errors
///
/// With what an operator can do about it; the process has to end then.
pub fn open(mut prepared: Prepared) -> Result<Opened, StartError> {
    let Prepared {
        config,
        config_path,
        ..
    } = &prepared;
    let listeners = listeners::open(&configured_listeners(config));
    let listeners = listeners.map_err(StartError::Listener)?;
    let warnings = [
        open_files::allow_many(config),
        privileges::become_user(config, config_path)?,
    ];
    prepared.warnings.extend(warnings.into_iter().flatten());
    Ok(Opened {
        prepared,
        listeners,
    })
}

/// Opens the store and the certificate, and makes the node.
///
/// # Errors
///
/// With what an operator can do about it.
pub fn start(opened: Opened, now: Now) -> Result<Started, StartError> {
    let Opened {
        prepared:
            Prepared {
                config,
                config_path,
                warnings,
            },
        listeners,
    } = opened;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let mail_root = config.mail_root.clone();
    let store = SqliteStore::open(&mail_root, Arc::new(RealFiles), None, random::seed())
        .map_err(|source| StartError::Store { mail_root, source })?;
    let tls = ServerTls::load_or_create(&config, now.unix)?;
    if let Some(reason) = &tls.renewed {
        tracing::info!("a new self-signed certificate was made: {reason}");
    }
    for warning in &tls.warnings {
        tracing::warn!("{warning}");
    }
    let token_secret = token_secret::load_or_make(&config.mail_root);
    let token_secret = token_secret.map_err(|source| StartError::Secrets {
        folder: config.mail_root.join("secrets"),
        source,
    })?;
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let hint_socket = store.hint_socket();
    let node = Node::new(NodeSetup {
        config: Arc::new(config),
        tls: Arc::new(tls),
        client_tls: ClientTls::of_machine(),
        resolv_conf: name_servers::read(),
        seed: random::seed(),
        cache_key: Secret::new(random::bytes()),
        hashes_running_max: 2 * processors,
        api_keys: ApiKeys {
            token_secret,
            process: Secret::new(random::bytes()),
        },
    });
    let world = World {
        store: Arc::new(store),
        poster: Arc::new(Webhooks::of_machine()),
        config_path,
    };
    Ok(Started {
        node,
        listeners,
        world: Arc::new(world),
        hint_socket,
    })
}
