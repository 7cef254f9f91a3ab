//! The limits in force, changed while connections run.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config;

/// A cheap handle on the limits of client connections. A change holds for connections accepted after it.
#[derive(Clone)]
pub struct Limits(Arc<ArcSwap<config::Http>>);

impl Limits {
    /// Starts with `http`.
    #[must_use]
    pub fn new(http: &config::Http) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(http.clone())))
    }

    /// Puts `http` in force for new connections.
    pub fn apply(&self, http: &config::Http) {
        self.0.store(Arc::new(http.clone()));
    }

    /// The limits in force now.
    #[must_use]
    pub fn current(&self) -> Arc<config::Http> {
        self.0.load_full()
    }
}
