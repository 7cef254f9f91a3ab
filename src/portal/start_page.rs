//! The page in place of a workspace that is not up: starts it, shows how far it is, and goes on by itself.
//!
//! A failed workspace is not started by looking at it: only its owner's button does that, so that a broken one does
//! not start over and over under an open tab.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;

use super::onward;
use super::problem;
use super::shell::{self, Shell, Who};
use super::state::{Portal, WorkspaceOffer};
use super::texts::{Texts, fill};
use super::visit::{SignedIn, query_value};
use super::words::{Html, Words};
use crate::model::{ErrorKind, Failure, FailureClass, KindName, Phase, PhaseName, StartStep, Timestamp, WorkspaceId};
use crate::session::return_to;
use crate::workspace::{StartRefused, View};

/// The steps that every start has; [`StartStep::Queued`] is shown only where it was seen.
const STEPS: [StartStep; 4] = [StartStep::Requested, StartStep::Created, StartStep::Waiting, StartStep::Ready];

/// Shortest time of a step that is told, in milliseconds.
const SHORTEST_TOLD: u128 = 50;

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage<'a> {
    shell: Shell<'a>,
    title: String,
    kind: &'a str,
    target: &'a str,
    phase: &'static str,
    /// Whether it goes on by itself with a script, by events.
    live: bool,
    /// Whether it goes on by itself without one, by loading `watch`.
    refresh: bool,
    /// This page at an address where looking starts nothing: what loads by itself must not undo a stop.
    watch: String,
    body: Html,
}

/// What the inside of the page is made from besides the workspace itself.
pub(super) struct Context<'a> {
    pub(super) words: Words,
    pub(super) title: &'a str,
    /// Where to go when it is up.
    pub(super) target: &'a str,
    pub(super) token: &'a str,
    pub(super) request_id: &'a str,
    pub(super) contact: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "start_body.html")]
struct Body<'a> {
    t: &'static Texts,
    title: String,
    lead: &'static str,
    go: Option<&'a str>,
    steps: Vec<ShownStep>,
    elapsed: Duration,
    expected: Option<Duration>,
    expectation: Option<String>,
    last_stop: Option<Html>,
    failure: Option<ShownFailure<'a>>,
    retry: bool,
    retry_label: &'static str,
    kind: &'a str,
    token: &'a str,
    return_to: &'a str,
}

struct ShownStep {
    key: &'static str,
    name: &'static str,
    /// `done`, `now`, `later` or `failed`.
    state: &'static str,
    /// The same for screen readers.
    said: &'static str,
    time: Option<String>,
    /// Milliseconds since it began, if it is under way.
    elapsed: Option<u128>,
}

/// What to do, and what to tell the operator.
struct ShownFailure<'a> {
    advice: &'static str,
    open: bool,
    workspace: String,
    class: &'static str,
    detail: Option<String>,
    time: Html,
    request_id: &'a str,
    contact: Option<&'a str>,
    log: &'a [String],
}

/// What the address of the start page may carry.
#[derive(Deserialize)]
pub(super) struct StartQuery {
    return_to: Option<String>,
    /// Look only: a workspace that is stopped stays so.
    watch: Option<String>,
}

/// `GET /.usher/start/{kind}`: the start page at an address of its own; `?return_to=`: where in the workspace to go
/// when it is up; `&watch=1`: without starting it.
pub(super) async fn show(
    State(portal): State<Portal>,
    signed_in: SignedIn,
    Path(kind): Path<String>,
    Query(query): Query<StartQuery>,
) -> Response {
    let visit = &signed_in.visit;
    let Some(offer) = portal.workspace_of(&signed_in.principal, &kind) else {
        return problem::plain_page(&portal, visit, StatusCode::NOT_FOUND, ErrorKind::NotFound);
    };
    let target = own_target(query.return_to.as_deref(), &offer);
    let view = portal.state.workspaces.view(&signed_in.principal.workspace(&offer.kind));
    if view.phase.endpoint().is_some() {
        // Where a button led here.
        let is_here = origin(&target).is_none();
        return if is_here { Redirect::to(&target).into_response() } else { onward::page(&portal, visit, &target) };
    }
    render(&portal, &signed_in, &offer, Place { target: &target, here: &visit.here, starts: query.watch.is_none() })
}

/// In place of `target`, which the caller navigated to.
pub(super) fn in_place(portal: &Portal, signed_in: &SignedIn, workspace: &WorkspaceId, target: &str) -> Response {
    let SignedIn { visit, principal, .. } = signed_in;
    if principal.workspace(&workspace.kind) != *workspace {
        return problem::plain_page(portal, visit, StatusCode::FORBIDDEN, ErrorKind::NotYours);
    }
    match portal.workspace_of(principal, workspace.kind.as_str()) {
        Some(offer) => render(portal, signed_in, &offer, Place { target, here: target, starts: true }),
        None => problem::plain_page(portal, visit, StatusCode::FORBIDDEN, ErrorKind::Forbidden),
    }
}

/// Where a start page leads, and where it is reached again.
#[derive(Clone, Copy)]
struct Place<'a> {
    target: &'a str,
    here: &'a str,
    /// Whether looking at it starts the workspace.
    starts: bool,
}

/// Starts the workspace if it is stopped and this page is one that does, and shows what comes of it.
fn render(portal: &Portal, signed_in: &SignedIn, offer: &WorkspaceOffer, place: Place<'_>) -> Response {
    let SignedIn { visit, session, principal } = signed_in;
    let id = principal.workspace(&offer.kind);
    let started = if place.starts { start_if_stopped(portal, &id) } else { Ok(()) };
    let view = portal.state.workspaces.view(&id);
    let asked = place.starts || is_asked_for(portal, &id);
    let (token, contact) = (session.form_token(), (portal.state.tenants)(&id.tenant).contact);
    let context = Context {
        words: visit.words(portal),
        title: &offer.title,
        target: place.target,
        token: &token,
        request_id: &visit.caller.request_id,
        contact: contact.as_deref(),
    };
    let (title, body) = match &started {
        Ok(()) => (heading(&context, &view, asked), inside(&context, &view, asked)),
        Err(refused) => refusal(&context, &view, refused),
    };
    let who = Who::of(portal, visit.language, session);
    let live = started.is_ok() && view.phase.name() != PhaseName::Failed;
    let template = StartPage {
        shell: Shell::reached_at(portal, visit, Some(who), place.here),
        title,
        kind: offer.kind.as_str(),
        target: place.target,
        phase: view.phase.name().label(),
        live,
        refresh: live && (asked || view.phase.name() != PhaseName::Stopped),
        watch: format!("{}&watch=1", address(&offer.kind, place.target)),
        body,
    };
    shell::html(StatusCode::OK, &template)
}

/// Asks for a start of a workspace that is stopped or on its way down; one that failed is left to its button.
fn start_if_stopped(portal: &Portal, id: &WorkspaceId) -> Result<(), StartRefused> {
    match portal.state.workspaces.view(id).phase.name() {
        PhaseName::Stopped | PhaseName::Stopping => portal.state.workspaces.start(id, None).map(|_| ()),
        PhaseName::Starting | PhaseName::Running | PhaseName::Idle | PhaseName::Failed => Ok(()),
    }
}

/// Whether somebody wants the workspace that is stopped: one that is tracked all the same has a start in its inbox.
fn is_asked_for(portal: &Portal, id: &WorkspaceId) -> bool {
    portal.state.workspaces.tracked(id).is_some()
}

/// What stands first on the page. `asked`: a start was asked for just now, and may not show yet.
fn heading(context: &Context<'_>, view: &View, asked: bool) -> String {
    let t = context.words.texts();
    let text = match &view.phase {
        Phase::Failed { failure, .. } if failure.class == FailureClass::Crashed => t.failed_run_title,
        Phase::Failed { .. } => t.failed_start_title,
        Phase::Stopping { .. } => t.start_stopping_title,
        Phase::Stopped { .. } if !asked => t.start_stopped_title,
        _ => t.start_title,
    };
    fill(text, &[("title", context.title)])
}

/// The inside of the page for a workspace as it is now.
pub(super) fn inside(context: &Context<'_>, view: &View, asked: bool) -> Html {
    let t = context.words.texts();
    let failure = match &view.phase {
        Phase::Failed { since, failure } => Some(shown_failure(context, view, *since, failure)),
        _ => None,
    };
    let rests = matches!(view.phase, Phase::Stopped { .. }) && !asked;
    let under_way = matches!(view.phase, Phase::Starting { .. }) || (asked && !rests && failure.is_none());
    let began = view.steps.first().map(|(_, at)| *at).filter(|_| !matches!(view.phase, Phase::Stopped { .. }));
    let shows_steps = (under_way && !matches!(view.phase, Phase::Stopping { .. })) || failed_at_start(view);
    let shows_last = failure.is_none() && !matches!(view.phase, Phase::Running { .. } | Phase::Idle { .. });
    let expected = view.expected_start.filter(|_| under_way);
    Html::rendered(&Body {
        t,
        title: heading(context, view, asked),
        lead: lead(context.words, view, asked),
        go: matches!(view.phase, Phase::Running { .. } | Phase::Idle { .. }).then_some(context.target),
        steps: if shows_steps { steps(context.words, view, asked) } else { Vec::new() },
        elapsed: began.map_or(Duration::ZERO, |began| context.words.now.since(began)),
        expected,
        expectation: expected.map(|span| expectation(context.words, span)),
        last_stop: view
            .last_stop
            .as_ref()
            .filter(|_| shows_last)
            .map(|(at, reason)| context.words.stopped(*at, Some(reason))),
        retry: failure.is_some() || rests,
        retry_label: if rests { t.start } else { t.try_again },
        failure,
        kind: view.id.kind.as_str(),
        token: context.token,
        return_to: context.target,
    })
}

/// The inside of the page when the start was refused before anything was done.
fn refusal(context: &Context<'_>, view: &View, refused: &StartRefused) -> (String, Html) {
    let t = context.words.texts();
    let (lead, advice) = match refused {
        StartRefused::Quota { .. } => (t.cause_quota, t.advice_quota),
        StartRefused::TenantDisabled(_) => (t.problem_tenant_refused, t.problem_tenant_refused_more),
        StartRefused::ShuttingDown => (t.problem_unavailable, t.problem_unavailable_more),
        StartRefused::UnknownKind(_) | StartRefused::UnknownProfile { .. } => {
            (t.problem_not_found, t.problem_not_found_more)
        }
    };
    let title = fill(t.refused_title, &[("title", context.title)]);
    let failure = ShownFailure {
        advice,
        open: false,
        workspace: view.id.to_string(),
        class: refused.label(),
        detail: Some(refused.to_string()),
        time: context.words.clock(context.words.now),
        request_id: context.request_id,
        contact: context.contact,
        log: &[],
    };
    let body = Html::rendered(&Body {
        t,
        title: title.clone(),
        lead,
        go: None,
        steps: Vec::new(),
        elapsed: Duration::ZERO,
        expected: None,
        expectation: None,
        last_stop: None,
        failure: Some(failure),
        retry: true,
        retry_label: t.try_again,
        kind: view.id.kind.as_str(),
        token: context.token,
        return_to: context.target,
    });
    (title, body)
}

fn lead(words: Words, view: &View, asked: bool) -> &'static str {
    let t = words.texts();
    match &view.phase {
        Phase::Failed { failure, .. } => words.failure(failure.class).0,
        Phase::Stopping { .. } => t.start_stopping,
        Phase::Stopped { .. } if !asked => "",
        Phase::Running { .. } | Phase::Idle { .. } => t.start_ready,
        Phase::Stopped { .. } | Phase::Starting { .. } => t.start_lead,
    }
}

fn expectation(words: Words, expected: Duration) -> String {
    let rounded = Duration::from_secs(expected.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX));
    fill(words.texts().start_expected, &[("span", &words.span(rounded))])
}

fn failed_at_start(view: &View) -> bool {
    match &view.phase {
        Phase::Failed { failure, .. } => failure.class != FailureClass::Crashed && !view.steps.is_empty(),
        _ => false,
    }
}

/// The steps with what was observed of each. Of a start that was only just asked for nothing is known yet.
fn steps(words: Words, view: &View, asked: bool) -> Vec<ShownStep> {
    let stale = asked && matches!(view.phase, Phase::Stopped { .. });
    let observed: &[(StartStep, Timestamp)] = if stale { &[] } else { &view.steps };
    let current = match (&view.phase, observed.last()) {
        (Phase::Starting { step, .. }, _) | (_, Some((step, _))) => *step,
        (_, None) => StartStep::Requested,
    };
    let waited = current == StartStep::Queued || observed.iter().any(|(step, _)| *step == StartStep::Queued);
    let shown = waited.then_some(StartStep::Queued).into_iter().chain(STEPS);
    let failed = matches!(view.phase, Phase::Failed { .. });
    shown.map(|step| shown_step(words, step, current, failed, observed)).collect()
}

fn shown_step(
    words: Words,
    step: StartStep,
    current: StartStep,
    failed: bool,
    observed: &[(StartStep, Timestamp)],
) -> ShownStep {
    let t = words.texts();
    let (state, said) = match step.cmp(&current) {
        std::cmp::Ordering::Less => ("done", t.step_done),
        std::cmp::Ordering::Equal if step == StartStep::Ready => ("done", t.step_done),
        std::cmp::Ordering::Equal if failed => ("failed", t.phase_failed),
        std::cmp::Ordering::Equal => ("now", t.step_now),
        std::cmp::Ordering::Greater => ("later", t.step_later),
    };
    let at = observed.iter().position(|(seen, _)| *seen == step);
    let began = at.and_then(|at| observed.get(at)).map(|(_, began)| *began);
    let ended = at.and_then(|at| observed.get(at + 1)).map(|(_, ended)| *ended);
    let under_way = state == "now";
    let ended = ended.or_else(|| under_way.then_some(words.now));
    let took = began.zip(ended).map(|(began, ended)| ended.since(began));
    // What took no time worth telling gets none.
    let told = took.filter(|took| under_way || took.as_millis() >= SHORTEST_TOLD);
    ShownStep {
        key: step_key(step),
        name: words.step(step),
        state,
        said,
        time: told.map(Words::measured),
        elapsed: took.filter(|_| under_way).map(|took| took.as_millis()),
    }
}

/// As in JSON.
const fn step_key(step: StartStep) -> &'static str {
    match step {
        StartStep::Queued => "queued",
        StartStep::Requested => "requested",
        StartStep::Created => "created",
        StartStep::Waiting => "waiting",
        StartStep::Ready => "ready",
    }
}

fn shown_failure<'a>(context: &Context<'a>, view: &View, since: Timestamp, failure: &'a Failure) -> ShownFailure<'a> {
    ShownFailure {
        advice: context.words.failure(failure.class).1,
        open: true,
        workspace: view.id.to_string(),
        class: failure.class.label(),
        detail: Some(failure.detail.clone()).filter(|detail| !detail.is_empty()),
        time: context.words.clock(since),
        request_id: context.request_id,
        contact: context.contact,
        log: &failure.log_tail,
    }
}

/// The target that a page hands back to us, or the workspace's own address if it is not one of ours.
pub(super) fn own_target(asked: Option<&str>, offer: &WorkspaceOffer) -> String {
    asked.and_then(|asked| safe_target(asked, offer)).unwrap_or_else(|| offer.href.clone())
}

/// The target if it is a path of ours, or an address on exactly the host that this workspace has for itself.
pub(super) fn safe_target(asked: &str, offer: &WorkspaceOffer) -> Option<String> {
    let Some(origin) = origin(&offer.href) else { return return_to::safe(asked) };
    match asked.strip_prefix(origin) {
        Some(path) => return_to::safe(path).map(|path| format!("{origin}{path}")),
        None => return_to::safe(asked),
    }
}

/// The start page of a workspace, from where it goes on to `target`.
pub(super) fn address(kind: &KindName, target: &str) -> String {
    format!("/.usher/start/{kind}?return_to={}", query_value(target))
}

/// `https://host[:port]` of a whole address; `None` for a path.
fn origin(href: &str) -> Option<&str> {
    let host = href.strip_prefix("https://")?;
    let length = host.find('/').unwrap_or(host.len());
    href.get(.."https://".len() + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(href: &str) -> WorkspaceOffer {
        WorkspaceOffer {
            kind: KindName::new("ide").expect("a kind"),
            title: "IDE".to_owned(),
            href: href.to_owned(),
            profiles: Vec::new(),
            may_hold_for: None,
        }
    }

    #[test]
    fn a_target_is_on_our_host_or_on_the_workspaces_own_and_on_no_other() {
        let href = "https://ada-x.ide.example.com:8443/";
        for kept in ["/ide/?x", "https://ada-x.ide.example.com:8443/a?b", "https://ada-x.ide.example.com:8443/"] {
            assert_eq!(own_target(Some(kept), &offer(href)), kept);
        }
        for dropped in [
            "https://eve-y.ide.example.com:8443/",
            "https://ada-x.ide.example.com/",
            "https://ada-x.ide.example.com:84430/",
            "https://ada-x.ide.example.com:8443",
            "https://ada-x.ide.example.com:8443.evil.example/",
            "https://ada-x.ide.example.com:8443@evil.example/",
            "https://ada-x.ide.example.com:8443//evil.example/",
            "https://ada-x.ide.example.com:8443/\\evil.example/",
            "http://ada-x.ide.example.com:8443/",
            "//ada-x.ide.example.com:8443/",
            "https://",
        ] {
            assert_eq!(own_target(Some(dropped), &offer(href)), href, "{dropped}");
            assert_eq!(own_target(Some(dropped), &offer("/ide/")), "/ide/", "{dropped}");
        }
        assert_eq!(own_target(None, &offer(href)), href);
    }
}
