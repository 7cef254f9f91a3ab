//! The one place that maps an error to a status, and writes it as problem JSON (RFC 9457).
//!
//! Pages for people are the portal's; what a script gets is made here.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::admit::ALLOWED_METHODS;
use super::body::AnswerBody;
use super::upstream::SendError;
use crate::model::{ErrorKind, Problem};
use crate::proxy::body::UploadFault;

/// The status that a kind of error is answered with.
#[must_use]
pub const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::BadRequest | ErrorKind::BodyBroken => StatusCode::BAD_REQUEST,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorKind::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
        ErrorKind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::SignInNeeded => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden
        | ErrorKind::ProofNeeded
        | ErrorKind::ForeignOrigin
        | ErrorKind::NotYours
        | ErrorKind::TenantRefused => StatusCode::FORBIDDEN,
        // The workspace is stopped, and this request is not one that starts it.
        ErrorKind::NotRunning => StatusCode::FAILED_DEPENDENCY,
        ErrorKind::StartFailed | ErrorKind::Quota | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::UpstreamUnreachable | ErrorKind::UpstreamBroken => StatusCode::BAD_GATEWAY,
        ErrorKind::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status that a failure on the way to an upstream is answered with: that of its kind, but for a client that
/// fell silent in the middle of its own request.
#[must_use]
pub const fn status_of(error: &SendError) -> StatusCode {
    match error {
        SendError::ClientBody(UploadFault::Stalled) => StatusCode::REQUEST_TIMEOUT,
        other => status(kind_of(other)),
    }
}

/// A short English title, for scripts and logs.
#[must_use]
pub const fn title(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadRequest => "the request has no single reading",
        ErrorKind::MethodNotAllowed => "this method is not served here",
        ErrorKind::TooLarge => "the request's head is too large",
        ErrorKind::ExpectationFailed => "only Expect: 100-continue is understood",
        ErrorKind::Misdirected => "this host is not served on this connection",
        ErrorKind::NotFound => "no route covers this address",
        ErrorKind::SignInNeeded => "sign in first",
        ErrorKind::Forbidden => "this route is not for you",
        ErrorKind::ProofNeeded => "prove again who you are first",
        ErrorKind::ForeignOrigin => "the request comes from a page of another site",
        ErrorKind::NotYours => "this workspace is not yours",
        ErrorKind::TenantRefused => "your tenant is not admitted",
        ErrorKind::NotRunning => "the workspace is not running",
        ErrorKind::StartFailed => "the workspace could not be started",
        ErrorKind::Quota => "as many workspaces as allowed are running",
        ErrorKind::TooMany => "too many requests",
        ErrorKind::UpstreamUnreachable => "the workspace cannot be reached",
        ErrorKind::UpstreamBroken => "the workspace's answer is not valid HTTP",
        ErrorKind::UpstreamTimeout => "the workspace did not answer in time",
        ErrorKind::BodyBroken => "the request's body stopped or broke off",
        ErrorKind::Unavailable => "the gateway is not available",
        ErrorKind::Internal => "the gateway made a mistake",
    }
}

/// What went wrong on the way to an upstream, as a kind.
#[must_use]
pub const fn kind_of(error: &SendError) -> ErrorKind {
    match error {
        SendError::Connect(_) | SendError::Lost(_) => ErrorKind::UpstreamUnreachable,
        SendError::NotHttp(_) => ErrorKind::UpstreamBroken,
        SendError::HeadTimeout(_) => ErrorKind::UpstreamTimeout,
        SendError::ClientBody(UploadFault::Stalled | UploadFault::Broken) => ErrorKind::BodyBroken,
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    request_id: &'a str,
}

/// Writes a problem for a script.
#[must_use]
pub fn problem_json(problem: &Problem) -> Response<AnswerBody> {
    let document = Document {
        r#type: format!("urn:usher:problem:{}", problem.kind.label()),
        title: title(problem.kind),
        status: problem.status,
        detail: problem.detail.as_deref(),
        request_id: &problem.request_id,
    };
    let text = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(AnswerBody::text(text));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    add_allow(problem.kind, headers);
    response
}

/// A refused method is answered with those that are not (RFC 9110 §15.5.6).
pub fn add_allow(kind: ErrorKind, headers: &mut HeaderMap) {
    if kind == ErrorKind::MethodNotAllowed {
        headers.insert(header::ALLOW, HeaderValue::from_static(ALLOWED_METHODS));
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_problem_document_names_kind_status_and_request() {
        let problem = Problem {
            kind: ErrorKind::NotRunning,
            status: 424,
            request_id: "00ff".to_owned(),
            retry_after: Some(5),
            detail: None,
        };
        let response = problem_json(&problem);
        assert_eq!(response.status(), 424);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        let body = response.into_body().collect().await.expect("is read").to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).expect("is JSON");
        assert_eq!(document["type"], "urn:usher:problem:not-running");
        assert_eq!(document["request_id"], "00ff");
    }
}
