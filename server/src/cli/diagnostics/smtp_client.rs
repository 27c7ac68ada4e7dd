//! SMTP as a client, command by command: it must be able to say what no good client says.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmail_proto::{
    Address,
    smtp::{PeerReply, ReplyRead, ReplyReader},
};

use super::{
    doors::{Door, Tools},
    trouble::{Trouble, is_limiters},
};
use crate::outside::client::Client;

/// A connection, after the greeting.
pub(super) struct SmtpClient {
    client: Client,
    /// What EHLO was answered last: keywords with their parameters.
    keywords: Vec<String>,
}

impl SmtpClient {
    /// Connects and says EHLO; also what the greeting was.
    pub(super) fn connect(tools: &Tools, door: &Door) -> Result<(Self, PeerReply), Trouble> {
        let mut client = Self {
            client: tools.connect(door)?,
            keywords: Vec::new(),
        };
        let greeting = client.reply("the greeting")?;
        if greeting.code != 220 {
            return Err(Trouble::Answer(format!("{greeting} (for a greeting)")));
        }
        client.hello()?;
        Ok((client, greeting))
    }

    /// Encrypts, and says EHLO again.
    pub(super) fn start_tls(mut self) -> Result<Self, Trouble> {
        self.order("STARTTLS")?;
        let mut client = Self {
            client: self.client.start_tls()?,
            keywords: Vec::new(),
        };
        client.hello()?;
        Ok(client)
    }

    /// Whether EHLO was answered with this keyword.
    pub(super) fn offers(&self, keyword: &str) -> bool {
        let mut keywords = self.keywords.iter();
        keywords.any(|line| line.split(' ').next() == Some(keyword))
    }

    /// Sends a command; whatever is answered, but for the limiter.
    pub(super) fn ask(&mut self, command: &str) -> Result<PeerReply, Trouble> {
        self.client.send(format!("{command}\r\n").as_bytes())?;
        self.reply(command)
    }

    /// Sends a command that must be done (2yz, 3yz).
    pub(super) fn order(&mut self, command: &str) -> Result<PeerReply, Trouble> {
        let reply = self.ask(command)?;
        match reply.is_positive() || reply.code / 100 == 3 {
            true => Ok(reply),
            false => Err(Trouble::Answer(format!("{reply} (to {command})"))),
        }
    }

    /// AUTH PLAIN (RFC 4616); whatever is answered, but for the limiter.
    pub(super) fn log_in(
        &mut self,
        address: &Address,
        password: &str,
    ) -> Result<PeerReply, Trouble> {
        let response = STANDARD.encode(format!("\0{address}\0{password}"));
        self.client
            .send(format!("AUTH PLAIN {response}\r\n").as_bytes())?;
        self.reply("AUTH PLAIN")
    }

    /// DATA with this content, in which no line begins with a dot; it must be accepted.
    pub(super) fn send_content(&mut self, content: &str) -> Result<PeerReply, Trouble> {
        self.order("DATA")?;
        let reply = self.ask(&format!("{content}."))?;
        match reply.is_positive() {
            true => Ok(reply),
            false => Err(Trouble::Answer(format!("{reply} (to a message)"))),
        }
    }

    fn hello(&mut self) -> Result<(), Trouble> {
        let name = match self.client.local() {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        let reply = self.order(&format!("EHLO {name}"))?;
        self.keywords = reply.lines.into_iter().skip(1).collect();
        Ok(())
    }

    fn reply(&mut self, command: &str) -> Result<PeerReply, Trouble> {
        let mut reader = ReplyReader::default();
        loop {
            let line = self.client.read_line()?;
            match reader.handle_input(&line).1 {
                ReplyRead::Incomplete => {}
                ReplyRead::Complete(reply) if is_limiters(&reply.text()) => {
                    return Err(Trouble::Limited(self.client.local(), reply.to_string()));
                }
                ReplyRead::Complete(reply) => return Ok(reply),
                ReplyRead::Malformed => {
                    let line = String::from_utf8_lossy(&line);
                    let line = line.trim_end().escape_debug();
                    return Err(Trouble::Answer(format!("{line} (to {command})")));
                }
            }
        }
    }
}
