//! What the audit log is told of sign-ins.
//!
//! What costs a stranger nothing is bounded; what took a check of a password has its line each time, as the throttle
//! counts those.

use super::state::Portal;
use super::visit::Visit;
use crate::audit::{Action, Attempt, By, Event};
use crate::identity::SignInError;
use crate::model::UserId;

/// Somebody tries to sign in. Without the session that their browser may have: it is not known to be theirs.
pub(super) fn event(visit: &Visit, by: By, attempt: Option<&Attempt>) -> Event {
    let event = Event::new(Action::SignIn).by(by).address(visit.caller.address).request_id(&visit.caller.request_id);
    attempt.into_iter().fold(event, Event::attempt)
}

/// They are not let in. `user` is the name that was typed in or vouched for.
pub(super) fn refused(portal: &Portal, event: Event, user: Option<&str>, error: &SignInError) {
    let event = match error {
        SignInError::TenantRefused { tenant } => event.tenant(tenant),
        SignInError::Unreachable { directory } | SignInError::Misconfigured { directory, .. } => {
            event.source(directory)
        }
        _ => event,
    };
    // It is the name of an account now, and so no password.
    let account = user.filter(|_| error.is_about_an_account()).and_then(|user| UserId::new(user).ok());
    let event = account.iter().fold(event, Event::or_user).refused(error.label());
    if error.is_failed_guess() || error.is_about_an_account() {
        portal.state.audit.record(event);
    } else {
        portal.state.audit.record_limited(event);
    }
}
