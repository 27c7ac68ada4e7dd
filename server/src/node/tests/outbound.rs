//! Mail to other servers on virtual time: peers that take it, refuse it, defer it, stall, and
//! hang up, and what becomes of every recipient.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use rmail_proto::{ForwardPath, ReversePath};
use rmail_store::{MailboxRef, QueueFilter};

use super::*;
use crate::session::Session;

/// How a peer behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conduct {
    /// It takes everything but what is for `no…` (550) and `later…` (450).
    Honest,
    /// Nobody answers.
    Down,
    /// It takes the content and says nothing.
    Stalls,
    /// It takes recipients and does not ask for the content.
    StallsBefore,
    /// It takes the content and hangs up.
    HangsUp,
    /// It has no time.
    Busy,
}

/// What a peer has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connections: u32,
    /// How often each recipient was named.
    pub(super) named: BTreeMap<String, u32>,
    /// How often each recipient's message was taken with a 250.
    pub(super) taken: BTreeMap<String, u32>,
    /// Contents, taken or not.
    pub(super) contents: Vec<String>,
}

/// A session of ours with a peer.
struct Talk {
    session: Box<Session>,
    peer: SocketAddr,
    received: Vec<u8>,
    recipients: Vec<String>,
    in_data: bool,
}

/// Servers around one node.
pub(super) struct Town {
    pub(super) site: Site,
    talks: BTreeMap<SessionId, Talk>,
    conducts: BTreeMap<SocketAddr, Conduct>,
    seen: BTreeMap<SocketAddr, Seen>,
    pub(super) sender: SessionId,
    /// What stands in messages behind their subjects.
    pub(super) text: String,
}

pub(super) const ONE: &str = "192.0.2.1:25";
pub(super) const TWO: &str = "192.0.2.2:25";

const CONFIG: &str = r#"{"domains": ["mail.example"], "hostname": "mail.example", "relay": {
    "routes": ["one.example smtp:192.0.2.1:25", "two.example smtp:192.0.2.2:25",
               "held.example hold"]}}"#;

impl Town {
    pub(super) fn new() -> Self {
        let mut site = Site::with(CONFIG);
        site.make_account();
        site.make_account_of("bob");
        let sender = site.connect(ListenerKind::Smtp);
        Self {
            site,
            talks: BTreeMap::new(),
            conducts: BTreeMap::new(),
            seen: BTreeMap::new(),
            sender,
            text: "\r\nText\r\n".to_owned(),
        }
    }

    pub(super) fn set(&mut self, peer: &str, conduct: Conduct) {
        self.conducts.insert(peer.parse().unwrap(), conduct);
    }

    pub(super) fn seen(&self, peer: &str) -> &Seen {
        &self.seen[&peer.parse::<SocketAddr>().unwrap()]
    }

    /// ann sends a message, which is accepted.
    pub(super) fn send(&mut self, to: &[&str]) {
        self.send_from("ann@mail.example", to, smtp::RcptNotice::default());
    }

    pub(super) fn send_from(&mut self, from: &str, to: &[&str], notice: smtp::RcptNotice) {
        assert!(self.submit(from, to, notice), "the message is accepted");
    }

    /// Whether a message is accepted.
    pub(super) fn submit(&mut self, from: &str, to: &[&str], notice: smtp::RcptNotice) -> bool {
        let address = |text: &str| Address::parse(text).unwrap();
        let recipients = to.iter().map(|to| smtp::Recipient {
            path: ForwardPath::Address(address(to)),
            notice: notice.clone(),
        });
        let reverse_path = match from {
            "" => ReversePath::Null,
            from => ReversePath::Address(address(from)),
        };
        let text = &self.text;
        let content = format!("Return-Path: {reverse_path}\r\nSubject: to {to:?}\r\n{text}");
        let envelope = smtp::Envelope {
            id: format!("mail{}", self.site.calls),
            reverse_path,
            recipients: recipients.collect(),
            identity: None,
            header_from: Vec::new(),
            smtputf8: false,
            eight_bit_mime: false,
            notice: smtp::MailNotice::default(),
        };
        let mut scanner = rmail_proto::mime::Scanner::default();
        scanner.handle_input(content.as_bytes());
        let message = smtp::Call::Message {
            upload: UploadId(self.site.calls + 1),
            data: Bytes::from(content),
            envelope: Box::new(envelope),
        };
        let summary = Some(Arc::new(scanner.finish()));
        self.site.events.clear();
        self.site.ask(self.sender, Call::Smtp(message, summary));
        self.settle();
        self.site.events.iter().any(|(_, event)| {
            matches!(
                event,
                SessionEvent::Reply(_, Reply::Smtp(smtp::Reply::Accepted))
            )
        })
    }

    /// Everything happens that can happen now.
    pub(super) fn settle(&mut self) {
        loop {
            let mut has_changed = !self.site.jobs.is_empty();
            self.site.settle();
            while let Some((session, to)) = self.site.dials.pop_front() {
                has_changed = true;
                self.connect(session, to);
            }
            has_changed |= self.tell_sessions();
            let ids: Vec<SessionId> = self.talks.keys().copied().collect();
            for id in ids {
                has_changed |= self.talk(id);
            }
            self.site.drain();
            if !has_changed {
                return;
            }
        }
    }

    fn connect(&mut self, session: SessionId, to: SocketAddr) {
        let conduct = self.conducts.get(&to).copied().unwrap_or(Conduct::Honest);
        let outcome = match conduct {
            Conduct::Down => Err("connection refused".to_owned()),
            _ => Ok(()),
        };
        self.seen.entry(to).or_default().connections += 1;
        let now = self.site.now;
        let Some(mut begun) = self.site.node.handle_dialled(now, session, outcome) else {
            return;
        };
        let greeting: &[u8] = match conduct {
            Conduct::Busy => b"421 4.3.2 not now\r\n",
            _ => b"220 peer.example ESMTP\r\n",
        };
        begun.handle_received(now, greeting);
        let talk = Talk {
            session: begun,
            peer: to,
            received: Vec::new(),
            recipients: Vec::new(),
            in_data: false,
        };
        self.talks.insert(session, talk);
    }

    /// Hands events of the node to its sessions.
    fn tell_sessions(&mut self) -> bool {
        let mut has_changed = false;
        let now = self.site.now;
        for (id, event) in std::mem::take(&mut self.site.events) {
            match self.talks.get_mut(&id) {
                Some(talk) => {
                    talk.session.handle_event(now, event);
                    has_changed = true;
                }
                None => self.site.events.push((id, event)),
            }
        }
        has_changed
    }

    /// Moves bytes and requests of one session.
    fn talk(&mut self, id: SessionId) -> bool {
        let now = self.site.now;
        let mut has_changed = false;
        let talk = self.talks.get_mut(&id).unwrap();
        while let bytes = talk.session.transmit()
            && !bytes.is_empty()
        {
            talk.received.extend_from_slice(bytes);
            let length = bytes.len();
            talk.session.handle_sent(now, length);
            has_changed = true;
        }
        let conduct = self.conducts.get(&talk.peer).copied();
        let seen = self.seen.get_mut(&talk.peer).unwrap();
        while let Some(answer) = talk.answer(conduct.unwrap_or(Conduct::Honest), seen) {
            has_changed = true;
            match answer {
                Answer::Say(reply) => talk.session.handle_received(now, reply.as_bytes()),
                Answer::HangUp => talk.session.handle_end_of_stream(now),
            }
        }
        while let Some(request) = talk.session.poll_request() {
            has_changed = true;
            self.site.node.handle_request(now, id, request);
        }
        if talk.session.wants_write_end() && talk.session.transmit().is_empty() {
            talk.session.handle_write_ended(now);
            talk.session.handle_end_of_stream(now);
        }
        if talk.session.is_over() {
            has_changed = true;
            self.talks.remove(&id);
            self.site.node.handle_session_over(now, id);
        }
        has_changed
    }

    /// Time passes, with everything that is due in it.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.site.now.at + duration;
        loop {
            self.settle();
            let sessions = self.talks.values();
            let deadlines = sessions.filter_map(|talk| talk.session.poll_timeout());
            let next = deadlines.chain(self.site.node.poll_timeout()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.site.set_time(end);
                return self.settle();
            };
            // The node looks at other processes each second: not at each of a day's.
            let step = self.site.now.at + Duration::from_secs(20);
            self.site.set_time(next.max(step.min(end)));
            let now = self.site.now;
            for talk in self.talks.values_mut() {
                if talk.session.poll_timeout().is_some_and(|at| at <= now.at) {
                    talk.session.handle_timeout(now);
                }
            }
            self.site.node.handle_timeout(now);
            self.site.drain();
        }
    }

    /// The messages in ann's or bob's INBOX.
    pub(super) fn inbox(&self, local_part: &str) -> Vec<String> {
        let store = &self.site.world.store;
        let address = Address::parse(&format!("{local_part}@mail.example")).unwrap();
        let Some(account) = store.account_by_address(&address).unwrap() else {
            return Vec::new();
        };
        let inbox = MailboxRef::Name("INBOX".to_owned());
        let state = store.mailbox_state(account.id, &inbox).unwrap();
        let uids = state.changes.changed.iter().map(|message| message.uid);
        let texts = uids.map(|uid| {
            let text = store.read(account.id, state.mailbox, uid, 0, 1_000_000);
            String::from_utf8(text.unwrap().unwrap().to_vec()).unwrap()
        });
        texts.collect()
    }

    /// Messages that are not finished.
    pub(super) fn queued(&self) -> usize {
        let filter = QueueFilter::default();
        self.site
            .world
            .store
            .queue(&filter, None, 1000)
            .unwrap()
            .len()
    }

    /// The process dies and another takes its place.
    pub(super) fn restart(&mut self) {
        self.talks.clear();
        self.site.dials.clear();
        self.site.jobs.clear();
        self.site.events.clear();
        self.site.restart();
        self.sender = self.site.connect(ListenerKind::Smtp);
    }
}

/// What a peer does.
enum Answer {
    Say(String),
    HangUp,
}

impl Talk {
    /// The answer to the next line or content, if one is there and is answered.
    fn answer(&mut self, conduct: Conduct, seen: &mut Seen) -> Option<Answer> {
        let say = |text: &str| Some(Answer::Say(format!("{text}\r\n")));
        if self.in_data {
            let end = self.received.windows(5).position(|it| it == b"\r\n.\r\n")?;
            let content: Vec<u8> = self.received.drain(..end + 5).collect();
            seen.contents.push(String::from_utf8(content).unwrap());
            self.in_data = false;
            return match conduct {
                Conduct::Stalls => None,
                Conduct::HangsUp => Some(Answer::HangUp),
                Conduct::Honest | Conduct::Down | Conduct::Busy | Conduct::StallsBefore => {
                    for recipient in self.recipients.drain(..) {
                        *seen.taken.entry(recipient).or_default() += 1;
                    }
                    say("250 2.0.0 taken")
                }
            };
        }
        let end = self.received.windows(2).position(|pair| pair == b"\r\n")?;
        let line: Vec<u8> = self.received.drain(..end + 2).collect();
        let line = String::from_utf8(line).unwrap();
        let verb = line.split([' ', '\r']).next().unwrap();
        match verb {
            "EHLO" => say("250 peer.example"),
            "MAIL" | "RSET" => {
                self.recipients.clear();
                say("250 2.0.0 ok")
            }
            "RCPT" => {
                let path = line.split(['<', '>']).nth(1).unwrap().to_owned();
                *seen.named.entry(path.clone()).or_default() += 1;
                if path.starts_with("no") {
                    return say("550 5.1.1 We know no such user");
                }
                if path.starts_with("later") {
                    return say("450 4.2.1 Come back later");
                }
                self.recipients.push(path);
                say("250 2.1.5 ok")
            }
            "DATA" if conduct == Conduct::StallsBefore => None,
            "DATA" => {
                self.in_data = true;
                say("354 go on")
            }
            "QUIT" => say("221 bye"),
            other => panic!("the client says {other}"),
        }
    }
}

pub(super) fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}

pub(super) fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

#[test]
fn mail_goes_out_without_our_return_path() {
    let mut town = Town::new();
    town.send(&["a@one.example", "b@one.example", "bob@mail.example"]);
    let seen = town.seen(ONE);
    assert_eq!(seen.contents.len(), 1, "one transaction for both");
    assert!(
        seen.contents[0].starts_with("Subject: to "),
        "{:?}",
        seen.contents
    );
    assert_eq!(seen.taken.values().copied().collect::<Vec<_>>(), [1, 1]);
    assert_eq!(town.inbox("bob").len(), 1);
    assert_eq!((town.queued(), town.inbox("ann").len()), (0, 0));
}

#[test]
fn refused_recipient_is_tried_once_and_its_sender_told() {
    let mut town = Town::new();
    town.send(&["nobody@one.example", "a@one.example"]);
    town.pass(hours(26));
    let seen = town.seen(ONE);
    assert_eq!(
        (
            seen.named["nobody@one.example"],
            seen.taken["a@one.example"]
        ),
        (1, 1)
    );
    let [report] = &town.inbox("ann")[..] else {
        panic!("one report: {:?}", town.inbox("ann"));
    };
    for part in [
        "nobody@one.example",
        "Action: failed",
        "smtp; 550 5.1.1 We know no such user",
    ] {
        assert!(report.contains(part), "{part:?} is missing:\n{report}");
    }
    assert!(
        !report.contains("a@one.example\r\n"),
        "the other has arrived:\n{report}"
    );
    assert_eq!(town.queued(), 0);
}

#[test]
fn deferred_recipient_is_tried_until_its_time_is_over_and_then_told_of() {
    let mut town = Town::new();
    town.send(&["later@one.example"]);
    town.pass(minutes(3 * 60 + 59));
    assert_eq!(town.inbox("ann").len(), 0, "nothing is told too early");
    town.pass(minutes(2));
    assert!(town.inbox("ann")[0].contains("Action: delayed"));
    town.pass(hours(5 * 24 - 5));
    assert_eq!(town.queued(), 1, "it is not given up before its time");
    town.pass(hours(2));
    assert_eq!(town.queued(), 0);
    let inbox = town.inbox("ann");
    assert_eq!(inbox.len(), 2, "one delay, one failure");
    assert!(
        inbox[1].contains("Action: failed\r\nStatus: 4.4.7"),
        "{}",
        inbox[1]
    );
    assert!(inbox[1].contains("450 4.2.1 Come back later"));
    // 1 m, 5 m, 15 m, 30 m, 1 h, the notice, 8 h, four days, and the end.
    assert_eq!(town.seen(ONE).named["later@one.example"], 13);
}

#[test]
fn each_recipient_has_its_own_answer() {
    let mut town = Town::new();
    town.send(&["no@one.example", "later@one.example", "a@one.example"]);
    town.pass(minutes(10));
    let seen = town.seen(ONE);
    assert_eq!(seen.named["no@one.example"], 1);
    assert_eq!(seen.named["later@one.example"], 3);
    assert_eq!(
        (seen.named["a@one.example"], seen.taken["a@one.example"]),
        (1, 1)
    );
    assert_eq!((town.inbox("ann").len(), town.queued()), (1, 1));
}

#[test]
fn peer_that_stalls_holds_up_nobody_else() {
    let mut town = Town::new();
    town.set(ONE, Conduct::Stalls);
    for index in 0..300 {
        town.send(&[&format!("a{index}@one.example")]);
    }
    town.send(&["a@two.example", "bob@mail.example"]);
    assert_eq!(town.seen(TWO).taken["a@two.example"], 1);
    assert_eq!(town.inbox("bob").len(), 1);
    assert!(
        town.seen(ONE).connections <= 8,
        "as many as may be at a time"
    );
    town.set(ONE, Conduct::Honest);
    town.pass(hours(24));
    assert_eq!(town.queued(), 0);
    assert_eq!(town.seen(ONE).taken.len(), 300);
    let most = town.seen(ONE).taken.values().max();
    assert_eq!(most, Some(&1), "what was taken is not sent again");
}

#[test]
fn connections_are_used_again_while_there_is_more_and_ended_then() {
    let mut town = Town::new();
    town.set(ONE, Conduct::Down);
    for index in 0..60 {
        town.send(&[&format!("a{index}@one.example")]);
    }
    let before = town.seen(ONE).connections;
    town.set(ONE, Conduct::Honest);
    town.pass(hours(2));
    assert_eq!(town.seen(ONE).taken.len(), 60);
    let opened = town.seen(ONE).connections - before;
    assert!(opened <= 30, "{opened} connections for 60 messages");
    assert!(town.talks.is_empty(), "idle connections are ended");
    assert!(
        town.site.node.outbound.destinations.is_empty(),
        "and forgotten"
    );
}

#[test]
fn message_that_was_taken_without_a_word_is_sent_again() {
    let mut town = Town::new();
    town.set(ONE, Conduct::HangsUp);
    town.send(&["a@one.example"]);
    assert_eq!(town.queued(), 1);
    town.set(ONE, Conduct::Honest);
    town.pass(minutes(2));
    let seen = town.seen(ONE);
    assert_eq!((seen.contents.len(), seen.taken["a@one.example"]), (2, 1));
    assert_eq!((town.queued(), town.inbox("ann").len()), (0, 0));
}

#[test]
fn server_without_time_is_asked_again() {
    let mut town = Town::new();
    town.set(ONE, Conduct::Busy);
    town.send(&["a@one.example"]);
    let entries = town
        .site
        .world
        .store
        .queue(&QueueFilter::default(), None, 1)
        .unwrap();
    let message = town
        .site
        .world
        .store
        .queued(&entries[0].envelope_id)
        .unwrap()
        .unwrap();
    let answer = &message.attempts[0].told.answer;
    assert!(answer.contains("421 4.3.2 not now"), "{answer}");
    town.set(ONE, Conduct::Honest);
    town.pass(minutes(2));
    assert_eq!(town.queued(), 0);
}

#[test]
fn nothing_is_reported_on_what_has_no_sender_nor_where_nobody_asked() {
    let mut town = Town::new();
    town.send_from("", &["no@one.example"], smtp::RcptNotice::default());
    let never = smtp::RcptNotice {
        notify: Some(smtp::Notify::default()),
        orcpt: None,
    };
    town.send_from("ann@mail.example", &["no@one.example"], never);
    // The report on this finds no mailbox, and that is the end of it.
    town.send_from(
        "gone@mail.example",
        &["no@one.example"],
        smtp::RcptNotice::default(),
    );
    town.pass(hours(26));
    assert_eq!(
        (
            town.queued(),
            town.inbox("ann").len(),
            town.inbox("bob").len()
        ),
        (0, 0, 0)
    );
}

#[test]
fn success_is_told_where_it_was_asked_for() {
    let mut town = Town::new();
    let success = smtp::RcptNotice {
        notify: Some(smtp::Notify {
            success: true,
            ..smtp::Notify::default()
        }),
        orcpt: None,
    };
    let to = ["a@one.example", "bob@mail.example"];
    town.send_from("ann@mail.example", &to, success);
    let reports = town.inbox("ann");
    let actions: BTreeSet<bool> = reports
        .iter()
        .map(|report| report.contains("bob@mail.example\r\nAction: delivered"))
        .collect();
    assert_eq!(
        reports.len(),
        2,
        "one from here, one for the peer that tells nothing"
    );
    assert_eq!(actions, BTreeSet::from([true, false]));
    assert!(
        reports
            .iter()
            .any(|it| it.contains("a@one.example\r\nAction: relayed"))
    );
    assert_eq!(town.inbox("bob").len(), 1);
}

#[test]
fn what_was_accepted_outlives_the_process_wherever_it_dies() {
    for conduct in [
        Conduct::Honest,
        Conduct::Down,
        Conduct::Stalls,
        Conduct::HangsUp,
    ] {
        for jobs_left in 0..6 {
            let mut town = Town::new();
            town.set(ONE, conduct);
            town.send(&["bob@mail.example"]);
            // The process dies when it has done so many jobs more.
            town.site.jobs_left = Some(jobs_left);
            let to = ["a@one.example", "no@one.example", "bob@mail.example"];
            let unsaid = smtp::RcptNotice::default();
            let is_accepted = town.submit("ann@mail.example", &to, unsaid);
            town.restart();
            town.set(ONE, Conduct::Honest);
            town.pass(hours(2));
            assert_eq!(town.queued(), 0, "{conduct:?}, {jobs_left}");
            if is_accepted {
                assert_eq!(town.inbox("bob").len(), 2, "{conduct:?}, {jobs_left}");
                let seen = town.seen(ONE);
                assert!(seen.taken["a@one.example"] >= 1, "{conduct:?}, {jobs_left}");
                assert_eq!(
                    town.inbox("ann").len(),
                    1,
                    "{conduct:?}, {jobs_left}: one report"
                );
            }
        }
    }
}

#[test]
fn refusal_is_not_forgotten_when_the_server_stops() {
    let mut town = Town::new();
    town.set(ONE, Conduct::StallsBefore);
    town.send(&["no@one.example", "yes@one.example"]);
    let (now, sender) = (town.site.now, town.sender);
    town.site.node.handle_stop(now);
    town.site.node.handle_session_over(now, sender);
    town.pass(limits::STOP_GRACE);
    let stopping = town.site.node.stopping;
    assert_eq!(stopping, Some(lifecycle::Stopping::Stopped));
    town.restart();
    town.set(ONE, Conduct::Honest);
    town.pass(minutes(2));
    let seen = town.seen(ONE);
    assert_eq!(
        (seen.named["no@one.example"], seen.taken["yes@one.example"]),
        (1, 1)
    );
    assert_eq!((town.inbox("ann").len(), town.queued()), (1, 0));
}

#[test]
fn text_in_8_bits_is_converted_for_a_peer_that_takes_7() {
    let mut town = Town::new();
    town.text = "Content-Type: text/plain; charset=utf-8\r\n\
                 Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e\r\n"
        .to_owned();
    town.send(&["a@one.example"]);
    let content = &town.seen(ONE).contents[0];
    assert!(content.is_ascii(), "{content}");
    assert!(content.starts_with("Subject: to "), "{content}");
    assert!(
        content.contains("Gr=C3=BC=C3=9Fe") || content.contains("base64"),
        "{content}"
    );
}

#[test]
fn mail_that_is_held_goes_nowhere_and_is_not_lost() {
    let mut town = Town::new();
    town.send(&["a@held.example"]);
    town.pass(hours(26));
    assert_eq!(town.queued(), 1);
    let held = QueueFilter {
        is_held: true,
        ..QueueFilter::default()
    };
    assert_eq!(
        town.site.world.store.queue(&held, None, 10).unwrap().len(),
        1
    );
}
