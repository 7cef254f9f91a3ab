//! A bound on event streams: how many one session may hold open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::session::SessionId;

/// Most streams of one session: more open tabs than anybody looks at. A stream costs a few KiB.
const MAX_STREAMS: usize = 20;

/// Counts the open streams of each session.
#[derive(Default)]
pub(super) struct Streams(Mutex<HashMap<SessionId, usize>>);

/// One open stream; gives its place back when it is dropped.
pub(super) struct StreamGuard {
    streams: Arc<Streams>,
    session: SessionId,
}

impl Streams {
    /// Takes a place for one more stream; `None` if the session has as many as it may.
    pub(super) fn open(self: &Arc<Self>, session: SessionId) -> Option<StreamGuard> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(session).or_default();
        if *count >= MAX_STREAMS {
            return None;
        }
        *count += 1;
        Some(StreamGuard { streams: self.clone(), session })
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.session);
            }
        }
    }
}
