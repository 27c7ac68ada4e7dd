//! Phase 5: a message through each listener of SMTP, and what each must refuse.

use rmail_proto::{Address, smtp::PeerReply};

use super::{
    account::{TestAccount, WRONG_PASSWORD},
    doors::{Door, Tools},
    letter::Letter,
    report::Findings,
    smtp_client::SmtpClient,
    trouble::Trouble,
};
use crate::node::ListenerKind;

/// Nobody has this domain, nor ever will (RFC 2606 §2).
const ELSEWHERE: &str = "nobody@rmail-diagnostics.invalid";

/// What is tried at one listener.
struct Visit<'a> {
    tools: &'a Tools,
    account: &'a TestAccount,
    largest_message: u64,
    door: &'a Door,
}

/// The messages that were accepted.
pub(super) fn check(
    tools: &Tools,
    account: &TestAccount,
    largest_message: u64,
    doors: &[Door],
    findings: &mut Findings,
) -> Vec<Letter> {
    let mut letters = Vec::new();
    for door in doors {
        let visit = Visit {
            tools,
            account,
            largest_message,
            door,
        };
        let sent = match door.kind {
            ListenerKind::Submission | ListenerKind::Smtps => visit.submit(findings),
            ListenerKind::Smtp
            | ListenerKind::Imap
            | ListenerKind::Imaps
            | ListenerKind::Http
            | ListenerKind::Https => visit.hand_in(findings),
        };
        match sent {
            Ok(letter) => letters.push(letter),
            Err(trouble) => findings.trouble(&door.to_string(), &trouble),
        }
    }
    letters
}

impl Visit<'_> {
    /// As another server does.
    fn hand_in(&self, findings: &mut Findings) -> Result<Letter, Trouble> {
        let (mut client, _greeting) = SmtpClient::connect(self.tools, self.door)?;
        self.refuse_clear_password(&mut client, findings)?;
        let mut client = client.start_tls()?;
        let size = self.largest_message.saturating_add(1);
        let reply = client.ask(&format!("MAIL FROM:<> SIZE={size}"))?;
        self.refused(findings, "a message over smtp.max_message_size", &reply);
        let own = &self.account.address;
        // The null reverse-path: whatever happens, nobody is told of it by mail.
        client.order(&format!("MAIL FROM:<>{}", utf8(own)))?;
        let reply = client.ask(&format!("RCPT TO:<{ELSEWHERE}>"))?;
        self.refused(findings, "relaying for a stranger", &reply);
        self.ask_for_nobody(&mut client, findings)?;
        client.order(&format!("RCPT TO:<{own}>"))?;
        self.send(&mut client, findings)
    }

    /// As a user's program does.
    fn submit(&self, findings: &mut Findings) -> Result<Letter, Trouble> {
        let (mut client, _greeting) = SmtpClient::connect(self.tools, self.door)?;
        if !self.door.kind.is_implicit_tls() {
            self.refuse_clear_password(&mut client, findings)?;
            client = client.start_tls()?;
        }
        let own = &self.account.address;
        let mail = format!("MAIL FROM:<{own}>{}", utf8(own));
        let reply = client.ask(&mail)?;
        self.refused(findings, "sending without a login", &reply);
        if self.tools.may_guess(self.door) {
            let reply = client.log_in(own, WRONG_PASSWORD)?;
            self.refused(findings, "a wrong password", &reply);
        }
        let reply = client.log_in(own, self.account.password.reveal())?;
        if !reply.is_positive() {
            return Err(Trouble::Answer(format!("{reply} (to the right password)")));
        }
        let other = self.nobody();
        let reply = client.ask(&format!("MAIL FROM:<{other}>{}", utf8(own)))?;
        self.refused(findings, "sending as somebody else", &reply);
        client.order(&mail)?;
        client.order(&format!("RCPT TO:<{own}>"))?;
        self.send(&mut client, findings)
    }

    fn send(&self, client: &mut SmtpClient, findings: &mut Findings) -> Result<Letter, Trouble> {
        let letter = Letter::new(self.door.kind.name());
        let reply = client.send_content(&letter.content(&self.account.address))?;
        findings.ok(format!("{}: a message is accepted: {reply}", self.door));
        client.ask("QUIT")?;
        Ok(letter)
    }

    /// Before TLS.
    fn refuse_clear_password(
        &self,
        client: &mut SmtpClient,
        findings: &mut Findings,
    ) -> Result<(), Trouble> {
        if client.offers("AUTH") {
            findings.refusal("a password in clear", "EHLO offers AUTH before TLS", false);
        }
        let reply = client.log_in(&self.account.address, WRONG_PASSWORD)?;
        // 535 would mean that the password was looked at.
        let is_refused = reply.is_permanent() && reply.code != 535;
        let what = format!("{}: a password in clear", self.door);
        findings.refusal(&what, &reply.to_string(), is_refused);
        Ok(())
    }

    /// Within a transaction.
    fn ask_for_nobody(
        &self,
        client: &mut SmtpClient,
        findings: &mut Findings,
    ) -> Result<(), Trouble> {
        let nobody = self.nobody();
        if let Ok(Some(_)) = self.account.workplace.store.addressee(&nobody) {
            let domain = nobody.domain();
            findings.ok(format!("an alias takes the mail of all of {domain}"));
            return Ok(());
        }
        let reply = client.ask(&format!("RCPT TO:<{nobody}>"))?;
        self.refused(findings, "a recipient that there is not", &reply);
        Ok(())
    }

    /// An address that nobody has.
    fn nobody(&self) -> Address {
        let own = &self.account.address;
        let text = format!("nobody-{}@{}", own.local_part(), own.domain());
        Address::parse(&text).expect("a local-part that is a little longer is one")
    }

    fn refused(&self, findings: &mut Findings, what: &str, reply: &PeerReply) {
        let what = format!("{}: {what}", self.door);
        findings.refusal(&what, &reply.to_string(), reply.is_permanent());
    }
}

/// What MAIL needs for an address that is not ASCII (RFC 6531 §3.4).
fn utf8(address: &Address) -> &'static str {
    match address.is_ascii() {
        true => "",
        false => " SMTPUTF8",
    }
}
