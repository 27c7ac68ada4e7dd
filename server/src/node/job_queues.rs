//! Jobs that wait for a thread.
//!
//! | queue  | what is in it                               | threads                              |
//! |--------|---------------------------------------------|--------------------------------------|
//! | common | what waits for the disk                     | [`limits::JOBS_RUNNING`]             |
//! | hashes | password hashes, which burn a processor     | [`NodeSetup::hashes_running_max`]    |
//! | large  | HTTP requests whose content was too large   | [`limits::LARGE_REQUESTS_RUNNING`]   |
//! |        | to wait in memory, and now has to be there  |                                      |
//!
//! Posts to subscribers have bounds of their own, and are in no queue.
//!
//! [`NodeSetup::hashes_running_max`]: super::NodeSetup::hashes_running_max

use std::collections::VecDeque;

use rmail_proto::Now;

use super::{Job, Node, NodeAction, NodeTimer, jobs::JobKind};
use crate::limits;

/// All of them.
#[derive(Debug)]
pub(super) struct JobQueues {
    common: JobQueue,
    hashes: JobQueue,
    large: JobQueue,
    /// Those that found a database busy.
    busy: Vec<Job>,
}

#[derive(Debug)]
struct JobQueue {
    waiting: VecDeque<Job>,
    running: usize,
    running_max: usize,
}

impl JobQueues {
    pub(super) fn new(hashes_running_max: usize) -> Self {
        let queue = |running_max| JobQueue {
            waiting: VecDeque::new(),
            running: 0,
            running_max,
        };
        Self {
            common: queue(limits::JOBS_RUNNING),
            hashes: queue(hashes_running_max),
            large: queue(limits::LARGE_REQUESTS_RUNNING),
            busy: Vec::new(),
        }
    }

    /// Jobs that have a thread.
    pub(super) fn running(&self) -> usize {
        self.common.running + self.hashes.running + self.large.running
    }

    /// Jobs that will have one.
    pub(super) fn waiting(&self) -> usize {
        let [common, hashes, large] = [&self.common, &self.hashes, &self.large];
        common.waiting.len() + hashes.waiting.len() + large.waiting.len()
    }

    /// Whether another password hash can wait.
    pub(super) fn has_room_for_hash(&self) -> bool {
        self.hashes.waiting.len() < limits::HASHES_WAITING
    }

    /// A job of this kind is done.
    pub(super) fn finish(&mut self, kind: JobKind) {
        if let Some(queue) = self.of(kind) {
            queue.running -= 1;
        }
    }

    fn of(&mut self, kind: JobKind) -> Option<&mut JobQueue> {
        match kind {
            JobKind::Common => Some(&mut self.common),
            JobKind::Hash => Some(&mut self.hashes),
            JobKind::Large => Some(&mut self.large),
            JobKind::Post => None,
        }
    }
}

impl Node {
    pub(super) fn run(&mut self, job: Job) {
        match self.jobs.of(job.kind()) {
            Some(queue) => queue.waiting.push_back(job),
            None => self.actions.push_back(NodeAction::RunJob(job)),
        }
        self.start_jobs();
    }

    /// Another process is writing: the job waits a moment.
    pub(super) fn put_off(&mut self, now: Now, job: Job) {
        if self.jobs.busy.is_empty() {
            self.set_timer(now.at + limits::BUSY_RETRY, NodeTimer::RetryJobs);
        }
        self.jobs.busy.push(job);
    }

    pub(super) fn retry_jobs(&mut self) {
        for job in std::mem::take(&mut self.jobs.busy) {
            match self.is_waited_for(&job) {
                true => self.run(job),
                false => self.drop_job(job),
            }
        }
    }

    pub(super) fn start_jobs(&mut self) {
        for kind in [JobKind::Common, JobKind::Hash, JobKind::Large] {
            while let Some(queue) = self.jobs.of(kind)
                && queue.running < queue.running_max
                && let Some(job) = queue.waiting.pop_front()
            {
                if kind != JobKind::Common && !self.is_waited_for(&job) {
                    self.drop_job(job);
                    continue;
                }
                self.jobs.of(kind).expect("it was just there").running += 1;
                self.actions.push_back(NodeAction::RunJob(job));
            }
        }
    }

    /// Whether the session that asked for it is there.
    fn is_waited_for(&self, job: &Job) -> bool {
        let session = job.session();
        session.is_none_or(|session| self.sessions.contains_key(&session))
    }

    fn drop_job(&mut self, job: Job) {
        if let Job::Answer { content, .. } = job {
            self.drop_content(&content);
        }
    }
}
