//! The language switch: a plain link, so that it works without a script.

use axum::extract::{Query, State};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::language::Language;
use super::problem;
use super::state::Portal;
use super::visit::{Visit, login_address};
use crate::model::ErrorKind;
use crate::session::return_to;

/// What the link carries.
#[derive(Deserialize)]
pub(super) struct SwitchQuery {
    set: String,
    #[serde(default)]
    return_to: String,
}

/// `GET /.usher/language?set=zh&return_to=/`: keeps the choice and leads back.
pub(super) async fn switch(State(portal): State<Portal>, visit: Visit, Query(query): Query<SwitchQuery>) -> Response {
    let Some(language) = Language::from_code(&query.set) else {
        return problem::plain_page(&portal, &visit, StatusCode::BAD_REQUEST, ErrorKind::BadRequest);
    };
    (AppendHeaders([(SET_COOKIE, language.set_cookie())]), Redirect::to(&back(&query.return_to))).into_response()
}

/// The page that the switch stood on. The sign-in page is no place to return to after signing in, but it is here.
fn back(asked: &str) -> String {
    match asked.strip_prefix("/.usher/login") {
        Some(query) => {
            let beyond = query.strip_prefix("?return_to=").unwrap_or_default();
            login_address(&percent_decode_str(beyond).decode_utf8_lossy())
        }
        None => return_to::safe(asked).unwrap_or_else(|| "/".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::back;

    #[test]
    fn the_switch_leads_back_to_own_pages_only() {
        assert_eq!(back("/ide/?a=b"), "/ide/?a=b");
        assert_eq!(back("/.usher/login"), "/.usher/login");
        assert_eq!(back("/.usher/login?return_to=/ide/%3Fa%3Db"), "/.usher/login?return_to=/ide/%3Fa%3Db");
        assert_eq!(back("/.usher/login?return_to=https://evil.example/"), "/.usher/login");
        assert_eq!(back("//evil.example/"), "/");
        assert_eq!(back(""), "/");
    }
}
