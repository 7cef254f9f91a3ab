//! The JSON API under `/.usher/api/v1/`: what the pages do, for scripts on the pages.
//!
//! One table of endpoints makes both the router and the OpenAPI document, so they cannot differ. Every call needs
//! the session's token in `X-Usher-Token`; only our pages hold it. Errors are problem documents (RFC 9457).

mod answers;
mod handlers;
mod openapi;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post};

use super::state::Portal;

pub use openapi::openapi_document;

/// Where the API begins.
const BASE: &str = "/.usher/api/v1";

/// One method of one path.
struct Endpoint {
    method: &'static str,
    /// Below [`BASE`].
    path: &'static str,
    /// Name of the operation.
    operation: &'static str,
    summary: &'static str,
    /// Name of the schema of the request's body, if it takes one.
    takes: Option<&'static str>,
    /// Name of the schema of a good answer; `None`: an answer without a schema of ours.
    gives: Option<&'static str>,
    /// Statuses that it answers with besides 200, 401 and 403.
    refuses: &'static [u16],
    handler: fn() -> MethodRouter<Portal>,
}

const ENDPOINTS: [Endpoint; 10] = [
    Endpoint {
        method: "get",
        path: "/me",
        operation: "me",
        summary: "Who is signed in.",
        takes: None,
        gives: Some("Me"),
        refuses: &[],
        handler: || get(handlers::me),
    },
    Endpoint {
        method: "delete",
        path: "/sessions",
        operation: "endSessions",
        summary: "Signs the caller out everywhere, this session included. What was opened with a login closes.",
        takes: None,
        gives: Some("EndedSessions"),
        refuses: &[],
        handler: || delete(handlers::end_sessions),
    },
    Endpoint {
        method: "get",
        path: "/workspaces",
        operation: "listWorkspaces",
        summary: "The caller's workspaces, one for each kind that they may use.",
        takes: None,
        gives: Some("WorkspaceList"),
        refuses: &[],
        handler: || get(handlers::workspaces),
    },
    Endpoint {
        method: "get",
        path: "/workspaces/{kind}",
        operation: "getWorkspace",
        summary: "The caller's workspace of one kind.",
        takes: None,
        gives: Some("Workspace"),
        refuses: &[404],
        handler: || get(handlers::workspace),
    },
    Endpoint {
        method: "post",
        path: "/workspaces/{kind}/start",
        operation: "startWorkspace",
        summary: "Starts it, or joins a start under way. Returns at once.",
        takes: Some("StartBody"),
        gives: Some("Workspace"),
        refuses: &[400, 404, 409, 503],
        handler: || post(handlers::start),
    },
    Endpoint {
        method: "post",
        path: "/workspaces/{kind}/stop",
        operation: "stopWorkspace",
        summary: "Stops it. Nothing happens if it does not run.",
        takes: None,
        gives: Some("Workspace"),
        refuses: &[404],
        handler: || post(handlers::stop),
    },
    Endpoint {
        method: "post",
        path: "/workspaces/{kind}/hold",
        operation: "holdWorkspace",
        summary: "Holds off an idle stop for a time, at most as long as its kind allows; 0 seconds end the hold.",
        takes: Some("HoldBody"),
        gives: Some("Workspace"),
        refuses: &[400, 404, 409],
        handler: || post(handlers::hold),
    },
    Endpoint {
        method: "get",
        path: "/tenant/workspaces",
        operation: "listTenantWorkspaces",
        summary: "Every workspace of the caller's tenant that is not stopped. For its administrators and operators.",
        takes: None,
        gives: Some("TenantWorkspaceList"),
        refuses: &[],
        handler: || get(handlers::tenant_workspaces),
    },
    Endpoint {
        method: "post",
        path: "/tenant/workspaces/{user}/{kind}/stop",
        operation: "stopTenantWorkspace",
        summary: "Stops a workspace of the caller's tenant. For its administrators and operators.",
        takes: None,
        gives: Some("TenantWorkspace"),
        refuses: &[404],
        handler: || post(handlers::tenant_stop),
    },
    Endpoint {
        method: "get",
        path: "/openapi.json",
        operation: "openapi",
        summary: "This document.",
        takes: None,
        gives: None,
        refuses: &[],
        handler: || get(handlers::openapi),
    },
];

/// The routes of the API.
pub(super) fn router() -> Router<Portal> {
    ENDPOINTS
        .iter()
        .fold(Router::new(), |router, endpoint| router.route(&format!("{BASE}{}", endpoint.path), (endpoint.handler)()))
}
