//! What must hold of every input of rmail's parsers and machines, for a fuzzer to try.
//!
//! A target is a function that takes any bytes and panics where a promise is broken. Each has a
//! program in `targets/`, a corpus in `corpus/`, and is replayed over its corpus by
//! `cargo test --workspace`. `docs/fuzzing.md` says how to run them.

extern crate alloc;

// The paths by which the private parsers that are compiled in here name each other.
use rmail_proto::{
    Address, DateTime, Domain, Entropy, ForwardPath, ReversePath, Secret, TlsInfo, UnixTime, limits,
};

mod http;
mod imap;
mod mime;
mod plan;
mod response;
#[cfg(feature = "server")]
mod server;
mod smtp;

#[path = "../../proto/tests/rules/mod.rs"]
#[expect(
    dead_code,
    reason = "the steps come from the fuzzer, not from proptest"
)]
mod rules;
#[path = "../../proto/tests/transcript/mod.rs"]
#[expect(dead_code, reason = "nothing is played from a transcript")]
mod transcript;

/// Takes any bytes; panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its program and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("address", smtp::address),
    #[cfg(feature = "server")]
    ("config", server::config),
    #[cfg(feature = "server")]
    ("credential", server::credential),
    ("http_dialogue", http::dialogue),
    ("http_machine", http::machine),
    ("imap_command", imap::command),
    ("imap_dialogue", imap::dialogue),
    ("imap_machine", imap::machine),
    ("imap_name", imap::name),
    ("imap_reader", imap::reader),
    ("imap_response", imap::response),
    ("imap_set", imap::set),
    ("mime_date", mime::date),
    ("mime_field", mime::field),
    ("mime_filter", mime::filter),
    ("mime_parts", mime::parts),
    ("mime_scanner", mime::scanner),
    #[cfg(feature = "server")]
    ("node", server::node),
    #[cfg(feature = "server")]
    ("search", server::search),
    ("smtp_auth", smtp::auth),
    ("smtp_command", smtp::command),
    ("smtp_dialogue", smtp::dialogue),
    ("smtp_dot", smtp::dot),
    ("smtp_header", smtp::header),
    ("smtp_machine", smtp::machine),
    ("smtp_trace", smtp::trace),
];

/// The target with this name.
///
/// # Panics
///
/// When there is none.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.expect("TARGETS has every program's target").1
}

/// Tries the inputs in these files; what the programs of the targets do without a fuzzer.
///
/// # Panics
///
/// When a file can't be read, and where the target does.
pub fn replay(name: &str, files: impl Iterator<Item = String>) {
    for file in files {
        println!("{name}: {file}");
        let input = std::fs::read(&file).expect("the file can be read");
        target(name)(&input);
    }
}

/// The program of a target: under a fuzzer what it calls, else one that tries the files that are
/// its arguments.
#[macro_export]
macro_rules! program {
    ($name:literal) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::target($name)(input));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay($name, std::env::args().skip(1));
        }
    };
}
