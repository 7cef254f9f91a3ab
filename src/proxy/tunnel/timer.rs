//! One timer for all of a tunnel's deadlines; a tunnel that has none owns none.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is moved forward at once and back only when it fires: deadlines that come and go with every
/// blocked write cost nothing while one that is early enough is set.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when it has fired, which may be before `due`; the caller looks at its deadlines again then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        match (&mut self.0, due) {
            (None, None) => return Poll::Pending,
            (None, Some(due)) => self.0 = Some(Box::pin(sleep_until(due))),
            (Some(sleep), Some(due)) if due < sleep.deadline() => sleep.as_mut().reset(due),
            (Some(_), _) => {}
        }
        let fired = self.0.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if fired {
            self.0 = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
