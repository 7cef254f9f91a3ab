//! What the buttons do: start, stop, hold. The forms work without a script; the API does the same for scripts.

use std::time::Duration;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;

use super::state::{Portal, WorkspaceOffer};
use super::visit::{SignedIn, Visit};
use super::{problem, start_page};
use crate::audit::{Action, By, Event};
use crate::model::{ErrorKind, Principal, ProfileName, StopReason, Timestamp};
use crate::workspace::{HoldRefused, StartRefused};

/// The fields of every form on a card; each form has some of them.
#[derive(Deserialize)]
pub(super) struct ActionForm {
    #[serde(default)]
    token: String,
    profile: Option<String>,
    seconds: Option<u64>,
    /// `open`: go on to the workspace.
    then: Option<String>,
    return_to: Option<String>,
}

/// Why an action was not done.
pub(super) enum ActionRefused {
    /// There is no such kind for this principal, or no such profile.
    NotFound,
    /// See [`StartRefused`].
    Start(StartRefused),
    /// See [`HoldRefused`].
    Hold(HoldRefused),
}

impl ActionRefused {
    /// Status and kind of the answer.
    pub(super) const fn answer(&self) -> (StatusCode, ErrorKind) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, ErrorKind::NotFound),
            Self::Hold(HoldRefused::NotRunning) => (StatusCode::CONFLICT, ErrorKind::NotRunning),
            Self::Hold(HoldRefused::NotAllowed) => (StatusCode::FORBIDDEN, ErrorKind::Forbidden),
            Self::Hold(HoldRefused::InThePast) => (StatusCode::BAD_REQUEST, ErrorKind::BadRequest),
            Self::Start(refused) => match refused.kind() {
                ErrorKind::Quota => (StatusCode::CONFLICT, ErrorKind::Quota),
                ErrorKind::TenantRefused => (StatusCode::FORBIDDEN, ErrorKind::TenantRefused),
                ErrorKind::NotFound => (StatusCode::NOT_FOUND, ErrorKind::NotFound),
                kind => (StatusCode::SERVICE_UNAVAILABLE, kind),
            },
        }
    }
}

/// Starts the principal's workspace of this kind.
pub(super) fn start(
    portal: &Portal,
    principal: &Principal,
    offer: &WorkspaceOffer,
    profile: Option<&str>,
) -> Result<(), ActionRefused> {
    let profile = profile.map(ProfileName::new).transpose().map_err(|_| ActionRefused::NotFound)?;
    let id = principal.workspace(&offer.kind);
    portal.state.workspaces.start(&id, profile).map(|_| ()).map_err(ActionRefused::Start)
}

/// Stops it, because its owner says so.
pub(super) fn stop(portal: &Portal, principal: &Principal, offer: &WorkspaceOffer) {
    portal.state.workspaces.stop(&principal.workspace(&offer.kind), StopReason::User);
}

/// Holds off an idle stop for `seconds` from now; 0 ends the hold. Gives the time that is now in force.
pub(super) fn hold(
    portal: &Portal,
    principal: &Principal,
    offer: &WorkspaceOffer,
    seconds: u64,
    event: Event,
) -> Result<Option<Timestamp>, ActionRefused> {
    let until = (seconds > 0).then(|| portal.state.clock.now() + Duration::from_secs(seconds));
    let held = portal.state.workspaces.hold(&principal.workspace(&offer.kind), until).map_err(ActionRefused::Hold)?;
    let until = held.map_or_else(|| "ended".to_owned(), |until| format!("until {until}"));
    portal.state.audit.record_limited(event.principal(principal).detail(&format!("{} {until}", offer.kind)));
    Ok(held)
}

/// `POST /.usher/workspaces/{kind}/start`.
pub(super) async fn start_form(
    State(portal): State<Portal>,
    signed_in: SignedIn,
    Path(kind): Path<String>,
    form: Result<Form<ActionForm>, FormRejection>,
) -> Response {
    act(&portal, &signed_in, &kind, form, |offer, form| {
        start(&portal, &signed_in.principal, offer, form.profile.as_deref())
    })
}

/// `POST /.usher/workspaces/{kind}/stop`.
pub(super) async fn stop_form(
    State(portal): State<Portal>,
    signed_in: SignedIn,
    Path(kind): Path<String>,
    form: Result<Form<ActionForm>, FormRejection>,
) -> Response {
    act(&portal, &signed_in, &kind, form, |offer, _| {
        stop(&portal, &signed_in.principal, offer);
        Ok(())
    })
}

/// `POST /.usher/workspaces/{kind}/hold`.
pub(super) async fn hold_form(
    State(portal): State<Portal>,
    signed_in: SignedIn,
    Path(kind): Path<String>,
    form: Result<Form<ActionForm>, FormRejection>,
) -> Response {
    act(&portal, &signed_in, &kind, form, |offer, form| {
        let event = signed_in.visit.event(Action::WorkspaceHold, By::Session);
        hold(&portal, &signed_in.principal, offer, form.seconds.unwrap_or(0), event).map(|_| ())
    })
}

/// Checks the form's token and the right to the kind, does it, and leads back.
fn act(
    portal: &Portal,
    signed_in: &SignedIn,
    kind: &str,
    form: Result<Form<ActionForm>, FormRejection>,
    action: impl FnOnce(&WorkspaceOffer, &ActionForm) -> Result<(), ActionRefused>,
) -> Response {
    let visit = &signed_in.visit;
    let Ok(Form(form)) = form else {
        return problem::plain_page(portal, visit, StatusCode::BAD_REQUEST, ErrorKind::BadRequest);
    };
    if !signed_in.session.verify_form_token(&form.token) {
        return problem::form_token_page(portal, visit);
    }
    let Some(offer) = portal.workspace_of(&signed_in.principal, kind) else {
        return refused_page(portal, visit, &ActionRefused::NotFound);
    };
    match action(&offer, &form) {
        Ok(()) => Redirect::to(&next(&form, &offer)).into_response(),
        Err(refused) => refused_page(portal, visit, &refused),
    }
}

fn refused_page(portal: &Portal, visit: &Visit, refused: &ActionRefused) -> Response {
    let (status, kind) = refused.answer();
    problem::plain_page(portal, visit, status, kind)
}

/// Where a form leads. An address on another host is reached by way of the start page, because
/// `form-action` holds for redirects too.
fn next(form: &ActionForm, offer: &WorkspaceOffer) -> String {
    match form.then.as_deref() {
        Some("open") if offer.href.starts_with('/') => offer.href.clone(),
        Some("open") => format!("/.usher/start/{}", offer.kind),
        _ => {
            let back = form.return_to.as_deref().and_then(|back| start_page::safe_target(back, offer));
            match back.as_deref() {
                Some(back) if back.starts_with('/') => back.to_owned(),
                Some(back) => start_page::address(&offer.kind, back),
                None => "/".to_owned(),
            }
        }
    }
}
