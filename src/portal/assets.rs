//! The files that pages load: embedded, under addresses that carry a hash of their content.
//!
//! An address with the right hash may be kept for ever. One with another hash (a page made by another version of
//! the gateway) is answered with what is there now, and asked for anew each time.

use aws_lc_rs::digest;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, StatusCode};

use super::state::Portal;

const STYLE: &str = include_str!("assets/portal.css");
const PORTAL: &str = include_str!("assets/portal.js");
const HOME: &str = include_str!("assets/home.js");
const START: &str = include_str!("assets/start.js");
const LOGIN: &str = include_str!("assets/login.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Addresses of the embedded files, for templates.
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) portal: String,
    pub(super) home: String,
    pub(super) start: String,
    pub(super) login: String,
    pub(super) icon: String,
}

impl Assets {
    pub(super) fn embedded() -> Self {
        let address = |name: &str, content: &str| format!("/.usher/assets/{}/{name}", hash(content));
        Self {
            style: address("portal.css", STYLE),
            portal: address("portal.js", PORTAL),
            home: address("home.js", HOME),
            start: address("start.js", START),
            login: address("login.js", LOGIN),
            icon: address("icon.svg", ICON),
        }
    }
}

/// `GET /.usher/assets/{hash}/{name}`.
pub(super) async fn serve(
    State(_): State<Portal>,
    Path((asked, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some((content, kind)) = find(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let current = hash(content);
    let etag = format!("\"{current}\"");
    let caching = if asked == current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| value.as_bytes() == etag.as_bytes());
    let head = [(CACHE_CONTROL, caching), (CONTENT_TYPE, kind), (ETAG, etag.as_str())];
    if known {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, content).into_response()
}

/// `GET /favicon.ico`: where browsers look that were not told. Another version may have another icon.
pub(super) async fn icon(State(portal): State<Portal>) -> Response {
    (StatusCode::FOUND, [(LOCATION, portal.assets.icon.as_str())]).into_response()
}

fn find(name: &str) -> Option<(&'static str, &'static str)> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    match name {
        "portal.css" => Some((STYLE, "text/css; charset=utf-8")),
        "portal.js" => Some((PORTAL, SCRIPT)),
        "home.js" => Some((HOME, SCRIPT)),
        "start.js" => Some((START, SCRIPT)),
        "login.js" => Some((LOGIN, SCRIPT)),
        "icon.svg" => Some((ICON, "image/svg+xml")),
        _ => None,
    }
}

/// The first 96 bits of SHA-256: enough to tell versions of a file apart.
fn hash(content: &str) -> String {
    let digest = digest::digest(&digest::SHA256, content.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..12).unwrap_or_default())
}
