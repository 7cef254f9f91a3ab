//! What directories need beside their configuration to ask somebody over a network.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::metrics::Metrics;

/// What directories need beside their configuration. Cheap to clone.
#[derive(Clone)]
pub struct Means {
    /// Where their connections live and their work is done, whichever thread asks: proxy threads do none of it, and no
    /// connection ends with the runtime that first needed it.
    pub control: Handle,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// By whose time accounts expire.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").finish_non_exhaustive()
    }
}
