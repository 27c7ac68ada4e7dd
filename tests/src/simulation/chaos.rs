//! Who makes things go wrong.

use std::time::Duration;

use rmail_proto::{Entropy, Instant};

use super::scene::{HOST, Scene};
use crate::{DiskFaults, ServerIndex};

/// What may go wrong in a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Chaos {
    pub(super) loses_streams: bool,
    pub(super) stalls_streams: bool,
    pub(super) kills: bool,
    pub(super) stops: bool,
    pub(super) loses_power: bool,
    pub(super) disk_fails: bool,
    pub(super) disk_runs_full: bool,
    /// How probable it is that a database which is to be written to is busy.
    pub(super) busy_databases: f64,
    pub(super) servers: usize,
    /// Most seconds between two faults.
    pub(super) pause_seconds_max: u64,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    LoseStream,
    StallStream,
    Kill,
    Stop,
    LosePower,
    LosePowerSoon,
    DiskFails,
    DiskRunsFull,
}

impl Chaos {
    /// Whether the disk never reports an error.
    pub(super) fn disk_is_sound(&self) -> bool {
        !self.disk_fails && !self.disk_runs_full
    }

    /// Until that time; then everything heals.
    pub(super) async fn run(self, scene: Scene, mut entropy: Entropy, until: Instant) {
        let faults = self.faults();
        let disk = scene.world().disk(HOST);
        disk.set_busy_databases(self.busy_databases);
        while scene.at() < until {
            let pause = 1 + entropy.next_below(self.pause_seconds_max * 1000);
            scene.sleep(Duration::from_millis(pause)).await;
            if faults.is_empty() || scene.at() >= until {
                continue;
            }
            let fault = faults[entropy.next_below(faults.len() as u64) as usize];
            scene.status(format!("{fault:?}"));
            self.cause(&scene, &mut entropy, fault).await;
        }
        disk.set_faults(DiskFaults::default());
        disk.set_busy_databases(0.0);
        scene.heal();
        scene.status("is over");
    }

    fn faults(&self) -> Vec<Fault> {
        let wanted = [
            (self.loses_streams, Fault::LoseStream),
            (self.stalls_streams, Fault::StallStream),
            (self.kills, Fault::Kill),
            (self.stops, Fault::Stop),
            (self.loses_power, Fault::LosePower),
            (self.loses_power, Fault::LosePowerSoon),
            (self.disk_fails, Fault::DiskFails),
            (self.disk_runs_full, Fault::DiskRunsFull),
        ];
        let wanted = wanted.iter().filter(|(is_wanted, _)| *is_wanted);
        wanted.map(|(_, fault)| *fault).collect()
    }

    async fn cause(&self, scene: &Scene, entropy: &mut Entropy, fault: Fault) {
        let server = ServerIndex(entropy.next_below(self.servers as u64) as usize);
        let restart = Duration::from_millis(100 + entropy.next_below(20_000));
        match fault {
            Fault::LoseStream | Fault::StallStream => {
                let streams = scene.world().streams();
                if streams.is_empty() {
                    return;
                }
                let stream = streams[entropy.next_below(streams.len() as u64) as usize];
                match fault {
                    Fault::LoseStream => scene.world().lose_stream(stream),
                    _ => {
                        let duration = Duration::from_secs(1 + entropy.next_below(400));
                        scene.world().stall(stream, duration);
                    }
                }
            }
            Fault::Kill => scene.world().kill(HOST, server, restart),
            Fault::Stop => {
                scene.world().stop_server(HOST, server);
                let is_down = |scene: &Scene| (!scene.world().is_up(HOST, server)).then_some(());
                scene.wait_for(is_down).await;
                scene.world().start(HOST, server);
            }
            Fault::LosePower => scene.world().lose_power(HOST, restart),
            Fault::LosePowerSoon => {
                // In the middle of whatever is written then.
                let disk = scene.world().disk(HOST);
                disk.crash_after(disk.operations() + 1 + entropy.next_below(60));
            }
            Fault::DiskFails => {
                let mut chance = || entropy.next_below(30) as f64 / 1000.0;
                let faults = DiskFaults {
                    read_errors: chance(),
                    write_errors: chance(),
                    sync_errors: chance(),
                    capacity_bytes: None,
                };
                self.with_disk_faults(scene, entropy, faults).await;
            }
            Fault::DiskRunsFull => {
                let room = entropy.next_below(256 * 1024);
                let used = scene.world().disk(HOST).used_bytes();
                let faults = DiskFaults {
                    capacity_bytes: Some(used + room),
                    ..DiskFaults::default()
                };
                self.with_disk_faults(scene, entropy, faults).await;
            }
        }
    }

    async fn with_disk_faults(&self, scene: &Scene, entropy: &mut Entropy, faults: DiskFaults) {
        scene.world().disk(HOST).set_faults(faults);
        let duration = Duration::from_secs(1 + entropy.next_below(60));
        scene.sleep(duration).await;
        scene.world().disk(HOST).set_faults(DiskFaults::default());
    }
}
