//! What people read who are not signed in: one sentence for each reason, and a page for those who have proven who
//! they are and have no access.
//!
//! A reason that tells of an account is said only to somebody who proved that it is theirs.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::shell::{self, Shell};
use super::state::Portal;
use super::texts::Texts;
use super::visit::Visit;
use crate::identity::SignInError;

#[derive(Template)]
#[template(path = "sign_in_refused.html")]
struct RefusedPage<'a> {
    shell: Shell<'a>,
    title: &'static str,
    more: &'static str,
    account: &'a str,
    contact: Option<String>,
    kind: &'static str,
    request_id: &'a str,
}

/// Whether somebody is who they say, and the configuration gives them no access: trying again is of no use, asking is.
pub(super) const fn is_about_access(error: &SignInError) -> bool {
    matches!(
        error,
        SignInError::NoTenant
            | SignInError::BadTenant { .. }
            | SignInError::AmbiguousTenant { .. }
            | SignInError::TenantRefused { .. }
    )
}

/// The status and the sentence for a reason.
pub(super) const fn said(error: &SignInError, t: &'static Texts) -> (StatusCode, &'static str) {
    match error {
        // What is not proven would tell a stranger about somebody's account.
        SignInError::WrongCredentials | SignInError::Unproven(_) => (StatusCode::UNAUTHORIZED, t.login_wrong),
        SignInError::Disabled => (StatusCode::FORBIDDEN, t.login_disabled),
        SignInError::Locked => (StatusCode::FORBIDDEN, t.login_locked),
        SignInError::Expired => (StatusCode::FORBIDDEN, t.login_account_expired),
        SignInError::PasswordExpired => (StatusCode::FORBIDDEN, t.login_password_expired),
        SignInError::PasswordMustChange => (StatusCode::FORBIDDEN, t.login_password_must_change),
        SignInError::NoTenant | SignInError::BadTenant { .. } => (StatusCode::FORBIDDEN, t.login_no_tenant),
        SignInError::AmbiguousTenant { .. } => (StatusCode::FORBIDDEN, t.login_two_tenants),
        SignInError::TenantRefused { .. } => (StatusCode::FORBIDDEN, t.login_tenant_refused),
        SignInError::Busy => (StatusCode::SERVICE_UNAVAILABLE, t.login_busy),
        SignInError::Unreachable { .. } => (StatusCode::SERVICE_UNAVAILABLE, t.login_unreachable),
        SignInError::Misconfigured { .. } => (StatusCode::SERVICE_UNAVAILABLE, t.login_misconfigured),
    }
}

/// The page that tells why `account` has no access, and whom to ask. `login` is the address of the sign-in page.
pub(super) fn page(portal: &Portal, visit: &Visit, account: &str, error: &SignInError, login: &str) -> Response {
    let t = visit.language.texts();
    let (status, more) = said(error, t);
    let title = match error {
        SignInError::TenantRefused { .. } => t.problem_tenant_refused,
        error if is_about_access(error) => t.login_no_access,
        _ => t.login_refused_title,
    };
    let template = RefusedPage {
        shell: Shell::reached_at(portal, visit, None, login),
        title,
        more,
        account,
        contact: portal.state.identity.contact(error),
        kind: error.label(),
        request_id: &visit.caller.request_id,
    };
    shell::html(status, &template)
}
