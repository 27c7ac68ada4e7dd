//! Every journey in a world, on virtual time, by several seeds.

use rmail_tests::{Journey, Site, World, journeys};

fn travel(journey: fn() -> Journey) {
    for seed in 1..=3 {
        let Journey { setup, run } = journey();
        run(&Site::new(World::with_host(setup, seed)));
    }
}

macro_rules! host_tests {
    ($($journey:ident)*) => {
        $(
            #[test]
            fn $journey() {
                travel(journeys::$journey);
            }
        )*
    };
}

rmail_tests::for_each_journey!(host_tests);

#[test]
fn mail_for_a_deleted_account_comes_back() {
    travel(journeys::mail_for_a_deleted_account_comes_back);
}
