//! An operator who changes the configuration: ports, limits, the certificate. What the file says
//! holds soon; a faulty file changes nothing, not even what is right in it.

use std::{collections::BTreeSet, time::Duration};

use rmail_proto::Entropy;
use rmail_server::node::{ListenerKind, Status};
use serde_json::{Value, json};

use super::{
    super::scene::{HOST, Scene},
    State,
};
use crate::{
    CERTIFICATE, OTHER_CERTIFICATE, ServerIndex, TAKEN_PORT, certificate_config,
    setup::{PORTS, merge},
};

/// `smtp.max_connections` and `imap.max_connections`, at the beginning and at most.
pub(super) const CONNECTIONS_MAX: u64 = 80;

/// The least that they become.
const CONNECTIONS_LEAST: u64 = 55;

/// When a reload has come to its end.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);

/// In the order of [`PORTS`].
const LISTENERS: [ListenerKind; 7] = [
    ListenerKind::Smtp,
    ListenerKind::Submission,
    ListenerKind::Smtps,
    ListenerKind::Imap,
    ListenerKind::Imaps,
    ListenerKind::Http,
    ListenerKind::Https,
];

/// What is to be in force.
#[derive(Clone)]
struct Wanted {
    ports: [u16; 7],
    connections: [u64; 2],
    certificate: &'static str,
}

/// What is in force, as far as it is looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Force {
    listeners: BTreeSet<(String, u16)>,
    connections: [u64; 2],
    certificate_ends: i64,
}

/// See the module's documentation.
pub(super) struct Operator {
    wanted: Wanted,
    moves: u16,
}

impl Operator {
    pub(super) fn new() -> Self {
        Self {
            wanted: Wanted {
                ports: PORTS,
                connections: [CONNECTIONS_MAX; 2],
                certificate: CERTIFICATE,
            },
            moves: 0,
        }
    }

    pub(super) async fn run(mut self, scene: &Scene, mut entropy: Entropy, state: &State) {
        while !state.is_over(scene) {
            scene.status("thinks");
            let pause = 10 + entropy.next_below(40);
            scene.sleep(Duration::from_secs(pause)).await;
            let before = in_force(scene);
            let kind = entropy.next_below(7) as usize;
            match entropy.next_below(6) {
                0 | 1 => {
                    self.wanted.ports[kind] = self.new_port();
                    self.put_in_force(scene, state).await;
                }
                2 => {
                    for connections in &mut self.wanted.connections {
                        let room = CONNECTIONS_MAX - CONNECTIONS_LEAST + 1;
                        *connections = CONNECTIONS_LEAST + entropy.next_below(room);
                    }
                    self.put_in_force(scene, state).await;
                }
                3 => {
                    let is_first = self.wanted.certificate == CERTIFICATE;
                    let names = [CERTIFICATE, OTHER_CERTIFICATE];
                    self.wanted.certificate = names[usize::from(is_first)];
                    self.put_in_force(scene, state).await;
                    assert_ne!(in_force(scene).certificate_ends, before.certificate_ends);
                }
                4 => {
                    let mut wrong = self.wanted.clone();
                    wrong.ports[kind] = self.new_port();
                    let faults = [
                        json!({ "smtp": { "max_connections": "many" } }),
                        json!({ "imap": { "port": 0.5 }, "domains": [] }),
                        certificate_config("missing-"),
                    ];
                    let fault = &faults[entropy.next_below(3) as usize];
                    let mut changes = wrong.to_json();
                    merge(&mut changes, fault);
                    reload(scene, &changes).await;
                    assert_eq!(in_force(scene), before, "a faulty file changes something");
                    state.count(|figures| figures.faulty_reloads += 1);
                }
                _ => {
                    // What can't be opened takes nothing else away.
                    let mut wrong = self.wanted.clone();
                    wrong.ports[kind] = TAKEN_PORT;
                    reload(scene, &wrong.to_json()).await;
                    assert_eq!(in_force(scene), before, "a listener is gone");
                    self.put_in_force(scene, state).await;
                }
            }
        }
    }

    /// One that nobody had before.
    fn new_port(&mut self) -> u16 {
        self.moves += 1;
        20_000 + self.moves
    }

    async fn put_in_force(&self, scene: &Scene, state: &State) {
        reload(scene, &self.wanted.to_json()).await;
        let force = in_force(scene);
        let listeners = LISTENERS.iter().zip(self.wanted.ports);
        let listeners = listeners.map(|(kind, port)| (kind.name().to_owned(), port));
        assert_eq!(force.listeners, listeners.collect());
        assert_eq!(force.connections, self.wanted.connections);
        state.count(|figures| figures.reloads += 1);
    }
}

impl Wanted {
    fn to_json(&self) -> Value {
        let [smtp, submission, smtps, imap, imaps, http, https] = self.ports;
        let [smtp_max, imap_max] = self.connections;
        let mut json = json!({
            "smtp": {
                "port": smtp,
                "submission_port": submission,
                "smtps_port": smtps,
                "max_connections": smtp_max,
            },
            "imap": { "port": imap, "imaps_port": imaps, "max_connections": imap_max },
            "exchange_api": { "port": http, "secure_port": https },
            "domains": ["example.com"],
        });
        merge(&mut json, &certificate_config(self.certificate));
        json
    }
}

async fn reload(scene: &Scene, changes: &Value) {
    scene.status("has changed the configuration");
    scene.world().reload(HOST, changes);
    scene.sleep(IN_FORCE_WITHIN).await;
}

/// # Panics
///
/// When a listener is neither open nor gone.
fn in_force(scene: &Scene) -> Force {
    let status: Option<Status> = scene.world().status(HOST, ServerIndex(0));
    let status = status.expect("the server runs");
    let listeners = status.listeners.into_iter().map(|listener| {
        assert_eq!(listener.state, "open", "{}", listener.name);
        (listener.name, listener.address.port())
    });
    Force {
        listeners: listeners.collect(),
        connections: [
            status.limits.smtp.max_connections as u64,
            status.limits.imap.max_connections as u64,
        ],
        certificate_ends: status.certificate_not_after,
    }
}
