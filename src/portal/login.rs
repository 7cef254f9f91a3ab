//! Sign-in and sign-out.
//!
//! The answer to an unknown user and to a wrong password is the same, and so is its time (`identity` sees to that).
//! The form carries a token that is bound to a cookie, so that nobody can be signed in by another page.

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query, State};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::onward;
use super::problem::{self, with_retry_after};
use super::shell::{self, Shell};
use super::state::Portal;
use super::texts::{Texts, fill};
use super::visit::{SignedIn, Visit, login_address};
use super::{sign_in_audit, sign_in_refused};
use crate::audit::{Action, By, Event};
use crate::identity::{Password, SignInError, sign_in_labels};
use crate::model::{ErrorKind, Principal};
use crate::routing::ENTER;
use crate::session::{EndReason, LOGIN_COOKIE_NAME, RetryAfter, return_to};

/// After how many seconds it is worth to try again when too many sign in at once.
const BUSY_RETRY_AFTER: u32 = 3;
/// Longest user name that is looked at; as in `UserId`.
const LONGEST_USER: usize = 300;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    shell: Shell<'a>,
    note: Option<&'a str>,
    error: Option<String>,
    token: String,
    return_to: &'a str,
    user: &'a str,
}

/// What the address of the sign-in page may carry.
#[derive(Deserialize)]
pub(super) struct LoginQuery {
    return_to: Option<String>,
    note: Option<String>,
}

/// The sign-in form. No `Debug`: it holds a password.
#[derive(Deserialize)]
pub(super) struct LoginForm {
    #[serde(default)]
    token: String,
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
}

/// What a sign-in page says besides the form.
#[derive(Default)]
struct Shown<'a> {
    /// Where to go after signing in.
    back: &'a str,
    note: Option<&'a str>,
    /// The name that was typed in before.
    user: &'a str,
    refused: Option<Refused>,
}

/// Why a sign-in form was refused.
pub(super) enum Refused {
    /// Its token does not belong to the cookie, or is too old.
    Token,
    /// Too many failed before.
    Throttled(RetryAfter),
    /// The directory said no, or could not say.
    SignIn(SignInError),
}

/// `GET /.usher/login`.
pub(super) async fn show(
    State(portal): State<Portal>,
    visit: Visit,
    headers: HeaderMap,
    Query(query): Query<LoginQuery>,
) -> Response {
    let back = return_to::safe(query.return_to.as_deref().unwrap_or("/")).unwrap_or_else(|| "/".to_owned());
    if visit.session().is_some() {
        return Redirect::to(&back).into_response();
    }
    let t = visit.language.texts();
    let note = match query.note.as_deref() {
        Some("signed-out") => Some(t.login_signed_out),
        Some("signed-out-everywhere") => Some(t.login_signed_out_everywhere),
        Some("session-over") => Some(t.login_session_over),
        _ => None,
    };
    form_page(&portal, &visit, &headers, &Shown { back: &back, note, ..Shown::default() })
}

/// `POST /.usher/login`.
pub(super) async fn submit(
    State(portal): State<Portal>,
    visit: Visit,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return problem::plain_page(&portal, &visit, StatusCode::BAD_REQUEST, ErrorKind::BadRequest);
    };
    let back = return_to::safe(&form.return_to).unwrap_or_else(|| "/".to_owned());
    let user = form.user.trim().to_owned();
    // Taken first: what changes while the password is checked is caught up with.
    let generation = portal.state.identity.generation();
    let attempt = portal.state.audit.attempt(&user);
    let outcome = sign_in(&portal, &visit, &headers, &user, form).await;
    let event = sign_in_audit::event(&visit, By::Password, attempt.as_ref());
    match outcome {
        Ok(principal) => {
            portal.state.audit.learn(attempt.as_ref(), &principal);
            signed_in(&portal, &visit, principal, generation, &back, event).await
        }
        Err(Refused::SignIn(error)) if sign_in_refused::is_about_access(&error) => {
            sign_in_audit::refused(&portal, event, Some(&user), &error);
            sign_in_refused::page(&portal, &visit, &user, &error, &login_address(&back))
        }
        Err(refused) => {
            record(&portal, event, &user, &refused);
            let shown = Shown { back: &back, user: &user, refused: Some(refused), note: None };
            form_page(&portal, &visit, &headers, &shown)
        }
    }
}

/// `POST /.usher/logout`.
pub(super) async fn sign_out(
    State(portal): State<Portal>,
    SignedIn { visit, session, principal }: SignedIn,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Response {
    if !form.is_ok_and(|Form(form)| session.verify_form_token(&form.token)) {
        return problem::form_token_page(&portal, &visit);
    }
    portal.state.sessions.end(session.id(), EndReason::SignedOut);
    portal.state.audit.record(visit.event(Action::SignOut, By::Session).principal(&principal).session(session.id()));
    let cookie = AppendHeaders([(SET_COOKIE, portal.state.sessions.clear_cookie())]);
    (cookie, Redirect::to("/.usher/login?note=signed-out")).into_response()
}

/// `POST /.usher/logout/everywhere`: ends every session of the user, those that are not in memory too.
pub(super) async fn sign_out_everywhere(
    State(portal): State<Portal>,
    SignedIn { visit, session, principal }: SignedIn,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Response {
    if !form.is_ok_and(|Form(form)| session.verify_form_token(&form.token)) {
        return problem::form_token_page(&portal, &visit);
    }
    let event = visit.event(Action::SignOutEverywhere, By::Session).session(session.id());
    end_everywhere(&portal, &principal, event);
    let cookie = AppendHeaders([(SET_COOKIE, portal.state.sessions.clear_cookie())]);
    (cookie, Redirect::to("/.usher/login?note=signed-out-everywhere")).into_response()
}

/// Ends every session of a user; returns how many were in memory.
pub(super) fn end_everywhere(portal: &Portal, principal: &Principal, event: Event) -> usize {
    let ended = portal.state.sessions.end_user(&principal.tenant, &principal.user, EndReason::SignedOutEverywhere);
    portal.state.audit.record(event.principal(principal).count(ended as u64));
    ended
}

/// A form that carries nothing but its token.
#[derive(Deserialize)]
pub(super) struct TokenForm {
    #[serde(default)]
    token: String,
}

async fn sign_in(
    portal: &Portal,
    visit: &Visit,
    headers: &HeaderMap,
    user: &str,
    form: LoginForm,
) -> Result<Principal, Refused> {
    let state = &portal.state;
    let cookie = login_cookie(headers).unwrap_or_default();
    if !state.login_tokens.verify(&form.token, &cookie, state.clock.now()) {
        return Err(Refused::Token);
    }
    check_password(portal, visit, user, form.password).await
}

/// Who a user name and a password stand for, with the brake on guessing.
pub(super) async fn check_password(
    portal: &Portal,
    visit: &Visit,
    user: &str,
    password: String,
) -> Result<Principal, Refused> {
    let state = &portal.state;
    let address = visit.caller.address;
    if let Err(wait) = state.throttle.check(user, address) {
        state.metrics.login("", "throttled");
        tracing::warn!(%address, request = %visit.caller.request_id, "sign-in throttled");
        return Err(Refused::Throttled(wait));
    }
    let outcome = match Password::new(password) {
        Ok(password) if user.len() <= LONGEST_USER => state.identity.sign_in(user, &password).await,
        _ => Err(SignInError::WrongCredentials.into()),
    };
    match &outcome {
        Ok(_) => state.throttle.succeeded(user, address),
        Err(refused) if refused.guessed => state.throttle.failed(user, address),
        Err(_) => state.throttle.released(user, address),
    }
    let outcome = outcome.map_err(|refused| refused.error);
    let (directory, result) = sign_in_labels(&outcome);
    state.metrics.login(directory, result);
    if let Err(error) = &outcome {
        tracing::info!(%address, request = %visit.caller.request_id, result, %error, "sign-in refused");
    }
    outcome.map_err(Refused::SignIn)
}

async fn signed_in(
    portal: &Portal,
    visit: &Visit,
    principal: Principal,
    generation: u64,
    back: &str,
    event: Event,
) -> Response {
    let sessions = &portal.state.sessions;
    if let Some(earlier) = visit.session() {
        sessions.end(earlier.id(), EndReason::Superseded);
    }
    tracing::info!(tenant = %principal.tenant, user = %principal.user, request = %visit.caller.request_id, "signed in");
    let event = event.principal(&principal);
    let (session, cookie) = sessions.start(principal);
    portal.state.audit.record(event.session(session.id()));
    sessions.catch_up(&session, generation).await;
    let onward =
        if leads_to_other_host(back) { onward::page(portal, visit, back) } else { Redirect::to(back).into_response() };
    (AppendHeaders([(SET_COOKIE, cookie)]), onward).into_response()
}

/// Tells the audit log why nobody is signed in.
fn record(portal: &Portal, event: Event, user: &str, refused: &Refused) {
    match refused {
        Refused::Token => portal.state.audit.record_limited(event.refused("form-token")),
        Refused::Throttled(_) => portal.state.audit.record_limited(event.refused("throttled")),
        Refused::SignIn(error) => sign_in_audit::refused(portal, event, Some(user), error),
    }
}

/// Whether an address of ours redirects to the host of another route.
fn leads_to_other_host(back: &str) -> bool {
    back.strip_prefix(ENTER).is_some_and(|rest| rest.starts_with('?'))
}

fn form_page(portal: &Portal, visit: &Visit, headers: &HeaderMap, shown: &Shown<'_>) -> Response {
    let state = &portal.state;
    let (token, cookie) = state.login_tokens.issue(state.clock.now(), login_cookie(headers).as_deref());
    let (status, error, retry_after) = match &shown.refused {
        None => (StatusCode::OK, None, None),
        Some(refused) => explain(portal, visit, refused),
    };
    // Reached again by GET, with the way back, when the language is switched.
    let here = login_address(shown.back);
    let template = LoginPage {
        shell: Shell::reached_at(portal, visit, None, &here),
        note: shown.note,
        error,
        token,
        return_to: shown.back,
        user: if shown.user.len() <= LONGEST_USER { shown.user } else { "" },
    };
    let page = with_retry_after(shell::html(status, &template), retry_after);
    (AppendHeaders([(SET_COOKIE, cookie)]), page).into_response()
}

/// Status, sentence and `Retry-After` of a refusal.
pub(super) fn explain(portal: &Portal, visit: &Visit, reason: &Refused) -> (StatusCode, Option<String>, Option<u32>) {
    let words = visit.words(portal);
    let t: &'static Texts = words.texts();
    let (status, said) = match reason {
        Refused::Token => (StatusCode::FORBIDDEN, t.login_expired),
        Refused::Throttled(wait) => {
            let span = words.span(std::time::Duration::from_secs(wait.seconds().into()));
            let said = fill(t.login_throttled, &[("span", &span)]);
            return (StatusCode::TOO_MANY_REQUESTS, Some(said), Some(wait.seconds()));
        }
        Refused::SignIn(error) => {
            let (status, said) = sign_in_refused::said(error, t);
            let retry_after = (*error == SignInError::Busy).then_some(BUSY_RETRY_AFTER);
            return (status, Some(said.to_owned()), retry_after);
        }
    };
    (status, Some(said.to_owned()), None)
}

/// The cookie that the form's token is bound to.
fn login_cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == LOGIN_COOKIE_NAME)
        .map(|(_, value)| value.to_owned())
}
