//! The opening handshake (RFC 6455, section 4), as far as a gateway must judge it.
//!
//! Key, extensions and subprotocols are agreed between the two ends; the gateway passes them on as they are.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode, Version};

/// What RFC 6455 has every server hash together with the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request that asks for a WebSocket cannot have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Answer 400: its body would become the first bytes of the tunnel.
    #[error("websocket request has a body")]
    Body,
    /// Answer 426 with `Sec-WebSocket-Version: 13`.
    #[error("websocket version is not 13")]
    Version,
    /// Answer 400.
    #[error("websocket key is missing, doubled or not 16 bytes of base64")]
    Key,
}

/// Why an upstream's answer does not open a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Another status; the answer may be passed on as that of any request.
    #[error("upstream answered the websocket request with status {0}")]
    Status(StatusCode),
    /// It changes to another protocol, or does not say that it changes.
    #[error("upstream's 101 does not upgrade to websocket")]
    Protocol,
    /// It did not read the key.
    #[error("upstream's 101 has a wrong sec-websocket-accept")]
    Accept,
}

/// What `Sec-WebSocket-Accept` must be for this `Sec-WebSocket-Key`.
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    STANDARD.encode(context.finish())
}

/// Whether a request asks for a WebSocket. One that names another protocol, or several, or another method or version
/// of HTTP, is an ordinary request: its `Upgrade` is to be taken out.
///
/// # Errors
/// Returns an error if it asks for a WebSocket and cannot have it.
pub fn is_websocket_upgrade(method: &Method, version: Version, headers: &HeaderMap) -> Result<bool, UpgradeError> {
    if method != Method::GET || version != Version::HTTP_11 || !names_websocket(headers) {
        return Ok(false);
    }
    if headers.contains_key(TRANSFER_ENCODING) || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0") {
        return Err(UpgradeError::Body);
    }
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(UpgradeError::Version);
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key).ok());
    if key.is_none_or(|key| key.len() != 16) {
        return Err(UpgradeError::Key);
    }
    Ok(true)
}

/// Checks an upstream's answer to a request whose `Sec-WebSocket-Key` was `key`.
///
/// # Errors
/// Returns an error if the connection is not to become a tunnel.
pub fn check_answer(status: StatusCode, headers: &HeaderMap, key: &[u8]) -> Result<(), AnswerError> {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(AnswerError::Status(status));
    }
    if !names_websocket(headers) {
        return Err(AnswerError::Protocol);
    }
    if only(headers, &SEC_WEBSOCKET_ACCEPT) != Some(accept_key(key).as_bytes()) {
        return Err(AnswerError::Accept);
    }
    Ok(())
}

/// `Upgrade` is `websocket` and nothing else, and `Connection` names it.
fn names_websocket(headers: &HeaderMap) -> bool {
    only(headers, &UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
        && headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}

/// The trimmed value of a header that stands exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn request(change: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ]);
        for (name, value) in change {
            if value.is_empty() {
                map.remove(*name);
            } else {
                map.insert(*name, value.parse().unwrap());
            }
        }
        map
    }

    fn judged(change: &[(&'static str, &'static str)]) -> Result<bool, UpgradeError> {
        is_websocket_upgrade(&Method::GET, Version::HTTP_11, &request(change))
    }

    #[test]
    fn accept_key_is_that_of_the_rfc() {
        assert_eq!(accept_key(KEY.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_sound_request_is_an_upgrade() {
        assert_eq!(judged(&[]), Ok(true));
        assert_eq!(judged(&[("content-length", "0")]), Ok(true));
    }

    #[test]
    fn a_request_for_anything_else_is_ordinary() {
        for change in [("upgrade", ""), ("upgrade", "websocket, h2c"), ("upgrade", "foo"), ("connection", "keep-alive")]
        {
            assert_eq!(judged(&[change]), Ok(false), "{change:?}");
        }
        assert_eq!(is_websocket_upgrade(&Method::POST, Version::HTTP_11, &request(&[])), Ok(false));
        assert_eq!(is_websocket_upgrade(&Method::GET, Version::HTTP_10, &request(&[])), Ok(false));
        assert_eq!(is_websocket_upgrade(&Method::GET, Version::HTTP_2, &request(&[])), Ok(false));
    }

    #[test]
    fn a_faulty_request_is_refused() {
        assert_eq!(judged(&[("content-length", "5")]), Err(UpgradeError::Body));
        assert_eq!(judged(&[("transfer-encoding", "chunked")]), Err(UpgradeError::Body));
        assert_eq!(judged(&[("sec-websocket-version", "8")]), Err(UpgradeError::Version));
        assert_eq!(judged(&[("sec-websocket-version", "")]), Err(UpgradeError::Version));
        assert_eq!(judged(&[("sec-websocket-key", "")]), Err(UpgradeError::Key));
        assert_eq!(judged(&[("sec-websocket-key", "c2hvcnQ=")]), Err(UpgradeError::Key));
        let mut doubled = request(&[]);
        doubled.append(SEC_WEBSOCKET_KEY, KEY.parse().unwrap());
        assert_eq!(is_websocket_upgrade(&Method::GET, Version::HTTP_11, &doubled), Err(UpgradeError::Key));
    }

    #[test]
    fn an_answer_must_have_read_the_key() {
        let sound = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        let check = |status, lines: &[_]| check_answer(status, &headers(lines), KEY.as_bytes());
        assert_eq!(check(StatusCode::SWITCHING_PROTOCOLS, &sound), Ok(()));
        assert_eq!(check(StatusCode::OK, &sound), Err(AnswerError::Status(StatusCode::OK)));
        assert_eq!(check(StatusCode::SWITCHING_PROTOCOLS, &sound[1..]), Err(AnswerError::Protocol));
        assert_eq!(check(StatusCode::SWITCHING_PROTOCOLS, &sound[..2]), Err(AnswerError::Accept));
    }
}
