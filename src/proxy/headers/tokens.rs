//! Where a request may bring a bearer token, and taking it out: a workspace never sees one that we took.

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};

use super::cookies;

/// The sub-protocol after which a WebSocket brings its token.
pub const TOKEN_PROTOCOL: &str = "access_token";

/// What the `Authorization` headers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization<'h> {
    /// There is none, or one of another scheme.
    NoBearer,
    /// One bearer token.
    Bearer(&'h str),
    /// A bearer token and something beside it: which one is meant nobody can say.
    Ambiguous,
}

/// Reads the `Authorization` headers. The scheme is told without case (RFC 9110 §11.1).
#[must_use]
pub fn authorization(headers: &HeaderMap) -> Authorization<'_> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let Some(line) = lines.next() else { return Authorization::NoBearer };
    let several = lines.next().is_some();
    if several {
        let any = headers.get_all(AUTHORIZATION).iter().any(|line| bearer(line).is_some());
        return if any { Authorization::Ambiguous } else { Authorization::NoBearer };
    }
    match bearer(line) {
        Some(Ok(token)) => Authorization::Bearer(token),
        Some(Err(())) => Authorization::Ambiguous,
        None => Authorization::NoBearer,
    }
}

/// The token of a line of the bearer scheme; an error if it is not one word.
fn bearer(line: &HeaderValue) -> Option<Result<&str, ()>> {
    let line = line.as_bytes().trim_ascii();
    let (scheme, rest) = line.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first().is_some_and(|next| !next.is_ascii_whitespace()) {
        return None;
    }
    let token = std::str::from_utf8(rest).map(str::trim).unwrap_or_default();
    let is_word = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    Some(if is_word { Ok(token) } else { Err(()) })
}

/// The sub-protocols bring more than one token, or cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unclear;

/// The token that a WebSocket's handshake brings as the sub-protocol after [`TOKEN_PROTOCOL`].
///
/// # Errors
/// Returns an error if [`TOKEN_PROTOCOL`] stands there twice, without a token, or beside what is no text.
pub fn protocol_token(headers: &HeaderMap) -> Result<Option<&str>, Unclear> {
    let mut offered = protocols(headers);
    if !offered.any(|protocol| protocol == TOKEN_PROTOCOL) {
        return Ok(None);
    }
    let token = offered.next().filter(|token| *token != TOKEN_PROTOCOL).ok_or(Unclear)?;
    let again = offered.any(|protocol| protocol == TOKEN_PROTOCOL);
    let is_text = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().all(|line| line.to_str().is_ok());
    if again || !is_text { Err(Unclear) } else { Ok(Some(token)) }
}

/// Takes [`TOKEN_PROTOCOL`] and the token after it out of what a handshake offers.
pub fn take_protocol_token(headers: &mut HeaderMap) {
    let kept = without_token(protocols(headers));
    match HeaderValue::from_str(&kept) {
        Ok(value) if !kept.is_empty() => {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        _ => {
            headers.remove(SEC_WEBSOCKET_PROTOCOL);
        }
    }
}

/// Takes the cookies of these names out.
pub fn take_cookies(headers: &mut HeaderMap, names: &[Box<str>]) {
    for name in names.iter().filter(|name| cookies::has(headers, name)).collect::<Vec<_>>() {
        cookies::remove(headers, name);
    }
}

fn without_token<'h>(mut offered: impl Iterator<Item = &'h str>) -> String {
    let mut kept = Vec::new();
    while let Some(protocol) = offered.next() {
        if protocol == TOKEN_PROTOCOL {
            offered.next();
        } else {
            kept.push(protocol);
        }
    }
    kept.join(", ")
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|protocol| !protocol.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &http::HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).expect("a value"))).collect()
    }

    #[test]
    fn one_bearer_token_is_one_word_of_one_line() {
        for (lines, expected) in [
            (&["Bearer a.b.c"][..], Authorization::Bearer("a.b.c")),
            (&["bearer   a.b.c  "], Authorization::Bearer("a.b.c")),
            (&["BEARER\ta"], Authorization::Bearer("a")),
            (&[], Authorization::NoBearer),
            (&["Basic YTpi"], Authorization::NoBearer),
            (&["Bearerx a"], Authorization::NoBearer),
            (&["Basic a", "Basic b"], Authorization::NoBearer),
            (&["Bearer"], Authorization::Ambiguous),
            (&["Bearer "], Authorization::Ambiguous),
            (&["Bearer a b"], Authorization::Ambiguous),
            (&["Bearer a, Basic b"], Authorization::Ambiguous),
            (&["Bearer a", "Bearer a"], Authorization::Ambiguous),
            (&["Basic a", "Bearer b"], Authorization::Ambiguous),
        ] {
            assert_eq!(authorization(&headers(&AUTHORIZATION, lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_sub_protocol_brings_a_token_and_both_are_taken_out() {
        for (lines, token, left) in [
            (&["access_token, a.b.c"][..], Ok(Some("a.b.c")), None),
            (&["chat, access_token, a.b.c, v2"], Ok(Some("a.b.c")), Some("chat, v2")),
            (&["access_token", "a.b.c"], Ok(Some("a.b.c")), None),
            (&["chat,v2"], Ok(None), Some("chat, v2")),
            (&["access_token"], Err(Unclear), None),
            (&["chat, access_token"], Err(Unclear), Some("chat")),
            (&["access_token, access_token, a.b.c"], Err(Unclear), Some("a.b.c")),
            (&["access_token, a, access_token, b"], Err(Unclear), None),
        ] {
            let mut headers = headers(&SEC_WEBSOCKET_PROTOCOL, lines);
            assert_eq!(protocol_token(&headers), token, "{lines:?}");
            take_protocol_token(&mut headers);
            let kept = headers.get(SEC_WEBSOCKET_PROTOCOL).map(|value| value.to_str().expect("text"));
            assert_eq!(kept, left, "{lines:?}");
        }
    }
}
