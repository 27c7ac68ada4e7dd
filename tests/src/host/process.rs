//! A process of the host: a node and its store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rmail_proto::{AccountId, Address, Entropy, Secret, UnixTime};
use rmail_server::{
    config::Config,
    credentials::Credential,
    node::{Node, NodeSetup, World},
    outside::hints,
    tls::{ClientTls, ServerTls},
};
use rmail_store::{AccountUpdate, DirectoryWrite, Files, NewAccount, SqliteStore, Store};

use crate::AccountChange;

/// Names a process. Never reused: a server that is started again is another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ProcessId(pub(super) u64);

/// A process that serves.
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) node: Node,
    pub(super) world: World,
    /// Where hints for it arrive.
    pub(super) hint_socket: PathBuf,
    pub(super) is_listening: bool,
}

impl Process {
    /// A process whose node has not begun.
    pub(super) fn new(
        id: ProcessId,
        config: Config,
        tls: Arc<ServerTls>,
        files: Arc<dyn Files>,
        mut entropy: Entropy,
    ) -> Self {
        let store = open_store(&config.mail_root, files, &mut entropy);
        let hint_socket = store.hint_socket();
        let config_path = config.mail_root.join("config.json");
        let node = Node::new(NodeSetup {
            config: Arc::new(config),
            tls,
            client_tls: ClientTls::without_roots(),
            resolv_conf: String::new(),
            seed: entropy.next_u64(),
            cache_key: Secret::new(bytes(&mut entropy)),
            hashes_running_max: 2,
        });
        let world = World {
            store: Arc::new(store),
            config_path,
        };
        Self {
            id,
            node,
            world,
            hint_socket,
            is_listening: true,
        }
    }
}

/// Does what the command line does: in a process of its own, which tells the others by the
/// datagrams that are returned.
pub(super) fn change_account(
    mail_root: &Path,
    files: Arc<dyn Files>,
    now: UnixTime,
    entropy: &mut Entropy,
    change: AccountChange,
) -> Vec<(PathBuf, Vec<u8>)> {
    let store = open_store(mail_root, files, entropy);
    let write = match change {
        AccountChange::Add(account) => DirectoryWrite::CreateAccount(NewAccount {
            address: parse(&account.address),
            guid: u128::from_ne_bytes(bytes(entropy)),
            credential: credential(account.password, entropy),
            is_admin: account.is_admin,
        }),
        AccountChange::SetPassword { address, password } => DirectoryWrite::UpdateAccount {
            account: find(&store, &address),
            update: AccountUpdate {
                credential: Some(credential(password, entropy)),
                raise_generation: true,
                ..AccountUpdate::default()
            },
        },
        AccountChange::Delete { address } => DirectoryWrite::DeleteAccount(find(&store, &address)),
    };
    let results = store
        .write_directory(now, vec![write])
        .expect("the directory is there");
    for result in results {
        result.expect("the change can be made");
    }
    let news = store.look_at_peers().expect("the others can be seen");
    let sockets = news.sockets.into_iter();
    sockets
        .map(|socket| (socket, hints::DIRECTORY.to_vec()))
        .collect()
}

fn open_store(mail_root: &Path, files: Arc<dyn Files>, entropy: &mut Entropy) -> SqliteStore {
    SqliteStore::open(mail_root, files, None, entropy.next_u64()).expect("the store opens")
}

fn credential(password: String, entropy: &mut Entropy) -> String {
    Credential::new(&Secret::new(password), bytes(entropy)).to_string()
}

fn find(store: &SqliteStore, address: &str) -> AccountId {
    let account = store.account_by_address(&parse(address));
    account
        .expect("the directory is there")
        .expect("there is such an account")
        .id
}

fn parse(address: &str) -> Address {
    Address::parse(address).expect("a journey's addresses are well formed")
}

/// Bytes of the seed.
fn bytes<const N: usize>(entropy: &mut Entropy) -> [u8; N] {
    std::array::from_fn(|_| entropy.next_u64() as u8)
}
