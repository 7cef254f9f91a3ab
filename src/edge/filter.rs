//! Refuses connections right after they were accepted, before anything is spent on them.

use std::net::SocketAddr;
use std::sync::Arc;

use pingora_core::listeners::ConnectionFilter;

use super::caps::Caps;
use super::listener::is_proxy;
use super::{Limits, registry::Connections};
use crate::config::Cidr;
use crate::metrics::Metrics;

/// pingora's hook in the accept loop. It must not wait.
pub(super) struct Filter {
    pub(super) caps: Caps,
    pub(super) limits: Limits,
    pub(super) proxies: Vec<Cidr>,
    pub(super) connections: Connections,
    pub(super) metrics: Arc<Metrics>,
}

impl Filter {
    /// The reason to refuse a connection from `peer`. Behind a load balancer the client's own address is counted
    /// once it is known.
    fn refusal(&self, peer: Option<&SocketAddr>) -> Option<&'static str> {
        // While the gateway drains, what was still accepted is served: it may not find another door.
        if self.connections.is_over() {
            return Some("stopped");
        }
        let limits = self.limits.current();
        let address = peer.map(SocketAddr::ip).filter(|&address| !is_proxy(&self.proxies, address));
        let check = self.caps.check(address, limits.max_connections, limits.max_connections_per_address);
        check.err().map(super::caps::Refused::label)
    }
}

#[async_trait::async_trait]
impl ConnectionFilter for Filter {
    async fn should_accept(&self, peer: Option<&SocketAddr>) -> bool {
        let refusal = self.refusal(peer);
        if let Some(reason) = refusal {
            self.metrics.connection_refused(reason);
        }
        refusal.is_none()
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").finish_non_exhaustive()
    }
}
