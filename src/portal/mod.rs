//! Our own pages and API: sign-in, home, start page, problem pages, tenant page, JSON and event streams.
//!
//! Promises: everything works without a script; nothing is loaded from elsewhere; text from outside is escaped;
//! pages go to top-level navigations only and the API to holders of a page's token (see [`visit`]), because
//! workspaces may share the origin. All sentences stand in `texts`, in English and Chinese.
//! Leaves to the gateway: host, exact origin and session of each request ([`Caller`](crate::session::Caller) in the
//! extensions), and which navigations get a page in place of what they asked for
//! ([`PageRequest`](crate::model::PageRequest) in the extensions, path `/.usher/page`).

mod actions;
mod api;
mod assets;
mod card;
mod events;
mod home;
mod language;
mod login;
mod onward;
mod problem;
mod protect;
mod prove;
mod shell;
mod sign_in_audit;
mod sign_in_refused;
mod start_page;
mod state;
mod streams;
mod switch;
mod tenant;
mod texts;
mod visit;
mod words;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use http::StatusCode;

pub use api::openapi_document;
pub use state::{LinkOffer, Offer, Offers, PortalState, ProfileOffer, TenantCard, TenantCards, WorkspaceOffer};

use crate::model::{ErrorKind, PageRequest};
use language::Language;
use state::{Portal, Shared};
use visit::{SignedIn, Visit};

/// Largest body that any form or call sends, in bytes; a password has up to 1 KiB, three times that when encoded.
const LARGEST_BODY: usize = 16 * 1024;

/// The router of all own pages: `/`, everything under `/.usher/`, and `/favicon.ico` where no route has it.
pub fn router(state: PortalState) -> Router {
    let portal = Shared::new(state);
    Router::new()
        .route("/", get(home::show))
        .route("/.usher/page", any(in_place))
        .route("/.usher/login", get(login::show).post(login::submit))
        .route("/.usher/logout", post(login::sign_out))
        .route("/.usher/logout/everywhere", post(login::sign_out_everywhere))
        .route("/.usher/prove", get(prove::show).post(prove::submit))
        .route("/.usher/language", get(switch::switch))
        .route("/.usher/start/{kind}", get(start_page::show))
        .route("/.usher/workspaces/{kind}/start", post(actions::start_form))
        .route("/.usher/workspaces/{kind}/stop", post(actions::stop_form))
        .route("/.usher/workspaces/{kind}/hold", post(actions::hold_form))
        .route("/.usher/tenant", get(tenant::show))
        .route("/.usher/tenant/stop", post(tenant::stop_form))
        .route("/.usher/events", get(events::home))
        .route("/.usher/events/{kind}", get(events::start))
        .route("/.usher/assets/{hash}/{name}", get(assets::serve))
        .route("/favicon.ico", get(assets::icon))
        .merge(api::router())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(axum::middleware::from_fn_with_state(portal.clone(), problem::count))
        .layer(axum::middleware::from_fn(protect::protect))
        .with_state(portal)
}

/// `/.usher/page`: what the gateway shows in place of what was asked for. Nobody gets here by the address alone.
async fn in_place(State(portal): State<Portal>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Some(page) = parts.extensions.remove::<PageRequest>() else {
        return not_found_page(&portal, &mut parts).await;
    };
    match page {
        PageRequest::Start { workspace, target } => match SignedIn::from_request_parts(&mut parts, &portal).await {
            Ok(signed_in) => start_page::in_place(&portal, &signed_in, &workspace, &target),
            Err(refused) => refused,
        },
        PageRequest::Problem(problem) => match Visit::from_request_parts(&mut parts, &portal).await {
            Ok(visit) => problem::page(&portal, &visit, &problem),
            Err(refused) => refused,
        },
        PageRequest::ProblemElsewhere { problem, home } => {
            problem::page_alone(Language::of(&parts.headers), &problem, &home)
        }
    }
}

async fn not_found(State(portal): State<Portal>, request: Request) -> Response {
    not_found_page(&portal, &mut request.into_parts().0).await
}

async fn not_found_page(portal: &Portal, parts: &mut http::request::Parts) -> Response {
    refused_page(portal, parts, StatusCode::NOT_FOUND, ErrorKind::NotFound).await
}

async fn method_not_allowed(State(portal): State<Portal>, request: Request) -> Response {
    let mut parts = request.into_parts().0;
    refused_page(&portal, &mut parts, StatusCode::METHOD_NOT_ALLOWED, ErrorKind::MethodNotAllowed).await
}

async fn refused_page(
    portal: &Portal,
    parts: &mut http::request::Parts,
    status: StatusCode,
    kind: ErrorKind,
) -> Response {
    match Visit::from_request_parts(parts, portal).await {
        Ok(visit) => problem::plain_page(portal, &visit, status, kind),
        // To anything but a navigation the same is said without a page.
        Err(refused) if refused.status() == StatusCode::FORBIDDEN => problem::bare_status(status, kind),
        Err(refused) => refused,
    }
}
