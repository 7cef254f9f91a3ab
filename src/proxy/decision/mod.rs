//! The decision: facts in, one of a few answers out. Pure, and the only maker of a [`Permit`].
//!
//! The order of the questions is the order of [`decide`] and cannot be configured: is there such an address, is it
//! ours, who is there, is their tenant let in, may they use the route, did a page of this site send the request,
//! is it their own workspace, and is it up. A WebSocket handshake is asked all of them like any other request.
//!
//! Left to others: reading the session cookie, looking up the workspace, waiting, and writing the answer.

mod fetch;
mod origin;
mod permit;

use std::sync::Arc;

use http::Method;
use http::uri::PathAndQuery;

use super::admit::Admitted;
use crate::model::{Endpoint, ErrorKind, KindName, Principal, WorkspaceId};
use crate::routing::{Match, Miss, OwnPage, Target};

pub use fetch::Fetch;
pub use origin::{OriginCheck, expected_origin};
pub use permit::{Destination, Permit};

/// What a workspace is doing, as far as a request cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceState {
    /// Up, and reached there.
    Ready(Arc<Endpoint>),
    /// On its way up.
    Starting,
    /// Down, on its way down, or never started.
    Stopped,
    /// Its last start or run failed.
    Failed,
}

/// Everything that a decision is made on.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The request.
    pub request: &'a Admitted,
    /// The route that covers it, or what is not known.
    pub found: Result<&'a Match, Miss>,
    /// Who is there, by a session or token that is valid now.
    pub principal: Option<&'a Arc<Principal>>,
    /// Whether their tenant is disabled or unknown.
    pub tenant_disabled: bool,
    /// Which page sent the request.
    pub origin: OriginCheck,
    /// Whether a browser would send by itself what shows who is there, so that the page that sent it matters.
    pub ambient: bool,
    /// Whether it is a session that shows who is there.
    pub has_session: bool,
    /// What the browser wants it for.
    pub fetch: Fetch,
    /// The workspace by [`workspace_of`], and what it is doing; `None` if that gave none.
    pub workspace: Option<(&'a WorkspaceId, WorkspaceState)>,
    /// Where a request for `/.usher/enter` wants to go on to: the route of another host; `None` if it names none.
    pub onward: Option<&'a Match>,
}

/// What happens to a request.
#[derive(Debug)]
pub enum Decision {
    /// It is forwarded.
    Forward(Permit),
    /// Our own pages answer it.
    Own,
    /// Somebody has to sign in: a page to go to, or 401 for what is not a page.
    Login {
        /// Whether the answer is a page.
        navigation: bool,
    },
    /// Their browser is sent on to the host of another route, with a ticket.
    Enter,
    /// The ticket that it brings is taken, or not: it says for itself whose session it stands for.
    TakeTicket,
    /// The start page of their workspace answers it.
    StartPage(WorkspaceId),
    /// It waits, for a bounded time, until the workspace is up.
    Wait(WorkspaceId),
    /// A 308 to this address on the same host.
    Redirect(PathAndQuery),
    /// It is refused.
    Deny(ErrorKind),
}

/// The workspace that a request by `principal` is for, if its route leads to one. The id comes from the person
/// and the route; nothing of it is read from the address.
#[must_use]
pub fn workspace_of(found: &Match, principal: &Principal) -> Option<WorkspaceId> {
    match &found.route.target {
        Target::Workspace(kind) => Some(principal.workspace(kind)),
        Target::Upstream(_) | Target::Own | Target::Entrance => None,
    }
}

/// Decides.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    let found = match facts.found {
        Ok(found) => found,
        Err(Miss::Host) => return Decision::Deny(ErrorKind::Misdirected),
        Err(Miss::Path) => return Decision::Deny(ErrorKind::NotFound),
    };
    match found.route.target {
        Target::Own => return decide_own(facts),
        Target::Entrance => return decide_entrance(facts),
        Target::Workspace(_) | Target::Upstream(_) => {}
    }
    if let Some(target) = slash_redirect(facts.request, found) {
        return Decision::Redirect(target);
    }
    let Some(principal) = facts.principal else {
        return Decision::Login { navigation: facts.fetch.wants_page(facts.request) };
    };
    if let Err(kind) = may_use(facts, found, principal) {
        return Decision::Deny(kind);
    }
    match &found.route.target {
        Target::Workspace(kind) => decide_workspace(facts, found, principal, kind),
        Target::Upstream(upstream) => forward(facts, found, principal, Destination::Upstream(upstream.clone())),
        // Decided above.
        Target::Own | Target::Entrance => Decision::Deny(ErrorKind::Internal),
    }
}

/// Our own pages share their origin with every route of the public host, so that a script of a workspace may ask
/// for them like a page of ours. Pages are therefore given to top-level navigations only, and what changes
/// something is done only for requests that name exactly our origin. The API's token is checked by the portal.
fn decide_own(facts: &Facts<'_>) -> Decision {
    let page = OwnPage::of(facts.request.path());
    if facts.request.is_tunnel() {
        return Decision::Deny(ErrorKind::BadRequest);
    }
    let script = page == OwnPage::Api && !facts.ambient;
    if !facts.request.is_safe() && facts.origin != OriginCheck::Own && !script {
        return Decision::Deny(ErrorKind::ForeignOrigin);
    }
    let is_page = matches!(page, OwnPage::Page | OwnPage::Public | OwnPage::Enter);
    if is_page && !facts.fetch.is_top_level() || facts.fetch == Fetch::Framed {
        return Decision::Deny(ErrorKind::Forbidden);
    }
    let needs_somebody = matches!(page, OwnPage::Page | OwnPage::Api | OwnPage::Enter);
    match facts.principal {
        None if needs_somebody => Decision::Login { navigation: facts.fetch.wants_page(facts.request) },
        Some(_) if needs_somebody && facts.tenant_disabled => Decision::Deny(ErrorKind::TenantRefused),
        // Only a session can be taken along to another host.
        Some(_) if page == OwnPage::Enter && !facts.has_session => {
            Decision::Login { navigation: facts.fetch.wants_page(facts.request) }
        }
        Some(principal) if page == OwnPage::Enter => decide_enter(facts, principal),
        _ => Decision::Own,
    }
}

/// Who is signed in may take their session to a host where a route is for them, and to no workspace's but their own.
fn decide_enter(facts: &Facts<'_>, principal: &Principal) -> Decision {
    let Some(found) = facts.onward.filter(|_| facts.request.method() == Method::GET) else {
        return Decision::Deny(ErrorKind::NotFound);
    };
    if !found.route.allow.permit(principal) {
        return Decision::Deny(ErrorKind::Forbidden);
    }
    match (&found.route.target, &found.workspace_label) {
        (Target::Workspace(kind), Some(label)) if principal.workspace(kind).label() != *label => {
            Decision::Deny(ErrorKind::NotYours)
        }
        (Target::Workspace(_) | Target::Upstream(_), _) => Decision::Enter,
        (Target::Own | Target::Entrance, _) => Decision::Deny(ErrorKind::NotFound),
    }
}

/// On the host of another route. A tab comes here by a redirect only, and who is there shows by its ticket.
fn decide_entrance(facts: &Facts<'_>) -> Decision {
    if facts.request.is_tunnel() || facts.request.method() != Method::GET {
        return Decision::Deny(ErrorKind::NotFound);
    }
    if facts.fetch.is_top_level() { Decision::TakeTicket } else { Decision::Deny(ErrorKind::Forbidden) }
}

/// `/ide` → `/ide/`, with the query. A WebSocket does not follow redirects and goes through as it is.
fn slash_redirect(request: &Admitted, found: &Match) -> Option<PathAndQuery> {
    if !found.lacks_slash || request.is_tunnel() {
        return None;
    }
    let target = match request.query() {
        Some(query) => format!("{}/?{query}", request.path()),
        None => format!("{}/", request.path()),
    };
    PathAndQuery::try_from(target).ok()
}

fn may_use(facts: &Facts<'_>, found: &Match, principal: &Principal) -> Result<(), ErrorKind> {
    if facts.tenant_disabled {
        return Err(ErrorKind::TenantRefused);
    }
    if !found.route.allow.permit(principal) {
        return Err(ErrorKind::Forbidden);
    }
    let sound = match facts.origin {
        OriginCheck::Own => true,
        // No page of another site has the token of a header or sub-protocol, and none can make a browser send it.
        _ if !facts.ambient => true,
        // Every browser names the origin of a WebSocket and of an unsafe request; what does not is no browser. It
        // may do the latter, since no page can have made it, but a tunnel it gets only by naming our origin.
        OriginCheck::Absent | OriginCheck::SameHost => !facts.request.is_tunnel(),
        OriginCheck::Foreign => facts.request.is_safe() && !facts.request.is_tunnel(),
    };
    if sound { Ok(()) } else { Err(ErrorKind::ForeignOrigin) }
}

fn decide_workspace(facts: &Facts<'_>, found: &Match, principal: &Arc<Principal>, kind: &KindName) -> Decision {
    // The state must be that of their own workspace; anything else is a fault of the caller.
    let Some((id, state)) = facts.workspace.as_ref().filter(|(id, _)| is_own_workspace(id, principal, kind)) else {
        return Decision::Deny(ErrorKind::Internal);
    };
    if found.workspace_label.as_ref().is_some_and(|label| *label != id.label()) {
        return Decision::Deny(ErrorKind::NotYours);
    }
    let wants_page = facts.fetch.wants_page(facts.request);
    match state {
        WorkspaceState::Ready(endpoint) => {
            let destination = Destination::Workspace { id: (*id).clone(), endpoint: endpoint.clone() };
            forward(facts, found, principal, destination)
        }
        _ if wants_page => Decision::StartPage((*id).clone()),
        WorkspaceState::Starting => Decision::Wait((*id).clone()),
        // Only a person's navigation starts a workspace: an open tab that polls would undo every stop.
        WorkspaceState::Stopped => Decision::Deny(ErrorKind::NotRunning),
        WorkspaceState::Failed => Decision::Deny(ErrorKind::StartFailed),
    }
}

fn is_own_workspace(id: &WorkspaceId, principal: &Principal, kind: &KindName) -> bool {
    id.tenant == principal.tenant && id.user == principal.user && id.kind == *kind
}

fn forward(facts: &Facts<'_>, found: &Match, principal: &Arc<Principal>, destination: Destination) -> Decision {
    Decision::Forward(Permit::new(found, principal, destination, facts.request.is_tunnel()))
}

#[cfg(test)]
mod tests;
