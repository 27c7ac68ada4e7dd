//! What one client may do in how much time: `rate_limit.*`.
//!
//! A client is an IPv4 address, or the /64 of an IPv6 address, which is what a provider gives to
//! one customer. Windows slide: of anything, no more than the rate lies within any stretch of time
//! as long as the period. What is refused counts for nothing, so that a client that keeps trying
//! is served again in time.
//!
//! Failed logins are counted for all protocols together. Enough of them within the lockout's time
//! lock a client out of logging in, for as long again; a success takes back those for the same
//! account, and no others, so one's own account is no help in guessing somebody else's.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use rmail_proto::{Address, Instant};

use crate::config::RateLimit;

/// Counts what clients do. At most [`RateLimit::max_tracked_ips`] of them: the one that was seen
/// longest ago goes first, one that is locked out last.
#[derive(Debug, Default)]
pub struct RateLimiter {
    clients: BTreeMap<Client, Record>,
    /// Whom to forget first.
    by_age: BTreeSet<(bool, Instant, Client)>,
}

/// Whose deeds are counted together.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Client(IpAddr);

impl Client {
    fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
        }
    }
}

#[derive(Debug, Default)]
struct Record {
    seen_at: Instant,
    connections: VecDeque<Instant>,
    messages: VecDeque<Instant>,
    recipients: VecDeque<Instant>,
    failures: VecDeque<(Instant, Option<Address>)>,
    locked_until: Option<Instant>,
    open: usize,
}

/// Why a connection is one too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TooManyConnections {
    /// There are as many at a time as there may be.
    AtOnce,
    /// There were too many lately.
    Lately,
}

impl RateLimiter {
    /// Counts a connection that has come.
    ///
    /// # Errors
    ///
    /// When it is one too many; it is not counted then.
    pub fn admit(
        &mut self,
        now: Instant,
        limits: &RateLimit,
        peer: IpAddr,
    ) -> Result<(), TooManyConnections> {
        if is_exempt(limits, peer) {
            return Ok(());
        }
        let (period, rate) = (limits.connection_period, limits.connection_rate.get());
        self.update(now, limits, peer, |record| {
            if record.open >= limits.max_concurrent_per_ip.get() {
                return Err(TooManyConnections::AtOnce);
            }
            let counted = count(&mut record.connections, now, period, rate);
            counted.map_err(|_| TooManyConnections::Lately)?;
            record.open += 1;
            Ok(())
        })
    }

    /// A connection that was admitted is over.
    pub fn release(&mut self, peer: IpAddr) {
        if let Some(record) = self.clients.get_mut(&Client::new(peer)) {
            record.open = record.open.saturating_sub(1);
        }
    }

    /// Counts a message that is begun.
    ///
    /// # Errors
    ///
    /// How long to wait, when it is one too many; it is not counted then.
    pub fn count_message(
        &mut self,
        now: Instant,
        limits: &RateLimit,
        peer: IpAddr,
    ) -> Result<(), Duration> {
        if is_exempt(limits, peer) {
            return Ok(());
        }
        let (period, rate) = (limits.message_period, limits.message_rate.get());
        self.update(now, limits, peer, |record| {
            count(&mut record.messages, now, period, rate)
        })
    }

    /// Counts a recipient.
    ///
    /// # Errors
    ///
    /// As [`count_message`](Self::count_message).
    pub fn count_recipient(
        &mut self,
        now: Instant,
        limits: &RateLimit,
        peer: IpAddr,
    ) -> Result<(), Duration> {
        if is_exempt(limits, peer) {
            return Ok(());
        }
        let (period, rate) = (limits.recipient_period, limits.recipient_rate.get());
        self.update(now, limits, peer, |record| {
            count(&mut record.recipients, now, period, rate)
        })
    }

    /// Whether a client may try to log in.
    ///
    /// # Errors
    ///
    /// How long it is locked out.
    pub fn check_login(
        &self,
        now: Instant,
        limits: &RateLimit,
        peer: IpAddr,
    ) -> Result<(), Duration> {
        if is_exempt(limits, peer) {
            return Ok(());
        }
        let record = self.clients.get(&Client::new(peer));
        match record.and_then(|record| record.locked_until) {
            Some(until) if now < until => Err(until.since(now)),
            Some(_) | None => Ok(()),
        }
    }

    /// A login failed. `account`: the address that was tried, if it can be one.
    pub fn note_failure(
        &mut self,
        now: Instant,
        limits: &RateLimit,
        peer: IpAddr,
        account: Option<&Address>,
    ) {
        if is_exempt(limits, peer) {
            return;
        }
        let lockout = limits.auth_failure_lockout;
        let most = usize::try_from(limits.auth_failure_limit.get()).unwrap_or(usize::MAX);
        self.update(now, limits, peer, |record| {
            while record
                .failures
                .front()
                .is_some_and(|(at, _)| *at + lockout <= now)
            {
                record.failures.pop_front();
            }
            record.failures.push_back((now, account.cloned()));
            if record.failures.len() >= most {
                record.failures.clear();
                record.locked_until = Some(now + lockout);
            }
        });
    }

    /// Somebody has logged in.
    pub fn note_success(&mut self, peer: IpAddr, account: &Address) {
        if let Some(record) = self.clients.get_mut(&Client::new(peer)) {
            record
                .failures
                .retain(|(_, tried)| tried.as_ref() != Some(account));
        }
    }

    /// Forgets clients of whom nothing counts any more.
    pub fn forget_stale(&mut self, now: Instant, limits: &RateLimit) {
        let stale: Vec<Client> = self
            .clients
            .iter()
            .filter(|(_, record)| record.is_stale(now, limits))
            .map(|(client, _)| *client)
            .collect();
        for client in stale {
            self.remove(client);
        }
    }

    /// How many clients are locked out of logging in.
    pub fn locked_out(&self, now: Instant) -> usize {
        let records = self.clients.values();
        let locked = records.filter(|it| it.locked_until.is_some_and(|until| now < until));
        locked.count()
    }

    /// How many clients are remembered.
    pub fn tracked(&self) -> usize {
        self.clients.len()
    }

    fn update<T>(
        &mut self,
        now: Instant,
        limits: &RateLimit,
        peer: IpAddr,
        change: impl FnOnce(&mut Record) -> T,
    ) -> T {
        let client = Client::new(peer);
        let mut record = match self.remove(client) {
            Some(record) => record,
            None => {
                while self.clients.len() >= limits.max_tracked_ips.get()
                    && let Some(&(_, _, oldest)) = self.by_age.first()
                {
                    self.remove(oldest);
                }
                Record::default()
            }
        };
        if record.locked_until.is_some_and(|until| until <= now) {
            record.locked_until = None;
        }
        record.seen_at = now;
        let outcome = change(&mut record);
        self.by_age.insert(record.age(client));
        self.clients.insert(client, record);
        outcome
    }

    fn remove(&mut self, client: Client) -> Option<Record> {
        let record = self.clients.remove(&client)?;
        self.by_age.remove(&record.age(client));
        Some(record)
    }
}

impl Record {
    fn age(&self, client: Client) -> (bool, Instant, Client) {
        (self.locked_until.is_some(), self.seen_at, client)
    }

    fn is_stale(&self, now: Instant, limits: &RateLimit) -> bool {
        let passed = |last: Option<&Instant>, period| last.is_none_or(|last| *last + period <= now);
        let failed = self.failures.back().map(|(at, _)| at);
        self.open == 0
            && self.locked_until.is_none_or(|until| until <= now)
            && passed(self.connections.back(), limits.connection_period)
            && passed(self.messages.back(), limits.message_period)
            && passed(self.recipients.back(), limits.recipient_period)
            && passed(failed, limits.auth_failure_lockout)
    }
}

fn is_exempt(limits: &RateLimit, peer: IpAddr) -> bool {
    !limits.enabled
        || limits
            .whitelist
            .iter()
            .any(|network| network.contains(peer))
}

/// Counts one more within the window, or tells how long to wait until there is room for it.
fn count(
    window: &mut VecDeque<Instant>,
    now: Instant,
    period: Duration,
    rate: u32,
) -> Result<(), Duration> {
    while window.front().is_some_and(|at| *at + period <= now) {
        window.pop_front();
    }
    match window.front() {
        Some(first) if window.len() >= rate as usize => Err((*first + period).since(now)),
        Some(_) | None => {
            window.push_back(now);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::config::Config;

    fn limits() -> RateLimit {
        let config = Config::default_in(std::path::Path::new("/x"));
        RateLimit {
            connection_rate: 3.try_into().unwrap(),
            connection_period: Duration::from_secs(60),
            message_rate: 3.try_into().unwrap(),
            recipient_rate: 4.try_into().unwrap(),
            auth_failure_limit: 3.try_into().unwrap(),
            max_tracked_ips: 4.try_into().unwrap(),
            max_concurrent_per_ip: 2.try_into().unwrap(),
            ..config.rate_limit
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn window_slides_to_the_instant() {
        let (mut limiter, limits) = (RateLimiter::default(), limits());
        let mut try_at = |second| {
            let admitted = limiter.admit(at(second), &limits, peer(1));
            if admitted.is_ok() {
                limiter.release(peer(1));
            }
            admitted
        };
        for second in [0, 10, 20] {
            assert_eq!(try_at(second), Ok(()));
        }
        assert_eq!(try_at(59), Err(TooManyConnections::Lately));
        assert_eq!(try_at(60), Ok(()), "the first has left the window");
        assert_eq!(try_at(60), Err(TooManyConnections::Lately));
        assert_eq!(try_at(70), Ok(()));
    }

    #[test]
    fn a_place_that_is_freed_is_usable_at_once() {
        let (mut limiter, limits) = (RateLimiter::default(), limits());
        assert_eq!(limiter.admit(at(0), &limits, peer(1)), Ok(()));
        assert_eq!(limiter.admit(at(0), &limits, peer(1)), Ok(()));
        let refused = limiter.admit(at(0), &limits, peer(1));
        assert_eq!(refused, Err(TooManyConnections::AtOnce));
        limiter.release(peer(1));
        assert_eq!(limiter.admit(at(0), &limits, peer(1)), Ok(()));
    }

    #[test]
    fn failures_lock_out_for_their_time_and_no_longer() {
        let (mut limiter, limits) = (RateLimiter::default(), limits());
        let alice = address("alice@example.com");
        for second in 0..3 {
            assert_eq!(limiter.check_login(at(second), &limits, peer(1)), Ok(()));
            limiter.note_failure(at(second), &limits, peer(1), Some(&alice));
        }
        let lockout = limits.auth_failure_lockout;
        let locked = limiter.check_login(at(2), &limits, peer(1));
        assert_eq!(locked, Err(lockout));
        let end = 2 + lockout.as_secs();
        let last = limiter.check_login(at(end - 1), &limits, peer(1));
        assert_eq!(last, Err(Duration::from_secs(1)));
        assert_eq!(limiter.check_login(at(end), &limits, peer(1)), Ok(()));
        assert_eq!(limiter.check_login(at(3), &limits, peer(2)), Ok(()));
    }

    #[test]
    fn success_takes_back_the_failures_for_its_account_alone() {
        let (mut limiter, limits) = (RateLimiter::default(), limits());
        let (alice, bob) = (address("alice@example.com"), address("bob@example.com"));
        limiter.note_failure(at(0), &limits, peer(1), Some(&bob));
        limiter.note_failure(at(0), &limits, peer(1), Some(&alice));
        limiter.note_success(peer(1), &alice);
        limiter.note_failure(at(0), &limits, peer(1), None);
        assert_eq!(limiter.check_login(at(0), &limits, peer(1)), Ok(()));
        limiter.note_success(peer(1), &alice);
        limiter.note_failure(at(0), &limits, peer(1), Some(&bob));
        assert!(limiter.check_login(at(0), &limits, peer(1)).is_err());
    }

    #[test]
    fn one_customer_is_one_client() {
        let (mut limiter, limits) = (RateLimiter::default(), limits());
        for text in ["2001:db8::1", "2001:db8::ffff", "2001:db8:0:0:1::"] {
            let peer: IpAddr = text.parse().unwrap();
            limiter.note_failure(at(0), &limits, peer, None);
        }
        let same = "2001:db8::2".parse().unwrap();
        let other = "2001:db8:0:1::2".parse().unwrap();
        assert!(limiter.check_login(at(0), &limits, same).is_err());
        assert!(limiter.check_login(at(0), &limits, other).is_ok());
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(Client::new(mapped), Client::new(peer(1)));
    }

    #[test]
    fn whitelist_and_disabled_limits_count_nothing() {
        let mut limits = limits();
        let mut limiter = RateLimiter::default();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        for _ in 0..100 {
            assert!(limiter.admit(at(0), &limits, local).is_ok());
            limiter.note_failure(at(0), &limits, local, None);
            assert!(limiter.check_login(at(0), &limits, local).is_ok());
        }
        limits.enabled = false;
        for _ in 0..100 {
            assert!(limiter.count_recipient(at(0), &limits, peer(1)).is_ok());
        }
        assert_eq!(limiter.tracked(), 0);
    }

    #[test]
    fn the_stalest_goes_first_and_one_locked_out_last() {
        let (mut limiter, limits) = (RateLimiter::default(), limits());
        for _ in 0..3 {
            limiter.note_failure(at(0), &limits, peer(1), None);
        }
        for number in 2..10 {
            let _ = limiter.count_message(at(u64::from(number)), &limits, peer(number));
            assert!(limiter.tracked() <= limits.max_tracked_ips.get());
        }
        assert!(limiter.check_login(at(9), &limits, peer(1)).is_err());
        let tracked = |number| limiter.clients.contains_key(&Client::new(peer(number)));
        assert!(tracked(9) && tracked(8) && tracked(7) && !tracked(6));
    }

    #[test]
    fn what_counts_no_more_is_forgotten() {
        let (mut limiter, limits) = (RateLimiter::default(), limits());
        let _ = limiter.count_message(at(0), &limits, peer(1));
        assert!(limiter.admit(at(0), &limits, peer(2)).is_ok());
        limiter.forget_stale(at(59), &limits);
        assert_eq!(limiter.tracked(), 2);
        limiter.forget_stale(at(60), &limits);
        assert_eq!(limiter.tracked(), 1, "one is still connected");
        limiter.release(peer(2));
        limiter.forget_stale(at(60), &limits);
        assert_eq!((limiter.tracked(), limiter.by_age.len()), (0, 0));
    }

    proptest! {
        /// No stretch of time as long as the period holds more than the rate, and one who waits as
        /// long as was said is served.
        #[test]
        fn no_window_holds_more_than_the_rate(steps in vec(0_u64..40, 1..80)) {
            let (mut limiter, limits) = (RateLimiter::default(), limits());
            let mut now = 0;
            let mut taken: Vec<u64> = Vec::new();
            for step in steps {
                now += step;
                match limiter.count_message(at(now), &limits, peer(1)) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        prop_assert!(wait > Duration::ZERO);
                        now += wait.as_secs();
                        prop_assert!(limiter.count_message(at(now), &limits, peer(1)).is_ok());
                        taken.push(now);
                    }
                }
            }
            let period = limits.message_period.as_secs();
            for (index, start) in taken.iter().enumerate() {
                let within = taken[index..].iter().filter(|at| **at < start + period);
                prop_assert!(within.count() <= limits.message_rate.get() as usize);
            }
        }
    }
}
