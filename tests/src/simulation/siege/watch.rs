//! Those who see that all is well.

use std::{rc::Rc, time::Duration};

use rmail_server::node::Status;

use super::{
    super::{
        imap_session::ImapSession,
        scene::{HOST, Scene},
    },
    FORGOTTEN_WITHIN, LOCKOUT, PROTOCOLS, State, TRACKED_MAX,
    guesser::{Verdict, try_password},
    stranger as address_of_stranger,
};
use crate::{AccountSetup, ServerIndex};

/// How long an honest stranger waits until they are served, at most.
const SERVED_WITHIN: Duration = Duration::from_secs(5 * 60);

/// How long one waits for an answer who is connected already.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Looks each second whether everything is within its bounds. A bound that was lowered ends no
/// connection: there are no more until enough have left.
pub(super) async fn bounds(scene: &Scene, state: &State) {
    let mut before = [0; 3];
    while !state.is_over(scene) {
        let status = status(scene);
        let limits = &status.limits;
        let bounds = [
            limits.smtp.max_connections,
            limits.imap.max_connections,
            limits.exchange_api.max_connections,
        ];
        let sessions = &status.sessions;
        let counts = [sessions.smtp, sessions.imap, sessions.http];
        for ((count, bound), before) in counts.into_iter().zip(bounds).zip(before) {
            let is_within = count <= bound || count <= before;
            assert!(is_within, "{counts:?} connections of {bounds:?}");
        }
        let tracked = status.rate_limit.tracked;
        assert!(tracked <= TRACKED_MAX, "{tracked} clients are remembered");
        state.count(|figures| {
            figures.tracked_max = figures.tracked_max.max(tracked);
            for (most, count) in figures.connections_max.iter_mut().zip(counts) {
                *most = count.max(*most);
            }
        });
        before = counts;
        scene.sleep(Duration::from_secs(1)).await;
    }
}

/// Somebody honest whom the server does not know: they log in, now by this protocol, now by that.
pub(super) async fn stranger(scene: &Scene, state: &State, account: &AccountSetup) {
    let peer = address_of_stranger(98, 1);
    for protocol in PROTOCOLS.into_iter().cycle() {
        let since = scene.at();
        loop {
            scene.status(format!("wants to log in by {}", protocol.name()));
            match try_password(scene, peer, protocol, account).await {
                Verdict::Right => break,
                Verdict::None => scene.sleep(Duration::from_secs(5)).await,
                verdict => panic!("an honest client hears {verdict:?}"),
            }
        }
        let wait = scene.at().since(since);
        assert!(wait <= SERVED_WITHIN, "served after {wait:?}");
        state.count(|figures| {
            figures.served += 1;
            figures.longest_wait = figures.longest_wait.max(wait);
        });
        if state.is_over(scene) {
            return;
        }
        scene.sleep(Duration::from_secs(10)).await;
    }
}

/// Somebody who was there before, and is served as if nothing was.
pub(super) async fn resident(scene: &Scene, state: &State, account: &AccountSetup) {
    let session = ImapSession::log_in(scene, scene.server(0), account).await;
    let session = session.expect("nobody else is here yet");
    let mut session = session.expect("the password is right");
    let opened = session.select("INBOX").await.expect("nothing goes wrong");
    opened.expect("there is an INBOX");
    while !state.is_over(scene) {
        scene.sleep(Duration::from_secs(10)).await;
        let since = scene.at();
        session.command("NOOP").await.expect("the session goes on");
        session.learn().await.expect("the session goes on");
        let wait = scene.at().since(since);
        assert!(wait <= ANSWERED_WITHIN, "answered after {wait:?}");
    }
    session
        .command("LOGOUT")
        .await
        .expect("the session goes on");
}

/// When all is over nothing is left of it.
pub(super) async fn peace(scene: Scene, state: Rc<State>) {
    scene.status("waits for the end");
    let is_over = |_: &Scene| (state.busy.get() == 0).then_some(());
    scene.wait_for(is_over).await;
    scene.sleep(LOCKOUT + FORGOTTEN_WITHIN).await;
    let rate_limit = status(&scene).rate_limit;
    assert_eq!(rate_limit.tracked, 0, "clients are remembered for nothing");
    assert_eq!(rate_limit.locked_out, 0);
    scene.ledger().siege = *state.figures.borrow();
    scene.status("is done");
}

fn status(scene: &Scene) -> Status {
    let status = scene.world().status(HOST, ServerIndex(0));
    status.expect("the server runs")
}
