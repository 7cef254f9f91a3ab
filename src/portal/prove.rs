//! Proving again who one is, before what concerns other people: a session that was left open, or stolen, is not enough.
//!
//! The session stays the same one; only the account that it belongs to can renew its proof.

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;

use super::login::{Refused, check_password, explain};
use super::problem::{self, with_retry_after};
use super::shell::{self, Shell};
use super::sign_in_audit;
use super::state::Portal;
use super::visit::{SignedIn, query_value};
use crate::audit::{Action, By};
use crate::model::{ErrorKind, Principal};
use crate::session::return_to;

#[derive(Template)]
#[template(path = "prove.html")]
struct ProvePage<'a> {
    shell: Shell<'a>,
    error: Option<String>,
    token: String,
    return_to: &'a str,
    user: &'a str,
}

/// What the address of the page carries.
#[derive(Deserialize)]
pub(super) struct ProveQuery {
    #[serde(default)]
    return_to: String,
}

/// The form. No `Debug`: it holds a password.
#[derive(Deserialize)]
pub(super) struct ProveForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
}

/// Leads to the page that asks for the proof and then goes on to `back`. `None`: it is fresh enough.
pub(super) fn needed(portal: &Portal, signed_in: &SignedIn, back: &str) -> Option<Response> {
    let fresh = portal.state.sessions.is_freshly_proved(&signed_in.session);
    (!fresh).then(|| Redirect::to(&format!("/.usher/prove?return_to={}", query_value(back))).into_response())
}

/// `GET /.usher/prove`.
pub(super) async fn show(
    State(portal): State<Portal>,
    signed_in: SignedIn,
    Query(query): Query<ProveQuery>,
) -> Response {
    page(&portal, &signed_in, &back(&query.return_to), (StatusCode::OK, None, None))
}

/// `POST /.usher/prove`.
pub(super) async fn submit(
    State(portal): State<Portal>,
    signed_in: SignedIn,
    form: Result<Form<ProveForm>, FormRejection>,
) -> Response {
    let visit = &signed_in.visit;
    let Ok(Form(form)) = form else {
        return problem::plain_page(&portal, visit, StatusCode::BAD_REQUEST, ErrorKind::BadRequest);
    };
    if !signed_in.session.verify_form_token(&form.token) {
        return problem::form_token_page(&portal, visit);
    }
    let (back, own) = (back(&form.return_to), signed_in.principal.clone());
    let event = visit.event(Action::ReAuthentication, By::Password).principal(&own);
    match check_password(&portal, visit, form.user.trim(), form.password).await {
        Ok(proved) if is_same(&proved, &own) => {
            portal.state.sessions.prove(&signed_in.session);
            portal.state.audit.record(event);
            Redirect::to(&back).into_response()
        }
        Ok(_) => {
            portal.state.audit.record(event.refused("other-account"));
            let said = visit.language.texts().prove_other.to_owned();
            page(&portal, &signed_in, &back, (StatusCode::FORBIDDEN, Some(said), None))
        }
        Err(refused) => {
            match &refused {
                Refused::SignIn(error) => sign_in_audit::refused(&portal, event, None, error),
                Refused::Throttled(_) => portal.state.audit.record_limited(event.refused("throttled")),
                Refused::Token => portal.state.audit.record_limited(event.refused("form-token")),
            }
            page(&portal, &signed_in, &back, explain(&portal, visit, &refused))
        }
    }
}

fn is_same(proved: &Principal, own: &Principal) -> bool {
    (&proved.tenant, &proved.user, &proved.source) == (&own.tenant, &own.user, &own.source)
}

fn back(asked: &str) -> String {
    return_to::safe(asked).unwrap_or_else(|| "/".to_owned())
}

fn page(
    portal: &Portal,
    signed_in: &SignedIn,
    back: &str,
    (status, error, retry_after): (StatusCode, Option<String>, Option<u32>),
) -> Response {
    let who = shell::Who::of(portal, signed_in.visit.language, &signed_in.session);
    // Reached again by GET when the language is switched.
    let here = format!("/.usher/prove?return_to={}", query_value(back));
    let template = ProvePage {
        shell: Shell::reached_at(portal, &signed_in.visit, Some(who), &here),
        error,
        token: signed_in.session.form_token(),
        return_to: back,
        user: signed_in.principal.user.as_str(),
    };
    with_retry_after(shell::html(status, &template), retry_after)
}
