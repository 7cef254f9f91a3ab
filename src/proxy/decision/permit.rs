//! The right to forward one request to one place.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;

use crate::model::{Endpoint, Principal, WorkspaceId};
use crate::proxy::admit::Admitted;
use crate::routing::{Match, Route, SharedUpstream};

/// Where a permitted request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To the user's own workspace.
    Workspace {
        /// Which one that is.
        id: WorkspaceId,
        /// The run of it that is up.
        endpoint: Arc<Endpoint>,
    },
    /// To a service that all users of the route share.
    Upstream(Arc<SharedUpstream>),
}

/// The right to forward one request to one place, for one principal. Made by `decide` and nowhere else; whatever
/// forwards takes one.
#[derive(Debug)]
pub struct Permit {
    route: Arc<Route>,
    principal: Arc<Principal>,
    destination: Destination,
    prefix_end: usize,
    tunnel: bool,
    shared_host: bool,
}

impl Permit {
    pub(super) fn new(found: &Match, principal: &Arc<Principal>, destination: Destination, tunnel: bool) -> Self {
        Self {
            route: found.route.clone(),
            principal: principal.clone(),
            destination,
            prefix_end: found.prefix_end,
            tunnel,
            shared_host: found.shared_host,
        }
    }

    /// The route that it was given for.
    #[must_use]
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The person that it was given to.
    #[must_use]
    pub const fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Where the request goes.
    #[must_use]
    pub const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The workspace that it goes to, if it goes to one.
    #[must_use]
    pub const fn workspace(&self) -> Option<&WorkspaceId> {
        match &self.destination {
            Destination::Workspace { id, .. } => Some(id),
            Destination::Upstream(_) => None,
        }
    }

    /// Whether the answer may be a 101.
    #[must_use]
    pub const fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// The path below the route's prefix, whether or not the route strips it; starts with `/`.
    #[must_use]
    pub fn path_below_prefix<'r>(&self, request: &'r Admitted) -> &'r str {
        request.path().get(self.prefix_end..).filter(|rest| rest.starts_with('/')).unwrap_or("/")
    }

    /// Whether other routes or our own pages have the same host, so that answers are confined the more.
    #[must_use]
    pub const fn shares_host(&self) -> bool {
        self.shared_host
    }

    /// What the upstream is asked for: the request's target, without the prefix where the route strips it.
    #[must_use]
    pub fn upstream_target(&self, request: &Admitted) -> PathAndQuery {
        if !self.route.strips() {
            return request.target().clone();
        }
        let rest = request.target().as_str().get(self.prefix_end..).unwrap_or_default();
        let text = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        PathAndQuery::from_maybe_shared(Bytes::from(text)).expect("the end of a valid target from a slash on is one")
    }
}
