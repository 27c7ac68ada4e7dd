//! Somebody who guesses a password, by all protocols in turn, until they are locked out; and then
//! comes upon the right one.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmail_proto::Entropy;
use rmail_server::node::ListenerKind;
use serde_json::json;

use super::{
    super::{
        http_session::{Request, read_answer},
        scene::Scene,
        socket::{Lost, PATIENCE, Socket},
    },
    FAILURES_MAX, LOCKOUT, PROTOCOLS, State, stranger,
};
use crate::AccountSetup;

/// How exactly the end of a lockout is known: an answer may take so long.
const ROUNDING: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub(super) struct Guesser {
    pub(super) number: u8,
    pub(super) victim: AccountSetup,
}

/// What a server says to a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    LockedOut,
    /// Nothing: it is full, or busy.
    None,
}

impl Guesser {
    pub(super) async fn run(&self, scene: &Scene, mut entropy: Entropy, state: &State) {
        let wrong = AccountSetup::new(&self.victim.address, "123456");
        let mut failures = 0;
        while failures < FAILURES_MAX {
            scene.status(format!("has guessed {failures} times"));
            let protocol = entropy.next_below(3) as usize;
            match self.guess(scene, protocol, &mut entropy, &wrong).await {
                Verdict::Wrong => failures += 1,
                Verdict::None => {}
                verdict => panic!("{verdict:?} after {failures} failures by {}", self.number),
            }
            let pause = entropy.next_below(3_000);
            scene.sleep(Duration::from_millis(pause)).await;
        }
        let until = scene.at() + LOCKOUT;
        state.guessing.set(state.guessing.get() - 1);
        state.count(|figures| figures.lockouts += 1);
        while scene.at() + ROUNDING + ROUNDING < until {
            scene.status("is locked out");
            let protocol = entropy.next_below(3) as usize;
            match self
                .guess(scene, protocol, &mut entropy, &self.victim)
                .await
            {
                Verdict::LockedOut => state.count(|figures| figures.kept_out[protocol] += 1),
                Verdict::None => {}
                verdict => panic!("a lockout is not kept: {verdict:?} by protocol {protocol}"),
            }
            let pause = 10 + entropy.next_below(40);
            let left = until.since(scene.at()).saturating_sub(ROUNDING);
            scene.sleep(Duration::from_secs(pause).min(left)).await;
        }
        let left = until.since(scene.at());
        scene.sleep(left + ROUNDING).await;
        for protocol in 0..3 {
            scene.status(format!("has the password, protocol {protocol}"));
            loop {
                match self
                    .guess(scene, protocol, &mut entropy, &self.victim)
                    .await
                {
                    Verdict::Right => break,
                    Verdict::None => scene.sleep(Duration::from_secs(7)).await,
                    verdict => panic!("a lockout does not end: {verdict:?}"),
                }
            }
        }
    }

    async fn guess(
        &self,
        scene: &Scene,
        protocol: usize,
        entropy: &mut Entropy,
        account: &AccountSetup,
    ) -> Verdict {
        let peer = self.address(entropy);
        try_password(scene, peer, PROTOCOLS[protocol], account).await
    }

    /// An IPv4 address, or one of the many of an IPv6 network, all of which are one client.
    fn address(&self, entropy: &mut Entropy) -> IpAddr {
        match self.number % 2 {
            0 => stranger(99, u16::from(self.number)),
            _ => {
                let network = u128::from(self.number) << 64;
                let base = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);
                let host = u128::from(entropy.next_u64());
                IpAddr::V6(Ipv6Addr::from_bits(base.to_bits() | network | host))
            }
        }
    }
}

/// Connects, logs in, and leaves.
pub(super) async fn try_password(
    scene: &Scene,
    peer: IpAddr,
    protocol: ListenerKind,
    account: &AccountSetup,
) -> Verdict {
    let server = scene.server(0);
    let Ok(mut socket) = Socket::connect_from(peer, scene, server, protocol).await else {
        return Verdict::None;
    };
    let verdict = match protocol {
        ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => {
            by_smtp(&mut socket, account).await
        }
        ListenerKind::Imap | ListenerKind::Imaps => by_imap(&mut socket, account).await,
        ListenerKind::Http | ListenerKind::Https => by_http(&mut socket, account).await,
    };
    verdict.unwrap_or(Verdict::None)
}

async fn by_smtp(socket: &mut Socket, account: &AccountSetup) -> Result<Verdict, Lost> {
    let greeting = socket.line(PATIENCE).await?;
    if !greeting.starts_with("220") {
        return Ok(Verdict::None);
    }
    socket.send_line("EHLO guesser.example");
    while !socket.line(PATIENCE).await?.starts_with("250 ") {}
    let (address, password) = (&account.address, &account.password);
    let plain = STANDARD.encode(format!("\0{address}\0{password}"));
    socket.send_line(&format!("AUTH PLAIN {plain}"));
    let reply = socket.line(PATIENCE).await?;
    socket.send_line("QUIT");
    Ok(match &reply[..3] {
        "235" => Verdict::Right,
        "535" => Verdict::Wrong,
        _ if reply.contains("Too many failed logins") => Verdict::LockedOut,
        _ => Verdict::None,
    })
}

async fn by_imap(socket: &mut Socket, account: &AccountSetup) -> Result<Verdict, Lost> {
    let greeting = socket.line(PATIENCE).await?;
    if !greeting.starts_with("* OK") {
        return Ok(Verdict::None);
    }
    let (address, password) = (&account.address, &account.password);
    socket.send_line(&format!("a LOGIN {address} \"{password}\""));
    loop {
        let line = socket.line(PATIENCE).await?;
        let Some(completion) = line.strip_prefix("a ") else {
            continue;
        };
        return Ok(match completion {
            right if right.starts_with("OK") => Verdict::Right,
            wrong if wrong.contains("AUTHENTICATIONFAILED") => Verdict::Wrong,
            locked if locked.contains("Too many failed logins") => Verdict::LockedOut,
            _ => Verdict::None,
        });
    }
}

async fn by_http(socket: &mut Socket, account: &AccountSetup) -> Result<Verdict, Lost> {
    let content = json!({ "username": account.address, "password": account.password });
    let request = Request::json("POST", "/auth/login", &content);
    socket.send(&request.to_bytes(None));
    let answer = read_answer(socket, "POST").await?;
    Ok(match answer.status {
        200 => Verdict::Right,
        401 => Verdict::Wrong,
        429 => {
            let wait = answer.field("retry-after").expect("it says how long");
            let wait: u64 = wait.parse().expect("it is a number of seconds");
            assert!(wait <= LOCKOUT.as_secs(), "locked out for {wait} s");
            Verdict::LockedOut
        }
        503 => Verdict::None,
        status => panic!("what is {status}? {}", answer.text()),
    })
}
