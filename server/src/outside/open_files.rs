//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{config::Config, limits};

/// Files that a server has open besides its connections.
const OTHERS: u64 = 1_000;

/// Allows the process as many as the system lets it have: the usual 1,024 are meant for programs
/// that use select(2). A warning when those are fewer than the configuration lets connections in.
pub fn allow_many(config: &Config) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // None is no limit.
    let allowed = allowed?;
    let connections = [
        config.smtp.max_connections.get(),
        config.imap.max_connections.get(),
        limits::HTTP_CONNECTIONS,
        config.relay.max_connections.get(),
    ];
    let wanted = connections.iter().map(|it| *it as u64).sum::<u64>() + OTHERS;
    (allowed < wanted).then(|| {
        format!(
            "the process may have {allowed} files and sockets open, and the connections that the \
             configuration allows need {wanted}: raise LimitNOFILE= of the service, or \
             \"ulimit -n\""
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_the_system_allows_is_used_and_too_little_is_warned_of() {
        let mut config = Config::default_in(Path::new("/x"));
        allow_many(&config);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        let Some(maximum) = limit.maximum else { return };
        config.imap.max_connections = usize::try_from(maximum).unwrap().try_into().unwrap();
        let warning = allow_many(&config).expect("there are other files besides");
        assert!(warning.contains("LimitNOFILE"), "{warning}");
    }
}
