//! Every journey on both daemons, over loopback sockets.

mod daemons;

use daemons::Daemons;
use rmail_tests::{Journey, Site, daemon::Kind, journeys};

fn travel(kind: Kind, journey: fn() -> Journey) {
    let Journey { setup, run } = journey();
    run(&Site::new(Daemons::start(kind, &setup)));
}

macro_rules! daemon_tests {
    ($($journey:ident)*) => {
        mod tokio {
            $(
                #[test]
                fn $journey() {
                    super::travel(super::Kind::Tokio, super::journeys::$journey);
                }
            )*
        }

        mod async_std {
            $(
                #[test]
                fn $journey() {
                    super::travel(super::Kind::AsyncStd, super::journeys::$journey);
                }
            )*
        }
    };
}

rmail_tests::for_each_journey!(daemon_tests);
