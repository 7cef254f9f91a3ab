//! `routes[].headers`: names that a route may set, and values that can be sent.

use std::collections::BTreeSet;

use super::{Checks, KeyPath, quoted};
use crate::config::{Route, template};

/// Headers of the connection, of the body's framing and of WebSocket handshakes, which the gateway writes itself,
/// and those that say whom a request is from.
const RESERVED: [&str; 16] = [
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
    "x-request-id",
];
const RESERVED_PREFIXES: [&str; 4] = ["x-usher-", "x-forwarded", "proxy", "sec-"];

pub(super) fn check(path: &KeyPath, route: &Route, checks: &mut Checks<'_>) {
    let mut seen = BTreeSet::new();
    for (name, value) in &route.headers {
        let path = path.key("headers").key(name);
        if let Some(problem) = name_problem(name) {
            checks.error_at_key(&path, problem);
        } else if !seen.insert(name.to_ascii_lowercase()) {
            checks.error_at_key(&path, format!("{} stands here twice; case does not count", quoted(name)));
        }
        checks.placeholders(&path, value, &Route::HEADER_PLACEHOLDERS);
        can_be_sent(&path, value, checks);
    }
}

fn name_problem(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    // Many servers read _ and . as -, so X_Usher_User would pass for X-Usher-User.
    let odd = |c: char| !matches!(c, 'a'..='z' | '0'..='9' | '-');
    if lower.is_empty() || lower.contains(odd) {
        return Some("is not a header name; use letters, digits and -");
    }
    if lower == "authorization" {
        return Some("must not be set here: a credential would stand in this file");
    }
    let reserved = RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|start| lower.starts_with(start));
    reserved.then_some("is reserved: the gateway sets this header itself")
}

fn can_be_sent(path: &KeyPath, value: &str, checks: &mut Checks<'_>) {
    let texts = template::pieces(value).all(|piece| match piece {
        template::Piece::Text(text) => text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'{'),
        template::Piece::Placeholder(_) => true,
    });
    if !texts || value.trim() != value {
        checks
            .error(path, "must be printable ASCII with no blank at either end, and { only where a placeholder starts");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_gateway_itself_are_reserved_however_they_are_spelt() {
        for name in [
            "Host",
            "x-usher-user",
            "X-Usher-Anything",
            "X-Forwarded-For",
            "Sec-WebSocket-Key",
            "TE",
            "Cookie",
            "Sec-Fetch-Site",
            "Proxy",
        ] {
            assert!(name_problem(name).is_some_and(|problem| problem.contains("reserved")), "{name}");
        }
        for name in ["", "X A", "X_Usher_User", "X.Usher.User", "X:", "X~A", "名"] {
            assert!(name_problem(name).is_some_and(|problem| problem.contains("not a header name")), "{name}");
        }
        assert!(name_problem("Authorization").is_some());
        assert_eq!(name_problem("X-Tenant"), None);
    }
}
