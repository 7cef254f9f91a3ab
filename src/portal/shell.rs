//! What stands around every page: who is signed in, the languages, the way back.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::assets::Assets;
use super::language::Language;
use super::state::Portal;
use super::texts::{Texts, fill};
use super::visit::{Visit, login_address, query_value};
use crate::model::{Principal, Role};
use crate::session::Session;

/// What the frame of a page shows.
pub(super) struct Shell<'a> {
    pub(super) assets: &'a Assets,
    pub(super) language: Language,
    pub(super) t: &'static Texts,
    pub(super) path: &'a str,
    pub(super) who: Option<Who>,
    /// Where this page is reached again: path and query.
    pub(super) here: &'a str,
}

/// Who is signed in, as the frame shows them.
pub(super) struct Who {
    pub(super) name: String,
    pub(super) signed_in_as: String,
    pub(super) tenant: String,
    pub(super) token: String,
    pub(super) tenant_page: bool,
    contact: Option<String>,
}

impl<'a> Shell<'a> {
    /// The frame for this visit.
    pub(super) fn new(portal: &'a Portal, visit: &'a Visit) -> Self {
        let who = visit.session().map(|session| Who::of(portal, visit.language, session));
        Self::reached_at(portal, visit, who, &visit.here)
    }

    /// The frame of a page that is shown in place of another address, or that only guests see.
    pub(super) fn reached_at(portal: &'a Portal, visit: &Visit, who: Option<Who>, here: &'a str) -> Self {
        let (language, t) = (visit.language, visit.language.texts());
        let path = here.split('?').next().unwrap_or_default();
        Self { assets: &portal.assets, language, t, path, who, here }
    }

    pub(super) fn languages(&self) -> &'static [Language] {
        &Language::ALL
    }

    pub(super) fn switch_to(&self, language: &Language) -> String {
        format!("/.usher/language?set={}&return_to={}", language.code(), query_value(self.here))
    }

    pub(super) fn sign_in(&self) -> String {
        login_address(self.here)
    }

    /// Whom to ask for help, if that is known.
    pub(super) fn contact(&self) -> Option<&str> {
        self.who.as_ref().and_then(|who| who.contact.as_deref())
    }
}

impl Who {
    pub(super) fn of(portal: &Portal, language: Language, session: &Session) -> Self {
        let principal = session.principal();
        let card = (portal.state.tenants)(&principal.tenant);
        let name = principal.greeting().to_owned();
        Self {
            signed_in_as: fill(language.texts().signed_in_as, &[("name", &name)]),
            name,
            tenant: card.title.unwrap_or_else(|| principal.tenant.to_string()),
            token: session.form_token(),
            tenant_page: may_administer(&principal),
            contact: card.contact,
        }
    }
}

/// Whether somebody may see and stop the workspaces of their tenant.
pub(super) fn may_administer(principal: &Principal) -> bool {
    principal.roles.has(Role::TenantAdmin) || principal.roles.has(Role::Operator)
}

/// A rendered page. A template that fails (it never does into a string) is an internal error without a body.
pub(super) fn html(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(body) => {
            (status, [(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "page not rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
