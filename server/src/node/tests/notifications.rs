//! What the node promises of change notifications.
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::outside::webhooks::{Post, PostAnswer, PostError, Posting};

/// The targets' side: takes everything, or answers what a test says.
#[derive(Debug, Default)]
pub(super) struct Table {
    taken: Mutex<Vec<(String, String)>>,
    answers: Mutex<VecDeque<u16>>,
}

impl Post for Table {
    fn post(&self, posting: &Posting<'_>) -> Result<PostAnswer, PostError> {
        let url = posting.target.url().to_owned();
        let content = String::from_utf8_lossy(posting.content).into_owned();
        let answer = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((url, content));
        Ok(PostAnswer {
            status: answer.unwrap_or(202),
            ..PostAnswer::default()
        })
    }
}
