//! What each endpoint does. The rules are those of the pages: `actions`, `tenant`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answers::{
    EndedSessions, HoldBody, Me, StartBody, TenantWorkspace, TenantWorkspaceList, Workspace, WorkspaceList,
};
use super::openapi::openapi_document;
use crate::audit::Action;
use crate::model::ErrorKind;
use crate::portal::actions::{self, ActionRefused};
use crate::portal::language::Language;
use crate::portal::login;
use crate::portal::problem::{self, Said};
use crate::portal::shell::may_administer;
use crate::portal::state::{Portal, WorkspaceOffer};
use crate::portal::tenant;
use crate::portal::visit::{ApiCaller, Proof};

/// An answer, or the problem document in its place.
type Answer<T> = Result<Json<T>, Refusal>;

/// Becomes a problem document in the caller's language.
pub(super) struct Refusal {
    status: StatusCode,
    kind: ErrorKind,
    language: Language,
    request_id: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        problem::json(self.status, self.kind, &Said::of(self.kind, self.language.texts()), &self.request_id)
    }
}

pub(super) async fn me(State(portal): State<Portal>, caller: ApiCaller) -> Json<Me> {
    let title = (portal.state.tenants)(&caller.principal.tenant).title;
    Json(Me::new(&caller.proof, &caller.principal, title))
}

pub(super) async fn workspaces(State(portal): State<Portal>, caller: ApiCaller) -> Json<WorkspaceList> {
    let offers = portal.workspaces_of(&caller.principal);
    Json(WorkspaceList { workspaces: offers.iter().map(|offer| now(&portal, &caller, offer)).collect() })
}

pub(super) async fn workspace(
    State(portal): State<Portal>,
    caller: ApiCaller,
    Path(kind): Path<String>,
) -> Answer<Workspace> {
    let offer = offered(&portal, &caller, &kind)?;
    Ok(Json(now(&portal, &caller, &offer)))
}

pub(super) async fn start(
    State(portal): State<Portal>,
    caller: ApiCaller,
    Path(kind): Path<String>,
    body: Bytes,
) -> Answer<Workspace> {
    let offer = offered(&portal, &caller, &kind)?;
    let body: StartBody = if body.is_empty() { StartBody::default() } else { read(&caller, &body)? };
    actions::start(&portal, &caller.principal, &offer, body.profile.as_deref())
        .map_err(|refused| refuse(&caller, &refused))?;
    Ok(Json(now(&portal, &caller, &offer)))
}

pub(super) async fn stop(
    State(portal): State<Portal>,
    caller: ApiCaller,
    Path(kind): Path<String>,
) -> Answer<Workspace> {
    let offer = offered(&portal, &caller, &kind)?;
    actions::stop(&portal, &caller.principal, &offer);
    Ok(Json(now(&portal, &caller, &offer)))
}

pub(super) async fn hold(
    State(portal): State<Portal>,
    caller: ApiCaller,
    Path(kind): Path<String>,
    body: Bytes,
) -> Answer<Workspace> {
    let offer = offered(&portal, &caller, &kind)?;
    let body: HoldBody = read(&caller, &body)?;
    let event = caller.event(Action::WorkspaceHold);
    let until = actions::hold(&portal, &caller.principal, &offer, body.seconds, event);
    let until = until.map_err(|refused| refuse(&caller, &refused))?;
    Ok(Json(now(&portal, &caller, &offer).held_until(until)))
}

pub(super) async fn tenant_workspaces(State(portal): State<Portal>, caller: ApiCaller) -> Answer<TenantWorkspaceList> {
    administers(&caller)?;
    let views = tenant::of_tenant(&portal, &caller.principal.tenant);
    Ok(Json(TenantWorkspaceList { workspaces: views.map(|view| TenantWorkspace::from(&*view)).collect() }))
}

pub(super) async fn tenant_stop(
    State(portal): State<Portal>,
    caller: ApiCaller,
    Path((user, kind)): Path<(String, String)>,
) -> Answer<TenantWorkspace> {
    let event = caller.event(Action::WorkspaceStop);
    if let Err(refused) = administers(&caller) {
        tenant::record_forbidden(&portal, &caller.principal, event);
        return Err(refused);
    }
    let sessions = &portal.state.sessions;
    let is_fresh = match &caller.proof {
        Proof::Session(session) => sessions.is_freshly_proved(session),
        Proof::Bearer(bearer) => sessions.is_fresh(bearer.issued()),
    };
    if !is_fresh {
        return Err(answer(&caller, StatusCode::FORBIDDEN, ErrorKind::ProofNeeded));
    }
    let view = tenant::stop(&portal, &caller.principal, &user, &kind, event);
    let view = view.ok_or_else(|| refuse(&caller, &ActionRefused::NotFound))?;
    Ok(Json(TenantWorkspace::from(&*portal.state.workspaces.view(&view.id))))
}

pub(super) async fn end_sessions(State(portal): State<Portal>, caller: ApiCaller) -> Response {
    let ended = login::end_everywhere(&portal, &caller.principal, caller.event(Action::SignOutEverywhere));
    let cookie = AppendHeaders([(SET_COOKIE, portal.state.sessions.clear_cookie())]);
    (cookie, Json(EndedSessions { ended })).into_response()
}

pub(super) async fn openapi(_: ApiCaller) -> Json<impl Serialize> {
    Json(openapi_document())
}

fn now(portal: &Portal, caller: &ApiCaller, offer: &WorkspaceOffer) -> Workspace {
    Workspace::new(offer, &portal.state.workspaces.view(&caller.principal.workspace(&offer.kind)))
}

fn offered(portal: &Portal, caller: &ApiCaller, kind: &str) -> Result<WorkspaceOffer, Refusal> {
    portal.workspace_of(&caller.principal, kind).ok_or_else(|| refuse(caller, &ActionRefused::NotFound))
}

fn administers(caller: &ApiCaller) -> Result<(), Refusal> {
    if may_administer(&caller.principal) {
        return Ok(());
    }
    Err(answer(caller, StatusCode::FORBIDDEN, ErrorKind::Forbidden))
}

fn read<T: DeserializeOwned>(caller: &ApiCaller, body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| answer(caller, StatusCode::BAD_REQUEST, ErrorKind::BadRequest))
}

fn refuse(caller: &ApiCaller, refused: &ActionRefused) -> Refusal {
    let (status, kind) = refused.answer();
    answer(caller, status, kind)
}

fn answer(caller: &ApiCaller, status: StatusCode, kind: ErrorKind) -> Refusal {
    Refusal { status, kind, language: caller.language, request_id: caller.request_id.clone() }
}
