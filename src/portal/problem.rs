//! What went wrong, as a page for people and as a problem document (RFC 9457) for programs.

use askama::Template;
use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use schemars::JsonSchema;
use serde::Serialize;

use super::language::Language;
use super::shell::{self, Shell};
use super::state::Portal;
use super::texts::{Texts, fill};
use super::visit::Visit;
use crate::model::{ErrorKind, Problem};

/// A problem document.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProblemDocument {
    /// What it is: `urn:usher:problem:` and one of a fixed few names.
    #[serde(rename = "type")]
    kind: String,
    /// What happened, in the caller's language.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What the caller can do, in their language.
    detail: String,
    /// The id of the request, as in the access log.
    request_id: String,
}

/// What is said about a problem: what happened, and what to do.
pub(super) struct Said {
    pub(super) title: &'static str,
    pub(super) more: &'static str,
}

impl Said {
    /// For a form whose token is not the session's.
    pub(super) const fn form_token(t: &'static Texts) -> Self {
        Self { title: t.problem_form_token, more: t.problem_form_token_more }
    }

    /// For a page that is asked for by anything but a top-level navigation.
    pub(super) const fn not_a_page(t: &'static Texts) -> Self {
        Self { title: t.problem_not_a_page, more: t.problem_not_a_page_more }
    }

    /// For each kind of problem.
    pub(super) const fn of(kind: ErrorKind, t: &'static Texts) -> Self {
        let (title, more) = match kind {
            ErrorKind::BadRequest => (t.problem_bad_request, t.problem_bad_request_more),
            ErrorKind::MethodNotAllowed => (t.problem_method_not_allowed, t.problem_method_not_allowed_more),
            ErrorKind::TooLarge => (t.problem_too_large, t.problem_too_large_more),
            ErrorKind::ExpectationFailed => (t.problem_expectation_failed, t.problem_expectation_failed_more),
            ErrorKind::Misdirected => (t.problem_misdirected, t.problem_misdirected_more),
            ErrorKind::NotFound => (t.problem_not_found, t.problem_not_found_more),
            ErrorKind::SignInNeeded => (t.problem_sign_in_needed, t.problem_sign_in_needed_more),
            ErrorKind::Forbidden => (t.problem_forbidden, t.problem_forbidden_more),
            ErrorKind::ProofNeeded => (t.problem_proof_needed, t.problem_proof_needed_more),
            ErrorKind::ForeignOrigin => (t.problem_foreign_origin, t.problem_foreign_origin_more),
            ErrorKind::NotYours => (t.problem_not_yours, t.problem_not_yours_more),
            ErrorKind::TenantRefused => (t.problem_tenant_refused, t.problem_tenant_refused_more),
            ErrorKind::NotRunning => (t.problem_not_running, t.problem_not_running_more),
            ErrorKind::StartFailed => (t.problem_start_failed, t.problem_start_failed_more),
            ErrorKind::Quota => (t.problem_quota, t.problem_quota_more),
            ErrorKind::TooMany => (t.problem_too_many, t.problem_too_many_more),
            ErrorKind::UpstreamUnreachable => (t.problem_upstream_unreachable, t.problem_upstream_unreachable_more),
            ErrorKind::UpstreamBroken => (t.problem_upstream_broken, t.problem_upstream_broken_more),
            ErrorKind::UpstreamTimeout => (t.problem_upstream_timeout, t.problem_upstream_timeout_more),
            ErrorKind::BodyBroken => (t.problem_body_broken, t.problem_body_broken_more),
            ErrorKind::Unavailable => (t.problem_unavailable, t.problem_unavailable_more),
            ErrorKind::Internal => (t.problem_internal, t.problem_internal_more),
        };
        Self { title, more }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    shell: Shell<'a>,
    title: &'a str,
    more: &'a str,
    detail: Option<&'a str>,
    retry: Option<String>,
    status: u16,
    kind: &'static str,
    request_id: &'a str,
    sign_in: bool,
    /// Whether the same address may work in a moment.
    again: bool,
}

#[derive(Template)]
#[template(path = "problem_alone.html")]
struct ProblemAlone<'a> {
    language: Language,
    t: &'static Texts,
    title: &'a str,
    more: &'a str,
    detail: Option<&'a str>,
    status: u16,
    kind: &'static str,
    request_id: &'a str,
    home: &'a str,
}

/// A problem that the gateway or a handler names, as a page.
pub(super) fn page(portal: &Portal, visit: &Visit, problem: &Problem) -> Response {
    page_saying(portal, visit, problem, &Said::of(problem.kind, visit.language.texts()))
}

/// A problem on a host that has no files of ours: a page that loads nothing. Its links lead to `home`.
pub(super) fn page_alone(language: Language, problem: &Problem, home: &str) -> Response {
    let t = language.texts();
    let said = Said::of(problem.kind, t);
    let template = ProblemAlone {
        language,
        t,
        title: said.title,
        more: said.more,
        detail: problem.detail.as_deref(),
        status: problem.status,
        kind: problem.kind.label(),
        request_id: &problem.request_id,
        home,
    };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_retry_after(shell::html(status, &template), problem.retry_after)
}

/// The problem that an answer tells of, if it is one of a handler of ours; in its extensions. One that the gateway
/// had told of has been counted there.
#[derive(Debug, Clone, Copy)]
struct Own(ErrorKind);

/// Counts problems of our own handlers.
pub(super) async fn count(State(portal): State<Portal>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(Own(kind)) = response.extensions_mut().remove() {
        portal.state.metrics.error(kind);
    }
    response
}

fn own(mut response: Response, kind: ErrorKind) -> Response {
    response.extensions_mut().insert(Own(kind));
    response
}

/// A problem of a handler of ours, without anything to add.
pub(super) fn plain_page(portal: &Portal, visit: &Visit, status: StatusCode, kind: ErrorKind) -> Response {
    own(page(portal, visit, &bare(visit, status, kind)), kind)
}

/// The page for a form that is too old or forged.
pub(super) fn form_token_page(portal: &Portal, visit: &Visit) -> Response {
    let problem = bare(visit, StatusCode::FORBIDDEN, ErrorKind::Forbidden);
    own(page_saying(portal, visit, &problem, &Said::form_token(visit.language.texts())), problem.kind)
}

fn bare(visit: &Visit, status: StatusCode, kind: ErrorKind) -> Problem {
    let request_id = visit.caller.request_id.clone();
    Problem { kind, status: status.as_u16(), request_id, retry_after: None, detail: None }
}

fn page_saying(portal: &Portal, visit: &Visit, problem: &Problem, said: &Said) -> Response {
    let words = visit.words(portal);
    let retry = problem.retry_after.map(|secs| {
        let span = words.span(std::time::Duration::from_secs(secs.into()));
        fill(words.texts().problem_retry_after, &[("span", &span)])
    });
    let template = ProblemPage {
        shell: Shell::new(portal, visit),
        title: said.title,
        more: said.more,
        detail: problem.detail.as_deref(),
        retry,
        status: problem.status,
        kind: problem.kind.label(),
        request_id: &problem.request_id,
        sign_in: problem.kind == ErrorKind::SignInNeeded,
        again: is_passing(problem.kind),
    };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_retry_after(shell::html(status, &template), problem.retry_after)
}

/// Whether the same request may well succeed in a moment.
const fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotRunning
            | ErrorKind::TooMany
            | ErrorKind::UpstreamUnreachable
            | ErrorKind::UpstreamBroken
            | ErrorKind::UpstreamTimeout
            | ErrorKind::Unavailable
            | ErrorKind::Internal
    )
}

/// A problem document.
pub(super) fn json(status: StatusCode, kind: ErrorKind, said: &Said, request_id: &str) -> Response {
    let document = ProblemDocument {
        kind: format!("urn:usher:problem:{}", kind.label()),
        title: said.title.to_owned(),
        status: status.as_u16(),
        detail: said.more.to_owned(),
        request_id: request_id.to_owned(),
    };
    let media = [(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
    own((status, media, Json(document)).into_response(), kind)
}

/// A problem told by its status alone.
pub(super) fn bare_status(status: StatusCode, kind: ErrorKind) -> Response {
    own(status.into_response(), kind)
}

/// Adds `Retry-After` in seconds.
pub(super) fn with_retry_after(mut response: Response, secs: Option<u32>) -> Response {
    if let Some(secs) = secs {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}
