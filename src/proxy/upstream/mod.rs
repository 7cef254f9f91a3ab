//! Connections to workspaces and shared upstreams: pooled by instance, with deadlines and one safe replay.
//!
//! A connection belongs to one run of one workspace (its [`InstanceId`]) for all its life, so an address that
//! changes hands is never reached over an old connection. What comes back is checked before it is believed
//! (`headers::check_answer`); a connection whose answer broke HTTP is never used again.

mod connect;
mod exchange;
mod pool;
mod stream;

pub use connect::{ConnectError, Connector};
pub use exchange::{Exchange, SendError};
pub use pool::{Lease, Pool, Upstreams};
pub use stream::UpstreamStream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::InstanceId;

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A run of a workspace, at an address that was observed.
    Workspace {
        /// The run.
        instance: InstanceId,
        /// Its address.
        address: SocketAddr,
        /// Whether it speaks TLS.
        tls: bool,
    },
    /// A service that all users share, found by name at each connect.
    Shared {
        /// Host name or IP literal.
        host: Arc<str>,
        /// TCP port.
        port: u16,
        /// Whether it speaks TLS.
        tls: bool,
        /// Stands for it in the pool.
        instance: InstanceId,
    },
}

impl Peer {
    /// What its connections are pooled by.
    #[must_use]
    pub const fn instance(&self) -> &InstanceId {
        match self {
            Self::Workspace { instance, .. } | Self::Shared { instance, .. } => instance,
        }
    }
}

/// Limits and deadlines, as configured.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time to open a connection, TLS included.
    pub connect_timeout: Duration,
    /// From the end of the request to the end of the answer's head.
    pub head_timeout: Duration,
    /// How long an upstream may take nothing while there is something for it.
    pub write_stall_timeout: Duration,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Most idle connections for one instance.
    pub max_idle: usize,
}

impl From<&crate::config::Config> for Limits {
    fn from(config: &crate::config::Config) -> Self {
        let (http, config) = (&config.http, &config.upstream);
        Self {
            write_stall_timeout: http.write_stall_timeout.0,
            connect_timeout: config.connect_timeout.0,
            head_timeout: config.head_timeout.0,
            idle_timeout: config.idle_timeout.0,
            max_idle: config.max_idle_connections as usize,
        }
    }
}
