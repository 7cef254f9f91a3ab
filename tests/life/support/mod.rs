//! A gateway with everything that it needs in a folder of its own, and browsers that visit it.

mod browser;
mod gateway;
mod process;
mod site;

use std::time::Duration;

pub(crate) use browser::{Answer, Browser, Operator, Socket, closing, say};
pub(crate) use gateway::Gateway;
pub(crate) use process::{Process, is_alive};
pub(crate) use site::{HOST, PASSWORD, Site, hold_until_told, sample};

use tokio::time::{Instant, sleep, timeout};

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How soon a session's end ends its WebSockets.
pub(crate) const FIVE_SECONDS: Duration = Duration::from_secs(5);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits for `future`, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("must not take that long")
}

/// Asks again and again until there is an answer, but not for ever.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// What stands between `before` and `after`.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
