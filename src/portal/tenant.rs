//! The page of a tenant's administrators: what runs, and a button to stop it.

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;

use super::shell::{self, Shell, may_administer};
use super::state::Portal;
use super::texts::fill;
use super::visit::SignedIn;
use super::words::{Html, Words};
use super::{problem, prove};
use crate::audit::{Action, By, Event};
use crate::model::{ErrorKind, Phase, PhaseName, Principal, StopReason, TenantId, Timestamp};
use crate::workspace::View;

#[derive(Template)]
#[template(path = "tenant.html")]
struct TenantPage<'a> {
    shell: Shell<'a>,
    title: String,
    counts: String,
    token: String,
    rows: Vec<Row>,
}

struct Row {
    user: String,
    kind: String,
    phase: PhaseName,
    phase_said: &'static str,
    since: Option<Html>,
    activity: Option<Html>,
    can_stop: bool,
    stop_label: String,
}

/// Which workspace to stop.
#[derive(Deserialize)]
pub(super) struct StopForm {
    #[serde(default)]
    token: String,
    user: String,
    kind: String,
}

/// `GET /.usher/tenant`.
pub(super) async fn show(State(portal): State<Portal>, SignedIn { visit, session, principal }: SignedIn) -> Response {
    if !may_administer(&principal) {
        return problem::plain_page(&portal, &visit, StatusCode::FORBIDDEN, ErrorKind::Forbidden);
    }
    let words = visit.words(&portal);
    let rows: Vec<Row> = of_tenant(&portal, &principal.tenant).map(|view| row(words, &view)).collect();
    let up = rows.iter().filter(|row| matches!(row.phase, PhaseName::Running | PhaseName::Idle)).count();
    let (up, all) = (up.to_string(), rows.len().to_string());
    let name = (portal.state.tenants)(&principal.tenant).title;
    let tenant = name.as_deref().unwrap_or(principal.tenant.as_str());
    let template = TenantPage {
        shell: Shell::new(&portal, &visit),
        title: fill(words.texts().tenant_title, &[("tenant", tenant)]),
        counts: fill(words.texts().tenant_counts, &[("running", &up), ("all", &all)]),
        token: session.form_token(),
        rows,
    };
    shell::html(StatusCode::OK, &template)
}

/// `POST /.usher/tenant/stop`.
pub(super) async fn stop_form(
    State(portal): State<Portal>,
    signed_in: SignedIn,
    form: Result<Form<StopForm>, FormRejection>,
) -> Response {
    let SignedIn { visit, session, principal } = &signed_in;
    let refuse = |status, kind| problem::plain_page(&portal, visit, status, kind);
    let Ok(Form(form)) = form else { return refuse(StatusCode::BAD_REQUEST, ErrorKind::BadRequest) };
    if !session.verify_form_token(&form.token) {
        return problem::form_token_page(&portal, visit);
    }
    let event = visit.event(Action::WorkspaceStop, By::Session);
    if !may_administer(principal) {
        record_forbidden(&portal, principal, event);
        return refuse(StatusCode::FORBIDDEN, ErrorKind::Forbidden);
    }
    if let Some(first) = prove::needed(&portal, &signed_in, "/.usher/tenant") {
        return first;
    }
    match stop(&portal, principal, &form.user, &form.kind, event) {
        Some(_) => Redirect::to("/.usher/tenant").into_response(),
        None => refuse(StatusCode::NOT_FOUND, ErrorKind::NotFound),
    }
}

/// Every workspace of a tenant that is not stopped.
pub(super) fn of_tenant(portal: &Portal, tenant: &TenantId) -> impl Iterator<Item = std::sync::Arc<View>> {
    portal.state.workspaces.list().into_iter().filter(move |view| view.id.tenant == *tenant)
}

/// Stops a workspace of the administrator's own tenant; `None` if there is no such one.
pub(super) fn stop(
    portal: &Portal,
    administrator: &Principal,
    user: &str,
    kind: &str,
    event: Event,
) -> Option<std::sync::Arc<View>> {
    let event = event.tenant(&administrator.tenant).actor(&administrator.user);
    let view = of_tenant(portal, &administrator.tenant)
        .find(|view| view.id.user.as_str() == user && view.id.kind.as_str() == kind);
    let Some(view) = view else {
        portal.state.audit.record_limited(event.refused("not-found"));
        return None;
    };
    portal.state.audit.record(event.user(&view.id.user).detail(view.id.kind.as_str()));
    tracing::info!(workspace = %view.id, by = %administrator.user, "stopped by an administrator");
    portal.state.workspaces.stop(&view.id, StopReason::Administrator { by: administrator.greeting().to_owned() });
    Some(view)
}

/// Somebody asked for what only administrators may do.
pub(super) fn record_forbidden(portal: &Portal, principal: &Principal, event: Event) {
    portal.state.audit.record_limited(event.tenant(&principal.tenant).actor(&principal.user).refused("forbidden"));
}

fn row(words: Words, view: &View) -> Row {
    let phase = view.phase.name();
    let latest = [view.human, view.work].into_iter().flatten().max_by_key(|evidence| evidence.at);
    let user = view.id.user.to_string();
    Row {
        stop_label: fill(words.texts().tenant_stop_of, &[("user", &user)]),
        user,
        kind: view.id.kind.to_string(),
        phase,
        phase_said: words.phase(phase),
        since: since(&view.phase).map(|at| words.clock(at)),
        activity: latest.map(|evidence| words.ago(evidence.at)),
        can_stop: matches!(phase, PhaseName::Starting | PhaseName::Running | PhaseName::Idle),
    }
}

/// Since when a workspace is in its phase; an idle one counts from when it became ready.
pub(super) fn since(phase: &Phase) -> Option<Timestamp> {
    match phase {
        Phase::Stopped { since, .. } => *since,
        Phase::Starting { since, .. }
        | Phase::Running { since, .. }
        | Phase::Idle { since, .. }
        | Phase::Stopping { since, .. }
        | Phase::Failed { since, .. } => Some(*since),
    }
}
