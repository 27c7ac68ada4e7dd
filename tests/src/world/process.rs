//! A process of a host: a node and its store.

use std::{path::PathBuf, sync::Arc};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use rmail_proto::{AccountId, Address, Entropy, Now, Secret, UnixTime};
use rmail_server::{
    api::service::ApiKeys,
    config::Config,
    credentials::Credential,
    node::{Node, NodeSetup, World as JobWorld},
    outside::{
        hints,
        webhooks::{Post, PostAnswer, PostError, Posting},
    },
    tls::{ClientTls, ServerTls},
};
use rmail_store::{AccountUpdate, DirectoryWrite, NewAccount, SqliteStore, Store, StoreError};

use tempfile::TempDir;

use crate::{AccountChange, Mount, Setup, setup::PORTS};

/// Names a process. Never reused: a server that is started again is another one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ProcessId(pub(super) u64);

impl std::fmt::Display for ProcessId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("process {}", self.0))
    }
}

/// Who takes notifications: there are no subscribers in this world.
struct Nobody;

impl Post for Nobody {
    fn post(&self, _posting: &Posting<'_>) -> Result<PostAnswer, PostError> {
        Err(PostError::Failed("nobody listens".to_owned()))
    }
}

/// A process that serves.
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) node: Node,
    pub(super) world: JobWorld,
    /// Where hints for it arrive, as it sees the disk itself.
    pub(super) hint_socket: PathBuf,
    /// Where its configuration file is: the one thing that is not on its disk.
    config_folder: TempDir,
    /// Last: the store is closed while its disk is there.
    mount: Mount,
}

impl Process {
    /// A process whose node has not begun.
    pub(super) fn new(
        id: ProcessId,
        config: Config,
        tls: Arc<ServerTls>,
        mount: Mount,
        mut entropy: Entropy,
    ) -> Result<Self, StoreError> {
        let store = open_store(&mount, &mut entropy)?;
        let hint_socket = store.hint_socket();
        let config_folder = TempDir::new().expect("there is room for a file");
        let config_path = config_folder.path().join("config.json");
        let node = Node::new(NodeSetup {
            config: Arc::new(config),
            tls,
            client_tls: ClientTls::without_roots(),
            resolv_conf: format!("nameserver {}\n", super::outbound::NAME_SERVER),
            seed: entropy.next_u64(),
            cache_key: Secret::new(bytes(&mut entropy)),
            hashes_running_max: 2,
            api_keys: ApiKeys {
                token_secret: Secret::new("the same for all processes of a host".to_owned()),
                process: Secret::new(bytes(&mut entropy)),
            },
        });
        let world = JobWorld {
            store: Arc::new(store),
            poster: Arc::new(Nobody),
            config_path,
        };
        Ok(Self {
            id,
            node,
            world,
            hint_socket,
            config_folder,
            mount,
        })
    }

    /// The operator writes another configuration, and sends SIGHUP.
    pub(super) fn reload(&mut self, now: Now, setup: &Setup) {
        let config = setup.config_json(self.mount.root(), PORTS);
        let path = self.config_folder.path().join("config.json");
        std::fs::write(path, config.to_string()).expect("there is room for a file");
        self.node.handle_reload(now);
    }

    /// SIGKILL: what it still tries to do has no effect.
    pub(super) fn kill(self) {
        self.mount.kill();
    }
}

/// Does what the command line does: in a process of its own, which tells the others by the
/// datagrams that are returned.
pub(super) fn change_account(
    mount: &Mount,
    now: UnixTime,
    entropy: &mut Entropy,
    change: AccountChange,
) -> Result<Vec<(PathBuf, Vec<u8>)>, StoreError> {
    let store = open_store(mount, entropy)?;
    let write = match change {
        AccountChange::Add(account) => DirectoryWrite::CreateAccount(NewAccount {
            address: parse(&account.address),
            guid: u128::from_ne_bytes(bytes(entropy)),
            credential: credential(&account.password, entropy),
            is_admin: account.is_admin,
        }),
        AccountChange::SetPassword { address, password } => DirectoryWrite::UpdateAccount {
            account: find(&store, &address)?,
            update: AccountUpdate {
                credential: Some(credential(&password, entropy)),
                raise_generation: true,
                ..AccountUpdate::default()
            },
        },
        AccountChange::Delete { address } => DirectoryWrite::DeleteAccount(find(&store, &address)?),
    };
    for result in store.write_directory(now, vec![write])? {
        result?;
    }
    let news = store.look_at_peers()?;
    let sockets = news.sockets.into_iter();
    Ok(sockets
        .map(|socket| (socket, hints::DIRECTORY.to_vec()))
        .collect())
}

fn open_store(mount: &Mount, entropy: &mut Entropy) -> Result<SqliteStore, StoreError> {
    let seed = entropy.next_u64();
    SqliteStore::open(mount.root(), mount.files(), Some(mount.vfs()), seed)
}

/// A record that costs as little work as Argon2 allows: what is simulated is not how long a hash
/// takes.
fn credential(password: &str, entropy: &mut Entropy) -> String {
    let params = Params::new(Params::MIN_M_COST, Params::MIN_T_COST, 1, None);
    let params = params.expect("the least is within the bounds");
    let salt: [u8; 16] = bytes(entropy);
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .expect("salt and password are within Argon2's bounds");
    let record = format!("v1 {{\"argon2id\":\"{hash}\"}}");
    Credential::parse(&record).expect("it is a record as the server writes them");
    record
}

fn find(store: &SqliteStore, address: &str) -> Result<AccountId, StoreError> {
    let account = store.account_by_address(&parse(address))?;
    account
        .map(|account| account.id)
        .ok_or(StoreError::NoSuchAccount)
}

fn parse(address: &str) -> Address {
    Address::parse(address).expect("a journey's addresses are well formed")
}

/// Bytes of the seed.
fn bytes<const N: usize>(entropy: &mut Entropy) -> [u8; N] {
    std::array::from_fn(|_| entropy.next_u64() as u8)
}
