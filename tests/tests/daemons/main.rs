//! Every journey on both daemons, over loopback sockets.
//!
//! The programs are those of the workspace's build: `cargo test --workspace` makes them, or
//! `cargo build -p rmail-runtime-tokio -p rmail-runtime-async-std`.

mod daemons;

use daemons::Daemons;
use rmail_tests::{Journey, Site, journeys};

fn travel(program: &'static str, journey: fn() -> Journey) {
    let Journey { setup, run } = journey();
    run(&Site::new(Daemons::start(program, &setup)));
}

macro_rules! daemon_tests {
    ($($journey:ident)*) => {
        mod tokio {
            $(
                #[test]
                fn $journey() {
                    super::travel("rmail", super::journeys::$journey);
                }
            )*
        }

        mod async_std {
            $(
                #[test]
                fn $journey() {
                    super::travel("rmail-async-std", super::journeys::$journey);
                }
            )*
        }
    };
}

rmail_tests::for_each_journey!(daemon_tests);
