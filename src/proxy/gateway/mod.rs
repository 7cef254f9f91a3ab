//! The gateway: answers every request of the public listener.
//!
//! The stages of a request stand in [`visit::Visit::answer`], in their one order; no configuration reorders or skips
//! one, and an upgrade takes the same way as any other request. Nothing here does control-plane I/O: it reads
//! snapshots, looks workspaces up, and waits on watches for bounded times.

mod bearer;
mod entry;
mod forward;
mod own;
mod rules;
mod sweep;
mod upgrade;
mod visit;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use http::{Request, Response};
use tokio_util::task::TaskTracker;

pub use self::rules::LoadError;
use self::rules::Rules;
use self::visit::Visit;
use super::access_log::{AccessLog, RequestIds};
use super::answers::Answers;
use super::body::AnswerBody;
use super::tunnel::Tunnels;
use super::upstream::Upstreams;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::config::Config;
use crate::edge::{self, Connection, RequestBody};
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::session::Sessions;
use crate::workspace::Workspaces;

/// What a gateway is made of; everything that it needs is handed to it.
pub struct Parts {
    /// Who tokens vouch for.
    pub identity: Identity,
    /// Browser logins.
    pub sessions: Sessions,
    /// All workspaces.
    pub workspaces: Workspaces,
    /// Connections to upstreams.
    pub upstreams: Arc<Upstreams>,
    /// Open WebSockets.
    pub tunnels: Tunnels,
    /// Pages and API of our own.
    pub portal: Router,
    /// Where access-log lines go.
    pub access_log: Arc<AccessLog>,
    /// Records how sessions come to other hosts.
    pub audit: Audit,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The service of the public listener. A cheap handle.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

struct Shared {
    parts: Parts,
    rules: ArcSwap<Rules>,
    ids: RequestIds,
    /// Tunnels run in tasks of their own, since the connection that they came in on is over for hyper.
    tasks: TaskTracker,
    /// Answers that may last.
    answers: Answers,
}

impl Gateway {
    /// A gateway that serves as `config` says.
    ///
    /// # Errors
    /// Returns an error if the routes cannot be compiled, which a checked configuration's can, or a key not be read.
    pub fn new(parts: Parts, config: &Config) -> Result<Self, LoadError> {
        let mut seed = [0; 4];
        // Without random bytes ids of two processes may be alike, and nothing else depends on them.
        let _ = aws_lc_rs::rand::fill(&mut seed);
        Ok(Self(Arc::new(Shared {
            rules: ArcSwap::from_pointee(Rules::load(config)?),
            ids: RequestIds::new(u32::from_be_bytes(seed)),
            tasks: TaskTracker::new(),
            answers: Answers::default(),
            parts,
        })))
    }

    /// Puts other routes and rules in force, for requests that come in from now on.
    ///
    /// # Errors
    /// Returns an error if the routes cannot be compiled or a key not be read; what was in force stays.
    pub fn apply(&self, config: &Config) -> Result<(), LoadError> {
        self.0.rules.store(Arc::new(Rules::load(config)?));
        Ok(())
    }
}

impl edge::Service for Gateway {
    type Body = AnswerBody;

    async fn call(&self, connection: &Arc<Connection>, request: Request<RequestBody>) -> Response<AnswerBody> {
        Visit::begin(&self.0, connection, request).answer().await
    }
}
