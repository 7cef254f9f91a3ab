//! Answers of our own: the portal's pages and API, and pages shown instead of what was asked for.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri};
use tower_service::Service;

use super::visit::Visit;
use crate::edge::RequestBody;
use crate::model::{Asked, ErrorKind, PageRequest};
use crate::proxy::admit::Admitted;
use crate::proxy::assertion::Assertions;
use crate::proxy::body::AnswerBody;
use crate::routing::ASSERTION_KEYS;
use crate::session::Caller;

/// Where the portal answers a [`PageRequest`]; not an address that anybody can ask for.
const PAGE: &str = "/.usher/page";

/// The key set of a gateway that signs nothing.
const NO_KEYS: Bytes = Bytes::from_static(br#"{"keys":[]}"#);
/// A new key is published for longer than this before it signs.
const KEYS_CACHING: HeaderValue = HeaderValue::from_static("public, max-age=300");

impl Visit<'_> {
    /// Hands the request to the portal, in the one reading that was decided on.
    pub(super) async fn own(mut self, admitted: &Admitted) -> Response<AnswerBody> {
        if admitted.path() == ASSERTION_KEYS {
            return self.assertion_keys().await;
        }
        let mut request = Request::new(std::mem::replace(&mut self.body, RequestBody::empty()));
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = Uri::from(admitted.target().clone());
        request.headers_mut().clone_from(&self.head.headers);
        self.ask_portal(request).await
    }

    /// The public keys of assertions, for whoever verifies them; an empty set without keys.
    async fn assertion_keys(self) -> Response<AnswerBody> {
        if !matches!(self.head.method, Method::GET | Method::HEAD) {
            return self.problem(ErrorKind::MethodNotAllowed, None).await;
        }
        let keys = self.rules.assertions.as_ref().map_or(NO_KEYS, Assertions::published);
        let mut answer = Response::new(AnswerBody::text(keys));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        headers.insert(CACHE_CONTROL, KEYS_CACHING);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.finish(answer)
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
            bearer: self.who.bearer.clone().filter(|_| !self.who.is_ambient),
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
