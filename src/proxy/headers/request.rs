//! Headers on the way up.

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{ASSERTION, GROUPS, GROUPS_TRUNCATED, TENANT, USER, cookies, forwarded, names};
use crate::model::Principal;
use crate::proxy::admit::{Admitted, BodyLength};
use crate::proxy::decision::Permit;
use crate::routing::{HeaderTemplate, push_groups, push_header_text};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Most bytes of the value that lists the groups.
const MAX_GROUPS: usize = 8 * 1024;
/// How many headers of ours are set at most, but for templates: room for all is made at once.
const SET_BY_US: usize = 14;

/// What a request's headers are prepared by.
#[derive(Debug, Clone, Copy)]
pub struct Upward<'a> {
    /// The right to forward it.
    pub permit: &'a Permit,
    /// The request as it was admitted.
    pub request: &'a Admitted,
    /// Length of the body, resolved by the body itself.
    pub body: BodyLength,
    /// Address of the client.
    pub client: IpAddr,
    /// Id of the request, as in the access log.
    pub request_id: &'a HeaderValue,
    /// Theia's secret of the run that this goes to, if the gateway holds it.
    pub theia_token: Option<&'a str>,
    /// The signed statement of who sent it, if the route wants one.
    pub assertion: Option<&'a HeaderValue>,
}

/// Turns the headers of an admitted request into those that the upstream gets.
///
/// The order matters: what the client's `Connection` nominates is taken out before anything of ours is set, and the
/// identity comes last, so that nothing before it can take it away or put another beside it.
pub fn prepare_request(headers: &mut HeaderMap, up: &Upward<'_>) {
    keep_passable(headers, up);
    cookies::keep_foreign(headers);
    if let Some(token) = up.theia_token {
        cookies::replace_cookie(headers, cookies::THEIA_TOKEN, token);
    }
    headers.insert(HOST, up.request.authority().header().clone());
    set_framing(headers, up.request.method(), up.body, up.permit.is_tunnel());
    let route = up.permit.route();
    let prefix = route.strips().then_some(route.prefix.as_str());
    forwarded::set(headers, up.client, up.request.authority(), prefix);
    headers.insert(REQUEST_ID, up.request_id.clone());
    for template in &route.headers {
        headers.insert(template.name(), template.render(up.permit.principal()));
    }
    set_identity(headers, up.permit.principal());
    if let Some(assertion) = up.assertion {
        headers.insert(ASSERTION, assertion.clone());
    }
}

/// Leaves behind everything that is the client connection's own, that only we may say, or that looks like it. What
/// passes is moved into a map with room for ours, which costs less than to take out the rest and to grow.
fn keep_passable(headers: &mut HeaderMap, up: &Upward<'_>) {
    let nominated = nominated(headers);
    let templates = &up.permit.route().headers;
    let given = std::mem::take(headers);
    // At most 100 headers were admitted, far below what a map can hold, so this cannot panic.
    headers.reserve(given.len() + SET_BY_US + templates.len());
    let mut passing = None;
    for (name, value) in given {
        // Only the first of several values comes with their name.
        if let Some(name) = name {
            passing = (!nominated.contains(&name) && may_pass(&name, templates)).then_some(name);
        }
        if let Some(name) = &passing {
            headers.append(name, value);
        }
    }
}

fn may_pass(name: &HeaderName, templates: &[HeaderTemplate]) -> bool {
    let canonical = names::canonical_if_odd(name.as_str());
    let spelled = canonical.as_deref().unwrap_or(name.as_str());
    !(is_ours_to_say(spelled)
        || canonical.is_some() && names::is_reserved(spelled)
        || templates.iter().any(|template| template.name().as_str() == spelled))
}

/// Headers that `Connection` declares to be this connection's only (RFC 9110 §7.6.1).
pub(super) fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let tokens = headers.get_all(CONNECTION).iter().flat_map(names::tokens);
    tokens
        .filter(|token| !["close", "keep-alive", "upgrade"].iter().any(|known| token.eq_ignore_ascii_case(known)))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect()
}

fn is_ours_to_say(name: &str) -> bool {
    names::is_own(name)
        || names::is_hop_by_hop(name)
        || names::is_forwarding_claim(name)
        || matches!(name, "content-length" | "expect" | "host")
}

/// Writes the framing anew from what was parsed; the client's own lines are gone.
fn set_framing(headers: &mut HeaderMap, method: &Method, body: BodyLength, tunnel: bool) {
    if tunnel {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        return;
    }
    match body {
        BodyLength::Exact(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        BodyLength::Unknown => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        // These methods have a body by nature, and servers may ask for its length (RFC 9110 §8.6).
        BodyLength::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        BodyLength::None => {}
    }
}

fn set_identity(headers: &mut HeaderMap, principal: &Principal) {
    headers.insert(USER, header_text(principal.user.as_str()));
    headers.insert(TENANT, header_text(principal.tenant.as_str()));
    let mut groups = String::new();
    if !push_groups(principal, MAX_GROUPS, &mut groups) {
        headers.insert(GROUPS_TRUNCATED, HeaderValue::from_static("1"));
    }
    headers.insert(GROUPS, printable(groups));
}

fn header_text(name: &str) -> HeaderValue {
    let mut text = String::with_capacity(name.len());
    push_header_text(name, &mut text);
    printable(text)
}

fn printable(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("encoded names are printable ASCII")
}

#[cfg(test)]
mod tests;
