//! The headers that admission reads, gathered in one pass, and the rules on them.

use http::{HeaderMap, HeaderValue, Method, Version};

use super::{BodyLength, Limits, MAX_HEADER_NAME, MAX_HEADERS, Rejection, is_http10};
use crate::proxy::headers::names;

/// A header of which there may be one line.
type Single<'a> = Option<&'a HeaderValue>;

/// What admission reads of the headers.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) host: Single<'a>,
    content_length: Single<'a>,
    transfer_encoding: Single<'a>,
    expect: Single<'a>,
    /// The protocol asked for; `None` also if several are.
    upgrade: Option<Upgrade>,
    connection_upgrade: bool,
    websocket_key: Single<'a>,
    websocket_version: Single<'a>,
    origin: Single<'a>,
    authorization: Single<'a>,
    fetch_site: Single<'a>,
    fetch_mode: Single<'a>,
    fetch_destination: Single<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    WebSocket,
    Other,
}

fn set<'a>(slot: &mut Single<'a>, value: &'a HeaderValue, doubled: Rejection) -> Result<(), Rejection> {
    if slot.replace(value).is_some() { Err(doubled) } else { Ok(()) }
}

impl<'a> Fields<'a> {
    /// Reads all headers once, within the limits.
    pub(super) fn read(headers: &'a HeaderMap, limits: &Limits) -> Result<Self, Rejection> {
        if headers.len() > MAX_HEADERS {
            return Err(Rejection::TooManyHeaders);
        }
        let mut fields = Self::default();
        let mut bytes = 0;
        for (name, value) in headers {
            bytes += name.as_str().len() + value.len();
            if name.as_str().len() > MAX_HEADER_NAME {
                return Err(Rejection::HeaderNameTooLong);
            }
            if names::is_alias_of_reserved(name) {
                return Err(Rejection::HeaderAlias);
            }
            fields.take(name.as_str(), value)?;
        }
        if bytes > limits.headers {
            return Err(Rejection::HeadersTooLarge);
        }
        Ok(fields)
    }

    fn take(&mut self, name: &str, value: &'a HeaderValue) -> Result<(), Rejection> {
        match name {
            "host" => set(&mut self.host, value, Rejection::HostDoubled),
            "content-length" => set(&mut self.content_length, value, Rejection::ContentLength),
            "transfer-encoding" => set(&mut self.transfer_encoding, value, Rejection::TransferEncoding),
            "expect" => set(&mut self.expect, value, Rejection::Expect),
            "origin" => set(&mut self.origin, value, Rejection::HeaderDoubled),
            "authorization" => set(&mut self.authorization, value, Rejection::HeaderDoubled),
            "sec-websocket-key" => set(&mut self.websocket_key, value, Rejection::WebSocketHandshake),
            "sec-websocket-version" => set(&mut self.websocket_version, value, Rejection::WebSocketHandshake),
            "connection" => {
                self.connection_upgrade |= names::tokens(value).any(|token| token.eq_ignore_ascii_case("upgrade"));
                Ok(())
            }
            "upgrade" => {
                let websocket = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
                let first = self.upgrade.is_none();
                self.upgrade = Some(if websocket && first { Upgrade::WebSocket } else { Upgrade::Other });
                Ok(())
            }
            "sec-fetch-site" => set(&mut self.fetch_site, value, Rejection::HeaderDoubled),
            "sec-fetch-mode" => set(&mut self.fetch_mode, value, Rejection::HeaderDoubled),
            "sec-fetch-dest" => set(&mut self.fetch_destination, value, Rejection::HeaderDoubled),
            _ => Ok(()),
        }
    }

    /// The one length of the body.
    pub(super) fn body_length(&self, version: Version, http2: bool) -> Result<BodyLength, Rejection> {
        if let Some(coding) = self.transfer_encoding {
            let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !chunked || http2 || is_http10(version) {
                return Err(Rejection::TransferEncoding);
            }
        }
        match (self.content_length, self.transfer_encoding) {
            (Some(_), Some(_)) => Err(Rejection::LengthClash),
            (Some(length), None) => {
                parse_length(length.as_bytes()).map(BodyLength::Exact).ok_or(Rejection::ContentLength)
            }
            (None, None) if !http2 => Ok(BodyLength::None),
            (None, _) => Ok(BodyLength::Unknown),
        }
    }

    /// Whether the client waits for a 100. HTTP/1.0 has no such thing, and there it is ignored (RFC 9110 §10.1.1).
    pub(super) fn expects_continue(&self) -> Result<bool, Rejection> {
        match self.expect {
            None => Ok(false),
            Some(value) if value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue") => Ok(true),
            Some(_) => Err(Rejection::Expect),
        }
    }

    /// Whether it is a sound WebSocket handshake. A request for another protocol is none, and goes on without
    /// its `Upgrade`; one for WebSocket that is not sound is refused.
    pub(super) fn tunnel(&self, method: &Method, version: Version, body: BodyLength) -> Result<bool, Rejection> {
        let Some(upgrade) = self.upgrade else { return Ok(false) };
        if self.content_length.is_some() && body != BodyLength::Exact(0) || self.transfer_encoding.is_some() {
            return Err(Rejection::UpgradeBody);
        }
        if upgrade != Upgrade::WebSocket || !self.connection_upgrade || version != Version::HTTP_11 {
            return Ok(false);
        }
        let sound = *method == Method::GET
            && self.content_length.is_none()
            && self.websocket_version.is_some_and(|v| v.as_bytes().trim_ascii() == b"13")
            && self.websocket_key.is_some_and(|key| is_websocket_key(key.as_bytes().trim_ascii()));
        if sound { Ok(true) } else { Err(Rejection::WebSocketHandshake) }
    }
}

/// Digits only: no sign, no list, no blanks inside. Leading zeros are read as what they are, and written anew.
pub(crate) fn parse_length(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// 16 bytes in base64: 22 characters and two `=`.
fn is_websocket_key(key: &[u8]) -> bool {
    let Some(body) = key.strip_suffix(b"==") else { return false };
    body.len() == 22 && body.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}
