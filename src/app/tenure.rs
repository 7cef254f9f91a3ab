//! When a gateway has the workspaces: from the moment that the one before lets go of them to its own hand-over.
//!
//! The state folder's lock goes with them. A gateway that takes over serves meanwhile if that takes long; starts wait.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::parts::Parts;
use super::state_lock::StateLock;
use crate::edge::{DrainPhase, Stop};

/// Takes the workspaces over when the lock is free and cancels `has_them`, unless that is so already, and hands them
/// over when it is told to. Ends when the gateway leaves.
pub(super) async fn keep(parts: Arc<Parts>, lock: Arc<StateLock>, has_them: CancellationToken) {
    let mut phases = parts.drain.subscribe();
    if !has_them.is_cancelled() {
        tokio::select! {
            // The sender lives in `parts`, so waiting does not fail.
            _ = phases.wait_for(|phase| *phase >= DrainPhase::Leaving) => return,
            taken = lock.take() => if let Err(error) = taken {
                tracing::error!(%error, "cannot lock the state folder: no workspace can start");
                return;
            },
        }
        parts.workspaces.take_over().await;
        // Who signed out at the other gateway after this one had read the file is signed out here too.
        parts.sessions.exchange_ends().await;
        has_them.cancel();
    }
    let _ = phases.wait_for(|phase| *phase >= DrainPhase::Leaving).await;
    if parts.drain.how() == Some(Stop::Handover) {
        parts.workspaces.let_go().await;
        parts.sessions.exchange_ends().await;
        lock.release();
        tracing::info!("workspaces handed over");
    }
}
