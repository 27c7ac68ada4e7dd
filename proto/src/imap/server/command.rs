//! What each command starts.

use alloc::{boxed::Box, string::String, vec::Vec};

use super::{
    Activity, Server,
    expunge::Expunge,
    fetch::Fetch,
    idle::Idle,
    list::List,
    login::{Exchange, Login, Responded},
    mailboxes::Manage,
    search::Search,
    select::Select,
    session::{Ending, Session, State},
    store::Store,
    task::Task,
    transfer::{Kind, Transfer},
};
use crate::{
    Now, Secret,
    imap::{
        Call,
        wire::{
            Command, CommandBody, CommandReader, Condition, Tag, write_capability, write_enabled,
            write_id, write_namespace,
        },
    },
};

/// The states in which a command may be given (RFC 3501 §6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Allowed {
    Always,
    NotAuthenticated,
    Authenticated,
    Selected,
}

/// What a command starts.
enum Start {
    /// It is over but for its tagged response.
    End(Ending),
    /// It takes calls, or writes more than a little.
    Run(Task),
    /// It is not right, or not now.
    Fault(&'static str),
    /// The lines of AUTHENTICATE come.
    Respond(Exchange),
    /// IDLE.
    Idle,
    /// TLS comes up.
    Tls,
}

impl Server {
    pub(super) fn start_command(&mut self, now: Now, command: Command) {
        let Command { tag, body } = command;
        let start = match self.session.fault_of_state(&body) {
            Some(text) => Start::Fault(text),
            None => self.start(&tag, body),
        };
        if !matches!(start, Start::Fault(_)) {
            self.faults = 0;
        }
        match start {
            Start::End(ending) => self.end(now, ending),
            Start::Run(task) => self.run(now, task),
            Start::Fault(text) => {
                self.end(now, Ending::bad(&tag, text));
                self.count_fault();
            }
            Start::Respond(exchange) => self.activity = Activity::Responding(exchange),
            Start::Idle => {
                self.session
                    .output
                    .buffer()
                    .extend_from_slice(b"+ idling\r\n");
                self.end(now, Ending::idle(Idle::new(tag, now)));
            }
            Start::Tls => {
                let text = "Begin TLS negotiation now";
                self.session.output.tagged(&tag, Condition::Ok, None, text);
                self.session.output.start_tls();
                self.reader = CommandReader::default();
                self.began_at = now.at;
                self.activity = Activity::Handshaking { greets: false };
            }
        }
    }

    fn start(&mut self, tag: &Tag, body: CommandBody) -> Start {
        let session = &mut self.session;
        match body {
            CommandBody::Capability => {
                let capabilities = session.capabilities();
                write_capability(session.output.buffer(), &capabilities);
                Start::End(Ending::ok(tag, "Capability completed"))
            }
            CommandBody::Noop => Start::End(Ending::ok(tag, "NOOP completed")),
            CommandBody::Check => Start::End(Ending::ok(tag, "Check completed")),
            CommandBody::Id { .. } => {
                write_id(session.output.buffer(), &[("name", "rmail")]);
                Start::End(Ending::ok(tag, "ID completed"))
            }
            CommandBody::Namespace => {
                write_namespace(session.output.buffer());
                Start::End(Ending::ok(tag, "Namespace completed"))
            }
            CommandBody::Logout => {
                session.output.untagged(Condition::Bye, None, "Logging out");
                let ending = Ending::ok(tag, "Logout completed");
                session.deselect();
                Start::End(ending.then_close())
            }
            CommandBody::Enable { capabilities } => Start::End(session.enable(tag, &capabilities)),
            CommandBody::Idle => Start::Idle,
            CommandBody::Unselect => {
                session.deselect();
                Start::End(Ending::ok(tag, "Unselect completed"))
            }
            CommandBody::StartTls if session.may_start_tls() => Start::Tls,
            CommandBody::StartTls => Start::Fault("TLS is not to be had, or is up already"),
            CommandBody::Login { .. } | CommandBody::Authenticate { .. }
                if !session.may_login() =>
            {
                let text = "Start TLS before you log in";
                Start::End(Ending::no_code(tag, "PRIVACYREQUIRED", text))
            }
            CommandBody::Login { username, password } => {
                Start::Run(Task::Login(Login::new(tag.clone(), username, password)))
            }
            CommandBody::Authenticate {
                mechanism,
                initial_response,
            } => session.start_exchange(tag, &mechanism, initial_response),
            body => session.start_task(tag, body),
        }
    }
}

impl Session {
    fn fault_of_state(&self, body: &CommandBody) -> Option<&'static str> {
        match (allowed(body), &self.state) {
            (Allowed::Always, _)
            | (Allowed::NotAuthenticated, State::NotAuthenticated)
            | (Allowed::Authenticated, State::Authenticated | State::Selected(_))
            | (Allowed::Selected, State::Selected(_)) => None,
            (Allowed::NotAuthenticated, _) => Some("Already logged in"),
            (_, State::NotAuthenticated) => Some("Log in first"),
            (Allowed::Selected, State::Authenticated) => Some("No mailbox is selected"),
        }
    }

    /// RFC 5161. CONDSTORE is the only extension that is enabled this way.
    fn enable(&mut self, tag: &Tag, capabilities: &[String]) -> Ending {
        let condstore = capabilities.iter().any(|name| name == "CONDSTORE");
        self.knows_modseqs |= condstore;
        let enabled: &[&str] = if condstore { &["CONDSTORE"] } else { &[] };
        write_enabled(self.output.buffer(), enabled);
        Ending::ok(tag, "Enabled")
    }

    fn start_exchange(
        &mut self,
        tag: &Tag,
        mechanism: &str,
        initial_response: Option<Secret<String>>,
    ) -> Start {
        let Some(mut exchange) = Exchange::new(tag.clone(), mechanism) else {
            return Start::End(Ending::no_code(tag, "CANNOT", "Unknown mechanism"));
        };
        let Some(response) = initial_response else {
            exchange.challenge(self);
            return Start::Respond(exchange);
        };
        let response = Secret::new(Vec::from(response.reveal().as_bytes()));
        match exchange.handle_response(self, response) {
            Responded::Waiting => Start::Respond(exchange),
            Responded::Login(login) => Start::Run(Task::Login(login)),
            Responded::Fault(ending) => Start::End(ending),
        }
    }

    fn start_task(&mut self, tag: &Tag, body: CommandBody) -> Start {
        let tag = tag.clone();
        let task = match body {
            CommandBody::Select { mailbox, condstore } => {
                Task::Select(Select::new(tag, mailbox, false, condstore))
            }
            CommandBody::Examine { mailbox, condstore } => {
                Task::Select(Select::new(tag, mailbox, true, condstore))
            }
            CommandBody::Create {
                mailbox,
                special_use,
            } => Task::Manage(Manage::create(tag, &mailbox, special_use)),
            CommandBody::Delete { mailbox } => Task::Manage(Manage::delete(tag, mailbox)),
            CommandBody::Rename { from, to } => Task::Manage(Manage::rename(tag, from, to)),
            CommandBody::Subscribe { mailbox } => {
                Task::Manage(Manage::subscribe(tag, mailbox, true))
            }
            CommandBody::Unsubscribe { mailbox } => {
                Task::Manage(Manage::subscribe(tag, mailbox, false))
            }
            CommandBody::Status { mailbox, items } => {
                Task::Manage(Manage::status(tag, mailbox, items))
            }
            CommandBody::List(list) => Task::List(Box::new(List::new(tag, list))),
            CommandBody::Lsub { reference, pattern } => {
                Task::List(Box::new(List::lsub(tag, &reference, &pattern)))
            }
            body => return self.start_message_task(tag, body),
        };
        Start::Run(task)
    }

    /// The commands that need a selected mailbox.
    fn start_message_task(&mut self, tag: Tag, body: CommandBody) -> Start {
        let task = match body {
            CommandBody::Expunge => Expunge::new(self, tag, None).map(Task::Expunge),
            CommandBody::UidExpunge { uids } => {
                Expunge::new(self, tag, Some(&uids)).map(Task::Expunge)
            }
            CommandBody::Close => Ok(Task::Expunge(Expunge::close(tag))),
            CommandBody::Search {
                by_uid,
                returns,
                criteria,
            } => Search::new(self, tag, by_uid, returns, &criteria)
                .map(|search| Task::Search(Box::new(search))),
            CommandBody::Fetch {
                messages,
                items,
                changed_since,
                vanished,
            } => Fetch::new(self, tag, &messages, items, changed_since, vanished)
                .map(|fetch| Task::Fetch(Box::new(fetch))),
            CommandBody::Store {
                messages,
                mode,
                silent,
                flags,
                unchanged_since,
            } => Store::new(self, tag, &messages, (mode, flags), silent, unchanged_since)
                .map(Task::Store),
            CommandBody::Copy { messages, mailbox } => {
                Transfer::new(self, tag, &messages, mailbox, Kind::Copy).map(Task::Transfer)
            }
            CommandBody::Move { messages, mailbox } => {
                Transfer::new(self, tag, &messages, mailbox, Kind::Move).map(Task::Transfer)
            }
            body => unreachable!("started elsewhere: {body:?}"),
        };
        match task {
            Ok(task) => Start::Run(task),
            Err(ending) => Start::End(ending),
        }
    }

    /// Leaves the selected mailbox, if there is one.
    pub(super) fn deselect(&mut self) {
        if let State::Selected(_) = self.state {
            self.state = State::Authenticated;
            // Nobody waits for the answer.
            self.output.call(Call::Unselect);
        }
    }
}

fn allowed(body: &CommandBody) -> Allowed {
    match body {
        CommandBody::Capability
        | CommandBody::Noop
        | CommandBody::Logout
        | CommandBody::Id { .. } => Allowed::Always,
        CommandBody::StartTls | CommandBody::Authenticate { .. } | CommandBody::Login { .. } => {
            Allowed::NotAuthenticated
        }
        CommandBody::Select { .. }
        | CommandBody::Examine { .. }
        | CommandBody::Create { .. }
        | CommandBody::Delete { .. }
        | CommandBody::Rename { .. }
        | CommandBody::Subscribe { .. }
        | CommandBody::Unsubscribe { .. }
        | CommandBody::List(_)
        | CommandBody::Lsub { .. }
        | CommandBody::Status { .. }
        | CommandBody::Namespace
        | CommandBody::Enable { .. }
        | CommandBody::Idle => Allowed::Authenticated,
        CommandBody::Check
        | CommandBody::Close
        | CommandBody::Unselect
        | CommandBody::Expunge
        | CommandBody::UidExpunge { .. }
        | CommandBody::Search { .. }
        | CommandBody::Fetch { .. }
        | CommandBody::Store { .. }
        | CommandBody::Copy { .. }
        | CommandBody::Move { .. } => Allowed::Selected,
    }
}
