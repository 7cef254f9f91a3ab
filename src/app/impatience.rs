//! A further TERM or INT when the drain is over and only workspaces are waited for.

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::edge::{Drain, DrainPhase};

/// The token is cancelled by the first TERM or INT that comes when `drain` is over. What comes before is the drain's,
/// which the second cuts short.
pub(super) fn watch(on: &Handle, drain: &Drain) -> CancellationToken {
    let (again, mut phases) = (CancellationToken::new(), drain.subscribe());
    on.spawn({
        let (again, _sender) = (again.clone(), drain.clone());
        async move {
            let _ = phases.wait_for(|phase| *phase >= DrainPhase::Over).await;
            let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else { return };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            again.cancel();
        }
    });
    again
}
