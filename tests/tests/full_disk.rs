//! Full disks on both ends of a relay, on virtual time: mail is answered with 452, waits, and
//! arrives once there is room.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use rmail_proto::Address;
use rmail_server::node::ListenerKind;
use rmail_store::{MailboxRef, QueueFilter, Store};
use rmail_tests::{
    AccountSetup, Client, Disk, DiskFaults, HostId, ServerIndex, Setup, Site, World,
};
use serde_json::json;

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "wonderland";
const BOB: &str = "bob@example.net";

/// What a disk has left when it begins to be full.
const ROOM_BYTES: u64 = 1_500_000;

/// About so large is a message.
const MESSAGE_BYTES: usize = 20_000;

/// Alice's server, which relays to Bob's.
struct Two {
    site: Site,
    world: Rc<RefCell<World>>,
    alices_disk: Disk,
    bobs_disk: Disk,
    alices: Arc<dyn Store>,
    bobs: Arc<dyn Store>,
}

impl Two {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let (alices, bobs) = (HostId(0), HostId(1));
        let route = format!("example.net smtp:{}:25", world.address(bobs));
        world.add_host(Setup {
            config: json!({ "relay": { "routes": [route], "retry_delays": [60] } }),
            accounts: vec![AccountSetup::new(ALICE, PASSWORD)],
            servers: 1,
        });
        world.add_host(Setup {
            config: json!({ "hostname": "mail.example.net", "domains": ["example.net"] }),
            accounts: vec![AccountSetup::new(BOB, PASSWORD)],
            servers: 1,
        });
        let store = |host| world.store(host, ServerIndex(0)).expect("it is up");
        let (of_alice, of_bob) = (store(alices), store(bobs));
        let disks = [alices, bobs].map(|host| world.disk(host));
        let [alices_disk, bobs_disk] = disks;
        let world = Rc::new(RefCell::new(world));
        let shared: Rc<RefCell<World>> = Rc::clone(&world);
        Self {
            site: Site::shared(shared),
            world,
            alices_disk,
            bobs_disk,
            alices: of_alice,
            bobs: of_bob,
        }
    }

    fn queued(&self) -> usize {
        let queue = self.alices.queue(&QueueFilter::default(), None, 1000);
        queue.expect("the disk can be read").len()
    }

    /// The numbers of the messages that Bob has, and how often.
    fn arrived(&self) -> BTreeMap<u32, u32> {
        let bob = Address::parse(BOB).expect("it is well formed");
        let account = self.bobs.account_by_address(&bob);
        let account = account.expect("it can be read").expect("there is Bob");
        let inbox = MailboxRef::Name("INBOX".to_owned());
        let state = self.bobs.mailbox_state(account.id, &inbox);
        let state = state.expect("it can be read");
        let mut arrived = BTreeMap::new();
        for message in &state.changes.changed {
            let text = self
                .bobs
                .read(account.id, state.mailbox, message.uid, 0, 4096);
            let text = text.expect("it can be read").expect("it is there");
            let text = String::from_utf8_lossy(&text).into_owned();
            let (_, number) = text.split_once("X-Number: ").expect("all have one");
            let number = number.split("\r\n").next().and_then(|it| it.parse().ok());
            *arrived.entry(number.expect("it is a number")).or_default() += 1;
        }
        arrived
    }
}

fn fill_up(disk: &Disk, room_bytes: u64) {
    disk.set_faults(DiskFaults {
        capacity_bytes: Some(disk.used_bytes() + room_bytes),
        ..DiskFaults::default()
    });
}

fn make_room(disk: &Disk) {
    disk.set_faults(DiskFaults::default());
}

/// Sends a message; the code of the answer.
fn send(client: &mut Client, number: u32) -> String {
    client.play(&format!("C: MAIL FROM:<{ALICE}>\nS: * *"));
    client.send_line(&format!("RCPT TO:<{BOB}>"));
    client.expect("250 *");
    client.send_line("DATA");
    client.expect("354 *");
    let line = format!("{:0998}\r\n", 0);
    let body = line.repeat(MESSAGE_BYTES / line.len());
    let text = format!("From: {ALICE}\r\nX-Number: {number}\r\n\r\n{body}.\r\n");
    client.send(text.as_bytes());
    let answer = client.expect("*");
    answer[..3].to_owned()
}

#[test]
fn full_disks_answer_452_and_lose_nothing() {
    for seed in 0..3 {
        let two = Two::new(seed);
        let mut client = two.site.connect(ListenerKind::Smtps);
        client.expect("220 *");
        client.hello();
        client.authenticate(ALICE, PASSWORD);
        // Bob's server has no room, so that mail waits at Alice's.
        fill_up(&two.bobs_disk, 0);
        fill_up(&two.alices_disk, ROOM_BYTES);
        let mut accepted = Vec::new();
        let refused = loop {
            let number = accepted.len() as u32;
            match &send(&mut client, number)[..] {
                "250" => accepted.push(number),
                refused => break refused.to_owned(),
            }
            assert!(accepted.len() < 100, "the disk is never full");
        };
        assert_eq!(refused, "452");
        assert!(accepted.len() > 5, "there was room: {accepted:?}");
        two.site.pass(Duration::from_secs(5 * 60));
        assert!(two.bobs_disk.stats().refusals > 0, "it is tried");
        assert_eq!(two.queued(), accepted.len());

        // Bob's has room again, Alice's has none to write down what became of them.
        make_room(&two.bobs_disk);
        two.site.pass(Duration::from_secs(5 * 60));
        make_room(&two.alices_disk);
        two.site.pass(Duration::from_secs(5 * 60));
        let once: BTreeMap<u32, u32> = accepted.iter().map(|number| (*number, 1)).collect();
        assert_eq!((two.arrived(), two.queued()), (once, 0));

        let mut client = two.site.connect(ListenerKind::Smtps);
        client.expect("220 *");
        client.hello();
        client.authenticate(ALICE, PASSWORD);
        assert_eq!(send(&mut client, 1000), "250", "it goes on");
        two.site.pass(Duration::from_secs(60));
        assert_eq!(two.arrived().get(&1000), Some(&1));
        let errors = two.world.borrow_mut().take_errors();
        let is_known = |error: &String| error.contains("the disk is full");
        assert!(errors.iter().all(is_known), "{errors:#?}");
        assert!(!errors.is_empty(), "an operator is told");
    }
}
