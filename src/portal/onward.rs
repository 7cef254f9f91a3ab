//! A page that goes on by itself, for where a redirect would not do.
//!
//! `form-action 'self'` holds for every redirect that follows on a form, and some browsers keep to that: a form of ours
//! that leads to another host leads there by way of this page.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::shell::{self, Shell};
use super::state::Portal;
use super::visit::Visit;

#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardPage<'a> {
    shell: Shell<'a>,
    address: &'a str,
}

/// Leads on to `address`, which the caller has checked.
pub(super) fn page(portal: &Portal, visit: &Visit, address: &str) -> Response {
    shell::html(StatusCode::OK, &OnwardPage { shell: Shell::new(portal, visit), address })
}
