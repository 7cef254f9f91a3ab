//! Answers of our own: the portal's pages and API, and pages shown instead of what was asked for.

use http::header::STRICT_TRANSPORT_SECURITY;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri};
use tower_service::Service;

use super::visit::Visit;
use crate::edge::RequestBody;
use crate::model::{Asked, PageRequest};
use crate::proxy::admit::Admitted;
use crate::proxy::body::AnswerBody;
use crate::session::Caller;

/// Where the portal answers a [`PageRequest`]; not an address that anybody can ask for.
const PAGE: &str = "/.usher/page";

impl Visit<'_> {
    /// Hands the request to the portal, in the one reading that was decided on.
    pub(super) async fn own(mut self, admitted: &Admitted) -> Response<AnswerBody> {
        let mut request = Request::new(std::mem::replace(&mut self.body, RequestBody::empty()));
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = Uri::from(admitted.target().clone());
        request.headers_mut().clone_from(&self.head.headers);
        self.ask_portal(request).await
    }

    /// Has the portal show a page in answer to a request for something else. The request's own body is not read.
    pub(super) async fn page(self, page: PageRequest) -> Response<AnswerBody> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = Uri::from(PathAndQuery::from_static(PAGE));
        request.headers_mut().clone_from(&self.head.headers);
        // "Try again", sign-in and the switch of language lead back to what was asked for.
        if let Some(asked) = self.own_target().filter(|_| self.is_on_public_host()) {
            request.extensions_mut().insert(Asked(asked.as_str().to_owned()));
        }
        request.extensions_mut().insert(page);
        self.ask_portal(request).await
    }

    async fn ask_portal(self, mut request: Request<RequestBody>) -> Response<AnswerBody> {
        request.extensions_mut().insert(Caller {
            session: self.who.session.clone(),
            address: self.connection.address(),
            request_id: self.record.id.to_string(),
        });
        let mut portal = self.gateway.parts.portal.clone();
        let mut answer = match portal.call(request.map(axum::body::Body::new)).await {
            Ok(answer) => answer.map(AnswerBody::own),
            Err(never) => match never {},
        };
        if let Some(value) = self.rules.strict_transport.clone().filter(|_| self.is_on_public_host()) {
            answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
        }
        self.finish(answer)
    }
}
