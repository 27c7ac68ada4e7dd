//! Who makes things go wrong.

use std::{net::IpAddr, time::Duration};

use rmail_proto::{Entropy, Instant};

use super::scene::Scene;
use crate::{DiskFaults, HostId, ServerIndex};

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
    /// Servers of each host.
    pub(super) servers: Vec<usize>,
    /// Machines that are cut off from each other.
    pub(super) partitioned: Vec<IpAddr>,
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
    Partition,
}

impl Chaos {
    /// Whether the disk never reports an error.
    pub(super) fn disk_is_sound(&self) -> bool {
        !self.disk_fails && !self.disk_runs_full
    }

    /// Until that time; then everything heals.
    pub(super) async fn run(self, scene: Scene, mut entropy: Entropy, until: Instant) {
        let faults = self.faults();
        self.make_databases_busy(&scene, self.busy_databases);
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
        for host in (0..self.servers.len()).map(HostId) {
            scene.world().disk(host).set_faults(DiskFaults::default());
        }
        self.make_databases_busy(&scene, 0.0);
        scene.heal();
        scene.status("is over");
    }

    fn make_databases_busy(&self, scene: &Scene, probability: f64) {
        for host in (0..self.servers.len()).map(HostId) {
            scene.world().disk(host).set_busy_databases(probability);
        }
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
            (!self.partitioned.is_empty(), Fault::Partition),
        ];
        let wanted = wanted.iter().filter(|(is_wanted, _)| *is_wanted);
        wanted.map(|(_, fault)| *fault).collect()
    }

    async fn cause(&self, scene: &Scene, entropy: &mut Entropy, fault: Fault) {
        let host = match self.servers.len() {
            1 => HostId(0),
            hosts => HostId(entropy.next_below(hosts as u64) as usize),
        };
        let server = ServerIndex(entropy.next_below(self.servers[host.0] as u64) as usize);
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
            Fault::Kill => scene.world().kill(host, server, restart),
            Fault::Stop => {
                scene.world().stop_server(host, server);
                let is_down = |scene: &Scene| (!scene.world().is_up(host, server)).then_some(());
                scene.wait_for(is_down).await;
                scene.world().start(host, server);
            }
            Fault::LosePower => scene.world().lose_power(host, restart),
            Fault::LosePowerSoon => {
                // In the middle of whatever is written then.
                let disk = scene.world().disk(host);
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
                self.with_disk_faults(scene, entropy, host, faults).await;
            }
            Fault::DiskRunsFull => {
                let room = entropy.next_below(256 * 1024);
                let used = scene.world().disk(host).used_bytes();
                let faults = DiskFaults {
                    capacity_bytes: Some(used + room),
                    ..DiskFaults::default()
                };
                self.with_disk_faults(scene, entropy, host, faults).await;
            }
            Fault::Partition => self.partition(scene, entropy),
        }
    }

    /// Two machines do not reach each other for a while, or one reaches none.
    fn partition(&self, scene: &Scene, entropy: &mut Entropy) {
        let count = self.partitioned.len() as u64;
        let one = self.partitioned[entropy.next_below(count) as usize];
        let other = self.partitioned[entropy.next_below(count) as usize];
        let other = Some(other).filter(|other| *other != one);
        let longest = self.pause_seconds_max * 4;
        let duration = Duration::from_secs(1 + entropy.next_below(longest));
        scene.world().cut_off(one, other, duration);
    }

    async fn with_disk_faults(
        &self,
        scene: &Scene,
        entropy: &mut Entropy,
        host: HostId,
        faults: DiskFaults,
    ) {
        scene.world().disk(host).set_faults(faults);
        let duration = Duration::from_secs(1 + entropy.next_below(60));
        scene.sleep(duration).await;
        scene.world().disk(host).set_faults(DiskFaults::default());
    }
}
