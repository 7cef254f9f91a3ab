//! The plain-HTTP listener: sends everybody to the same path at the public address.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::body::AnswerBody;
use crate::edge::{self, Connection, RequestBody};

/// Redirects to HTTPS.
#[derive(Debug)]
pub struct Redirect {
    /// `https://host[:port]`, without a path.
    origin: ArcSwap<String>,
}

impl Redirect {
    /// Redirects to `origin`: `https://`, a host and maybe a port, no path.
    #[must_use]
    pub fn to(origin: &str) -> Self {
        Self { origin: ArcSwap::from_pointee(origin.to_owned()) }
    }

    /// Redirects to another origin from now on.
    pub fn apply(&self, origin: &str) {
        self.origin.store(Arc::new(origin.to_owned()));
    }

    /// A request's own Host is never believed: it would make us redirect to wherever an attacker says.
    fn answer(&self, request: &Request<RequestBody>) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::empty());
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            // A body that was sent in the clear has leaked already; sending it again would hide the fault.
            *response.status_mut() = StatusCode::FORBIDDEN;
            return response;
        }
        let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let target = if target.starts_with('/') { target } else { "/" };
        match HeaderValue::from_str(&format!("{}{target}", self.origin.load())) {
            Ok(location) => {
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(header::LOCATION, location);
            }
            Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
        }
        response
    }
}

/// The redirect listener's service; a handle, since a reload changes where it points.
#[derive(Debug, Clone)]
pub struct RedirectService(pub Arc<Redirect>);

impl edge::Service for RedirectService {
    type Body = AnswerBody;

    async fn call(&self, _connection: &Arc<Connection>, request: Request<RequestBody>) -> Response<AnswerBody> {
        self.0.answer(&request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: Method, uri: &str) -> Response<AnswerBody> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().expect("test address");
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("evil.example"));
        Redirect::to("https://dev.example.com:8443").answer(&request)
    }

    #[test]
    fn the_path_stays_and_the_host_is_ours() {
        let response = answer(Method::GET, "/ide/?x=1");
        assert_eq!(response.status(), 308);
        assert_eq!(response.headers()[header::LOCATION], "https://dev.example.com:8443/ide/?x=1");
    }

    #[test]
    fn a_form_sent_in_the_clear_is_refused() {
        assert_eq!(answer(Method::POST, "/.usher/login").status(), 403);
    }
}
