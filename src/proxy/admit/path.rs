//! The one reading of a path.
//!
//! Canonical form: percent-encodings of unreserved characters are decoded, all others are kept with upper-case
//! digits; what may not stand bare in a path (RFC 3986 §3.3) is encoded; runs of slashes become one. Dot segments,
//! encoded slashes, backslashes and control characters are refused, at whatever depth of encoding they hide,
//! and so is what is not UTF-8. The canonical form of a canonical path is itself.

use bytes::Bytes;
use http::uri::PathAndQuery;

use super::Rejection;

/// Rounds of decoding that are looked through after the first. Nothing honest is encoded deeper, and each round costs
/// a copy: without a bound 8 KiB of `%252525…` would cost thousands.
const MAX_FURTHER_ROUNDS: usize = 3;

/// Canonicalises the path and keeps the query as it is. Shares the given text if it is canonical already.
pub(super) fn canonical_target(given: &PathAndQuery) -> Result<PathAndQuery, Rejection> {
    let text = given.as_str();
    let (path, query) = match text.find('?') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    match path.as_bytes().first() {
        Some(b'/') => {}
        // The empty path of an absolute target is `/` (RFC 9110 §4.2.3).
        None => return rebuild("/", query),
        Some(_) => return Err(Rejection::TargetForm),
    }
    if is_plainly_canonical(path.as_bytes()) {
        return Ok(given.clone());
    }
    rebuild(&canonical(path)?, query)
}

fn rebuild(path: &str, query: &str) -> Result<PathAndQuery, Rejection> {
    let mut text = String::with_capacity(path.len() + query.len());
    text.push_str(path);
    text.push_str(query);
    PathAndQuery::from_maybe_shared(Bytes::from(text)).map_err(|_| Rejection::PathEncoding)
}

/// Whether a look at single bytes is enough to see that nothing needs doing. A segment that starts with a dot
/// takes the long way, harmless or not.
fn is_plainly_canonical(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        match byte {
            b'/' | b'.' if after_slash => return false,
            b'/' => after_slash = true,
            _ if is_path_character(byte) => after_slash = false,
            _ => return false,
        }
    }
    true
}

/// The canonical form of a path that starts with `/`.
fn canonical(path: &str) -> Result<String, Rejection> {
    let mut out = String::with_capacity(path.len() + 16);
    for segment in path.split('/') {
        if segment.is_empty() {
            continue;
        }
        out.push('/');
        let decoded = decode(segment.as_bytes())?;
        check_decoded(&decoded)?;
        encode_segment(segment, &decoded, &mut out);
    }
    if path.ends_with('/') {
        out.push('/');
    }
    Ok(out)
}

/// `pchar` of RFC 3986 without `%`.
const fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The byte that `%xy` at the start of `bytes` stands for.
fn escape(bytes: &[u8]) -> Option<u8> {
    match *bytes {
        [b'%', high, low, ..] => Some(hex(high)? << 4 | hex(low)?),
        _ => None,
    }
}

fn decode(segment: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            out.push(escape(rest).ok_or(Rejection::PathEncoding)?);
            rest = rest.get(3..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    Ok(out)
}

/// Checks a segment as it reads after one round of decoding, and after every further one.
fn check_decoded(decoded: &[u8]) -> Result<(), Rejection> {
    if std::str::from_utf8(decoded).is_err() {
        return Err(Rejection::PathUtf8);
    }
    check_characters(decoded)?;
    let mut deeper = decode_leniently(decoded);
    for _ in 0..MAX_FURTHER_ROUNDS {
        let Some(bytes) = deeper else { return Ok(()) };
        check_characters(&bytes).map_err(|_| Rejection::PathDoubleEncoding)?;
        deeper = decode_leniently(&bytes);
    }
    if deeper.is_some() { Err(Rejection::PathDoubleEncoding) } else { Ok(()) }
}

fn check_characters(segment: &[u8]) -> Result<(), Rejection> {
    for &byte in segment {
        match byte {
            b'/' => return Err(Rejection::PathSlash),
            b'\\' => return Err(Rejection::PathBackslash),
            0..=0x1f | 0x7f => return Err(Rejection::PathControl),
            _ => {}
        }
    }
    // Java servers cut `;parameters` off before they resolve dots, so that `..;x` climbs.
    match segment.split(|b| *b == b';').next() {
        Some(b"." | b"..") => Err(Rejection::PathDots),
        _ => Ok(()),
    }
}

/// One more round of decoding, as an upstream might do it: what is no escape stays. `None` if there is no escape.
fn decode_leniently(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        match escape(rest) {
            Some(byte) => {
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    (out.len() < bytes.len()).then_some(out)
}

/// Writes a checked segment. A reserved character keeps the form that it came in, because bare and encoded
/// may differ in meaning to the upstream (`;`).
fn encode_segment(segment: &str, decoded: &[u8], out: &mut String) {
    let mut rest = segment.as_bytes();
    for &byte in decoded {
        let was_escaped = rest.first() == Some(&b'%');
        rest = rest.get(if was_escaped { 3 } else { 1 }..).unwrap_or_default();
        let bare = if was_escaped { is_unreserved(byte) } else { is_path_character(byte) };
        if bare {
            out.push(char::from(byte));
        } else {
            push_escape(byte, out);
        }
    }
}

fn push_escape(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')));
    }
}
