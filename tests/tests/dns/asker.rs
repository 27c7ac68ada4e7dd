//! A resolver with the routes that ask it, whatever carries its messages.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use rmail_proto::{
    Domain, Now,
    dns::{Action, Config, LookupResult, Name, QueryId, Question, RecordType, Resolver},
    smtp::{Plan, Route, RouteAction, RouteConfig, RouteFailure},
};

/// What carries the messages of a resolver.
pub(crate) trait Carrier {
    fn now(&self) -> Now;
    /// Does what a resolver wants done, and is no answer.
    fn act(&mut self, action: Action);
    /// Waits for what comes next, and hands it in.
    fn wait(&mut self, resolver: &mut Resolver);
}

pub(crate) struct Asker<C> {
    pub(crate) carrier: C,
    pub(crate) resolver: Resolver,
    next_query: u64,
}

impl<C: Carrier> Asker<C> {
    pub(crate) fn new(carrier: C, servers: Vec<SocketAddr>) -> Self {
        let config = Config {
            servers,
            timeout: Duration::from_secs(5),
            attempts: 5,
            rotate: false,
            trust_ad: true,
            mixed_case: true,
        };
        Self {
            carrier,
            resolver: Resolver::new(config, 7),
            next_query: 0,
        }
    }

    pub(crate) fn ask(&mut self, name: &str, record_type: RecordType) -> LookupResult {
        let question = Question::new(Name::parse(name).unwrap(), record_type);
        let (_, result) = self.ask_all(vec![question]).pop().expect("an answer");
        result
    }

    pub(crate) fn route(&mut self, domain: &str) -> Result<Plan, RouteFailure> {
        let domain = Domain::parse(domain).unwrap();
        let mut route = Route::new(Arc::new(RouteConfig::default()), domain, 7);
        loop {
            let mut questions = Vec::new();
            while let Some(action) = route.poll_action() {
                match action {
                    RouteAction::Ask(question) => questions.push(question),
                    RouteAction::Done(result) => return result,
                }
            }
            for (question, result) in self.ask_all(questions) {
                route.handle_answer(&question, result);
            }
        }
    }

    fn ask_all(&mut self, questions: Vec<Question>) -> Vec<(Question, LookupResult)> {
        let mut owed = BTreeMap::new();
        for question in questions {
            let id = QueryId(self.next_query);
            self.next_query += 1;
            self.resolver
                .handle_query(self.carrier.now(), id, question.clone());
            owed.insert(id, question);
        }
        let mut answers = Vec::new();
        loop {
            while let Some(action) = self.resolver.poll_action() {
                match action {
                    Action::Answer { id, result } => {
                        let question = owed.remove(&id).expect("one answer to each query");
                        answers.push((question, result));
                    }
                    action => self.carrier.act(action),
                }
            }
            if owed.is_empty() {
                return answers;
            }
            self.carrier.wait(&mut self.resolver);
        }
    }
}
