//! What is done for all open WebSockets once a second: their sessions stay in use, and those whose right is gone are
//! closed. The end of a session or of a workspace's run closes its tunnels at once, without waiting for this.

use super::Gateway;
use crate::proxy::tunnel::{Closing, TunnelTag};

impl Gateway {
    /// Looks at every open WebSocket. Called once a second by the composition root, so a right that was taken away
    /// ends what it opened within two.
    pub fn sweep(&self) {
        let now = self.0.parts.clock.now();
        let rules = self.0.rules.load();
        let withdrawn = |tag: &TunnelTag| {
            let Some(session) = &tag.session else { return false };
            session.touch(now);
            let principal = session.principal();
            rules.is_disabled(&principal.tenant)
                || !rules.route(&tag.route).is_some_and(|route| route.allow.permit(&principal))
        };
        self.0.parts.tunnels.close_where(withdrawn, Closing::NOT_ALLOWED);
        self.0.parts.upstreams.sweep();
    }
}
