//! Who asks for a page or calls the API, checked before any handler runs.
//!
//! The pages carry the session's token, and workspaces may share their origin. So they are given to top-level
//! navigations only, as Fetch Metadata tells; a client that sends no such headers is no browser that runs scripts
//! of a workspace (all current browsers send them over HTTPS). The API wants the token that only pages hold.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::language::Language;
use super::problem::{self, Said};
use super::state::Portal;
use super::words::Words;
use crate::audit::{Action, By, Event};
use crate::identity::tokens::Bearer;
use crate::model::{Asked, ErrorKind, Principal};
use crate::session::{Caller, Session, return_to};

/// The header that carries the token to the API.
pub(super) const TOKEN_HEADER: &str = "x-usher-token";

/// What stays as it is in a query value.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A navigation to one of our pages by anybody.
pub(super) struct Visit {
    pub(super) language: Language,
    pub(super) caller: Caller,
    /// Path and query of this page.
    pub(super) here: String,
}

/// A navigation by somebody who is signed in.
pub(super) struct SignedIn {
    pub(super) visit: Visit,
    pub(super) session: Arc<Session>,
    pub(super) principal: Arc<Principal>,
}

/// A call of the API by somebody who is signed in and has the token of their pages, or who brings a bearer token.
pub(super) struct ApiCaller {
    pub(super) language: Language,
    pub(super) proof: Proof,
    pub(super) principal: Arc<Principal>,
    pub(super) request_id: String,
    address: IpAddr,
}

impl ApiCaller {
    /// What the audit log is told of something that this caller does.
    pub(super) fn event(&self, action: Action) -> Event {
        let event = Event::new(action).address(self.address).request_id(&self.request_id);
        match &self.proof {
            Proof::Session(session) => event.by(By::Session).session(session.id()),
            Proof::Bearer(_) => event.by(By::Token),
        }
    }
}

/// What shows who calls the API.
pub(super) enum Proof {
    /// A login.
    Session(Arc<Session>),
    /// A token that the caller sent on purpose, as no page of another site can.
    Bearer(Arc<Bearer>),
}

/// A call of the API by a page of ours.
pub(super) struct PageCaller {
    pub(super) caller: ApiCaller,
    pub(super) session: Arc<Session>,
}

impl Visit {
    /// The session, unless it has ended.
    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        self.caller.session.as_ref().filter(|session| !session.ended().is_cancelled())
    }

    /// What the audit log is told of something that this visitor does, by what they are known by.
    pub(super) fn event(&self, action: Action, by: By) -> Event {
        let event = Event::new(action).by(by).address(self.caller.address).request_id(&self.caller.request_id);
        self.session().into_iter().fold(event, |event, session| event.session(session.id()))
    }

    /// How this visitor is spoken to now.
    pub(super) fn words(&self, portal: &Portal) -> Words {
        Words { language: self.language, now: portal.state.clock.now() }
    }
}

impl FromRequestParts<Portal> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Portal) -> Result<Self, Response> {
        let language = Language::of(&parts.headers);
        // The gateway puts it there; without it nobody is let in.
        let Some(caller) = parts.extensions.get::<Caller>().cloned() else {
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        if !is_navigation(&parts.headers) || !is_own_form(parts) {
            let said = Said::not_a_page(language.texts());
            let status = StatusCode::FORBIDDEN;
            return Err(problem::json(status, ErrorKind::Forbidden, &said, &caller.request_id));
        }
        let here = here(parts);
        Ok(Self { language, caller, here })
    }
}

impl FromRequestParts<Portal> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Response> {
        let visit = Visit::from_request_parts(parts, portal).await?;
        let Some(session) = visit.session().cloned() else {
            let asked = if parts.method == Method::GET { visit.here.as_str() } else { "/" };
            return Err(Redirect::to(&login_address(asked)).into_response());
        };
        let principal = session.principal();
        Ok(Self { visit, session, principal })
    }
}

impl FromRequestParts<Portal> for ApiCaller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Portal) -> Result<Self, Response> {
        let language = Language::of(&parts.headers);
        let Some(caller) = parts.extensions.get::<Caller>() else {
            return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        };
        let refuse = |status, kind| {
            let said = Said::of(kind, language.texts());
            problem::json(status, kind, &said, &caller.request_id)
        };
        if let Some(bearer) = caller.bearer.clone().filter(|bearer| !bearer.ended().is_cancelled()) {
            let (principal, request_id) = (bearer.principal().clone(), caller.request_id.clone());
            let address = caller.address;
            return Ok(Self { language, principal, proof: Proof::Bearer(bearer), request_id, address });
        }
        let Some(session) = caller.session.as_ref().filter(|session| !session.ended().is_cancelled()) else {
            return Err(refuse(StatusCode::UNAUTHORIZED, ErrorKind::SignInNeeded));
        };
        if !from_here(&parts.headers) {
            return Err(refuse(StatusCode::FORBIDDEN, ErrorKind::ForeignOrigin));
        }
        let token = parts.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !session.verify_form_token(token) {
            let said = Said::form_token(language.texts());
            return Err(problem::json(StatusCode::FORBIDDEN, ErrorKind::Forbidden, &said, &caller.request_id));
        }
        let (session, request_id) = (session.clone(), caller.request_id.clone());
        let (principal, address) = (session.principal(), caller.address);
        Ok(Self { language, principal, proof: Proof::Session(session), request_id, address })
    }
}

impl FromRequestParts<Portal> for PageCaller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Response> {
        let caller = ApiCaller::from_request_parts(parts, portal).await?;
        match &caller.proof {
            Proof::Session(session) => Ok(Self { session: session.clone(), caller }),
            Proof::Bearer(_) => {
                let said = Said::of(ErrorKind::Forbidden, caller.language.texts());
                Err(problem::json(StatusCode::FORBIDDEN, ErrorKind::Forbidden, &said, &caller.request_id))
            }
        }
    }
}

/// Path and query that the browser shows, as far as they are safe to come back to.
fn here(parts: &Parts) -> String {
    let own = parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let shown = parts.extensions.get::<Asked>().map(|asked| asked.0.as_str()).or(own);
    let in_place = |path: &&str| !path.starts_with("/.usher/page");
    shown.filter(in_place).and_then(return_to::safe).unwrap_or_else(|| "/".to_owned())
}

/// Whether this is a top-level navigation, or comes from a client that does not say.
fn is_navigation(headers: &HeaderMap) -> bool {
    let is = |name, expected: &str| headers.get(name).is_none_or(|value| value == expected);
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

/// Whether a form was sent by a page of this origin, or this is no form.
fn is_own_form(parts: &Parts) -> bool {
    parts.method.is_safe() || from_here(&parts.headers)
}

fn from_here(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
}

/// The sign-in page, with the way back if it is one of ours.
pub(super) fn login_address(back: &str) -> String {
    match return_to::safe(back).as_deref() {
        None | Some("/") => "/.usher/login".to_owned(),
        Some(back) => format!("/.usher/login?return_to={}", query_value(back)),
    }
}

/// `text` as the value of a query parameter.
pub(super) fn query_value(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}
