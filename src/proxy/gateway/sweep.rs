//! What is done for all open WebSockets and lasting answers once a second: sessions of WebSockets stay in use, and what
//! was opened by a right that is gone is closed. The end of a session or of a workspace's run closes its tunnels at once, without waiting for this.

use super::Gateway;
use super::rules::Rules;
use crate::identity::tokens::Bearer;
use crate::proxy::answers::AnswerTag;
use crate::proxy::tunnel::{Closing, TunnelTag};
use crate::session::Session;

impl Gateway {
    /// Looks at every open WebSocket and lasting answer. Called once a second by the composition root, so a right that was taken away
    /// ends what it opened within two.
    pub fn sweep(&self) {
        let now = self.0.parts.clock.now();
        let rules = self.0.rules.load();
        let sessions = &self.0.parts.sessions;
        self.0.parts.identity.sweep_bearers(now, &|bearer| {
            sessions.bars(&bearer.principal().tenant, &bearer.principal().user, bearer.issued())
        });
        let tunnel = |tag: &TunnelTag| {
            tag.session.iter().for_each(|session| session.touch(now));
            is_withdrawn(&rules, tag.session.as_deref(), tag.bearer.as_deref(), &tag.route)
        };
        self.0.parts.tunnels.close_where(tunnel, Closing::NOT_ALLOWED);
        let answer = |tag: &AnswerTag| is_withdrawn(&rules, tag.session.as_deref(), tag.bearer.as_deref(), &tag.route);
        self.0.answers.end_where(answer);
        self.0.parts.upstreams.sweep();
    }
}

/// Whether the route is not for them any more, or their tenant is disabled.
fn is_withdrawn(rules: &Rules, session: Option<&Session>, bearer: Option<&Bearer>, route: &str) -> bool {
    let principal = session.map(Session::principal).or_else(|| bearer.map(|bearer| bearer.principal().clone()));
    principal.is_some_and(|principal| {
        rules.is_disabled(&principal.tenant) || !rules.route(route).is_some_and(|route| route.allow.permit(&principal))
    })
}
