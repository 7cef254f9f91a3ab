//! The handle by which others close a tunnel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use super::Closing;

/// Closes one tunnel from outside. Cheap to clone; does nothing once the tunnel has ended.
#[derive(Debug, Clone, Default)]
pub struct TunnelHandle(Arc<Orders>);

#[derive(Debug, Default)]
struct Orders {
    closing: OnceLock<Closing>,
    killed: AtomicBool,
    waker: AtomicWaker,
}

impl TunnelHandle {
    /// Asks for an orderly end: a close frame to both sides at the next boundary between two frames, a short wait
    /// for the answer, then the end; all within the bounds of the tunnel's settings. The first call decides the code.
    pub fn close(&self, closing: Closing) {
        if self.0.closing.set(closing).is_ok() {
            self.0.waker.wake();
        }
    }

    /// Ends it at once, without a word.
    pub fn kill(&self) {
        self.0.killed.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// Has `waker` woken by the next order. To be called before the orders are read.
    pub(super) fn register(&self, waker: &Waker) {
        self.0.waker.register(waker);
    }

    pub(super) fn closing(&self) -> Option<Closing> {
        self.0.closing.get().copied()
    }

    pub(super) fn is_killed(&self) -> bool {
        self.0.killed.load(Ordering::Acquire)
    }
}
