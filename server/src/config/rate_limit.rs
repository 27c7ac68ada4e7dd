//! `rate_limit.*`: what one client may do in how much time.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use super::{Network, read_count, read_seconds, read_size, section::Section};

/// Limits of one IP address, over sliding windows.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// Whether any of it is in force.
    pub enabled: bool,
    /// Connections within `connection_period`.
    pub connection_rate: NonZeroU32,
    /// See `connection_rate`.
    pub connection_period: Duration,
    /// Messages within `message_period`.
    pub message_rate: NonZeroU32,
    /// See `message_rate`.
    pub message_period: Duration,
    /// Recipients within `recipient_period`.
    pub recipient_rate: NonZeroU32,
    /// See `recipient_rate`.
    pub recipient_period: Duration,
    /// Failed logins before a lockout.
    pub auth_failure_limit: NonZeroU32,
    /// How long a lockout lasts.
    pub auth_failure_lockout: Duration,
    /// Connections at a time.
    pub max_concurrent_per_ip: NonZeroUsize,
    /// Who is exempt from all of it.
    pub whitelist: Vec<Network>,
    /// Addresses that are remembered.
    pub max_tracked_ips: NonZeroUsize,
    /// Time between removals of addresses whose windows have passed.
    pub cleanup_interval: Duration,
}

/// Longest window, and lockout.
const PERIOD_SECONDS_MAX: u64 = 30 * 24 * 60 * 60;
/// Largest rate.
const RATE_MAX: u32 = 1_000_000;

impl RateLimit {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let local = ["127.0.0.1", "::1"];
        let local = local
            .iter()
            .filter_map(|text| Network::parse(text))
            .collect();
        let rate_limit = Self {
            enabled: s.boolean("enabled", true),
            connection_rate: read_count(s, "connection_rate", 20, RATE_MAX),
            connection_period: read_seconds(s, "connection_period", 60, PERIOD_SECONDS_MAX),
            message_rate: read_count(s, "message_rate", 30, RATE_MAX),
            message_period: read_seconds(s, "message_period", 60, PERIOD_SECONDS_MAX),
            recipient_rate: read_count(s, "recipient_rate", 100, RATE_MAX),
            recipient_period: read_seconds(s, "recipient_period", 60, PERIOD_SECONDS_MAX),
            auth_failure_limit: read_count(s, "auth_failure_limit", 5, RATE_MAX),
            auth_failure_lockout: read_seconds(s, "auth_failure_lockout", 600, PERIOD_SECONDS_MAX),
            max_concurrent_per_ip: read_size(s, "max_concurrent_per_ip", 10, RATE_MAX),
            whitelist: s.list("whitelist", local, NETWORK_EXPECTED, Network::parse),
            max_tracked_ips: read_size(s, "max_tracked_ips", 10_000, 10_000_000),
            cleanup_interval: read_seconds(s, "cleanup_interval", 300, 24 * 60 * 60),
        };
        section.close();
        rate_limit
    }
}

/// What an item of a list of networks should be.
pub(super) const NETWORK_EXPECTED: &str = "an IP address or a network such as 10.0.0.0/8";
