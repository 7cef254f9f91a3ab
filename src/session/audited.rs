//! What the audit log is told of sessions: ends that are the gateway's doing, and changes of rights.
//!
//! What a user does (sign in, sign out) is recorded where the request is known.

use super::claims::{SessionId, Subject};
use super::{EndReason, Session, Whom};
use crate::audit::{Action, Audit, By, Event};
use crate::model::Principal;

/// A session has ended.
pub(super) fn end(audit: &Audit, session: &Session, principal: &Principal, reason: EndReason) {
    let by = match reason {
        // The portal records the first two, with address and request; the third comes back with the next request.
        EndReason::SignedOut | EndReason::SignedOutEverywhere | EndReason::Capacity => return,
        EndReason::Superseded => By::Session,
        EndReason::AccessWithdrawn => By::DirectoryRefresh,
        EndReason::Revoked => By::Command,
        EndReason::KeyRemoved => By::Configuration,
        EndReason::Lifetime | EndReason::Idle | EndReason::TooMany => By::Gateway,
    };
    let event = Event::new(Action::SessionEnd).class(reason.label()).by(by).principal(principal);
    audit.record(event.session(session.id()));
}

/// A cookie is genuine whose session was not in memory and whose user is not admitted any more.
pub(super) fn withdrawn(audit: &Audit, id: &SessionId, subject: &Subject) {
    let event = Event::new(Action::SessionEnd).class(EndReason::AccessWithdrawn.label()).by(By::DirectoryRefresh);
    let event = event.tenant(&subject.tenant).user(&subject.user).source(&subject.source);
    // Requests that come at the same time each see it.
    audit.record_limited(event.session(id));
}

/// An operator's command revoked what somebody, or everybody, holds; `count` sessions of theirs were in memory.
pub(super) fn revoked(audit: &Audit, whom: &Whom, count: usize) {
    let event = Event::new(Action::Revocation).by(By::Command).count(count as u64);
    audit.record(match whom {
        Whom::Everybody => event.detail("everybody"),
        Whom::User { tenant, user } => tenant.iter().fold(event, Event::tenant).user(user),
    });
}

/// A user was read again, whose sessions held `before`.
pub(super) fn change(audit: &Audit, before: Option<&Principal>, now: &Principal) {
    let event = || Event::new(Action::RightsChange).by(By::DirectoryRefresh).principal(now);
    if let Some(event) = before.and_then(|before| event().rights(before, now)) {
        audit.record(event);
    }
}
