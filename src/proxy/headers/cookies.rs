//! The `Cookie` header on the way up, and the cookies that the gateway itself handles.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use crate::session::{Binding, COOKIE_NAME, ENTER_COOKIE_NAME};

/// Eclipse Theia's per-process secret, which the gateway may hold for each run of a workspace.
pub const THEIA_TOKEN: &str = "theia-connection-token";

/// The value of the session cookie. `None` if there is none, or more than one: a browser has one, and which of
/// several is meant nobody can say.
#[must_use]
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    only(headers, COOKIE_NAME)
}

/// What the browser holds on this host while a session is handed over to it.
#[must_use]
pub fn binding(headers: &HeaderMap) -> Option<Binding> {
    only(headers, ENTER_COOKIE_NAME).and_then(Binding::from_cookie)
}

/// The value of a cookie that stands there once.
#[must_use]
pub fn only<'h>(headers: &'h HeaderMap, cookie: &str) -> Option<&'h str> {
    let mut values = pairs(headers).filter_map(|pair| {
        let (name, value) = split(pair);
        (name == cookie.as_bytes()).then_some(value)
    });
    let value = values.next()?;
    if values.next().is_some() { None } else { std::str::from_utf8(value).ok() }
}

/// Joins all `Cookie` lines into one (HTTP/2 sends one for each cookie, RFC 9113 §8.2.3) and takes our own out.
pub(super) fn keep_foreign(headers: &mut HeaderMap) {
    let untouched =
        headers.get_all(COOKIE).iter().nth(1).is_none() && !pairs(headers).any(|pair| is_own(split(pair).0));
    if untouched {
        return;
    }
    let kept = join(pairs(headers).filter(|pair| !is_own(split(pair).0)));
    put(headers, kept);
}

/// Sets one cookie of the request, in the place of any that has its name. Does nothing if the value is none that
/// a header can carry.
pub fn replace_cookie(headers: &mut HeaderMap, name: &str, value: &str) {
    if HeaderValue::from_str(value).is_err() || value.contains(';') {
        return;
    }
    let mut kept = join(pairs(headers).filter(|pair| split(pair).0 != name.as_bytes()));
    if !kept.is_empty() {
        kept.extend_from_slice(b"; ");
    }
    kept.extend_from_slice(name.as_bytes());
    kept.push(b'=');
    kept.extend_from_slice(value.as_bytes());
    put(headers, kept);
}

/// Whether there is a cookie of that name.
#[must_use]
pub fn has(headers: &HeaderMap, name: &str) -> bool {
    pairs(headers).any(|pair| split(pair).0 == name.as_bytes())
}

/// Takes every cookie of one name out.
pub fn remove(headers: &mut HeaderMap, name: &str) {
    let kept = join(pairs(headers).filter(|pair| split(pair).0 != name.as_bytes()));
    put(headers, kept);
}

/// Takes every `Set-Cookie` of one name out of an answer. Returns the value of the last.
pub fn take_set_cookie(headers: &mut HeaderMap, name: &str) -> Option<String> {
    let is_it = |line: &HeaderValue| set_cookie_pair(line).0 == name.as_bytes();
    if !headers.get_all(SET_COOKIE).iter().any(is_it) {
        return None;
    }
    let lines: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    let mut taken = None;
    for line in lines {
        if is_it(&line) {
            taken = std::str::from_utf8(set_cookie_pair(&line).1).ok().map(str::to_owned);
        } else {
            headers.append(SET_COOKIE, line);
        }
    }
    taken
}

/// Whether an answer sets the session cookie, or takes it away.
#[must_use]
pub fn sets_session_cookie(headers: &HeaderMap) -> bool {
    headers.get_all(SET_COOKIE).iter().any(|line| set_cookie_pair(line).0 == COOKIE_NAME.as_bytes())
}

/// Whether a cookie's name belongs to the gateway: the session cookie's, and every one that starts so, passes in
/// neither direction. Browsers and servers differ in whether `__Host-` has a case.
pub(super) fn is_own(name: &[u8]) -> bool {
    name.get(..COOKIE_NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(COOKIE_NAME.as_bytes()))
}

/// Name and value of a `Set-Cookie` line. A line without `=` sets a cookie that has no name (RFC 6265bis §5.6).
pub(super) fn set_cookie_pair(line: &HeaderValue) -> (&[u8], &[u8]) {
    let pair = line.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    if pair.contains(&b'=') { split(pair) } else { (&[], pair.trim_ascii()) }
}

/// The cookies of all lines, trimmed, none empty.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| at_semicolons(line.as_bytes()).map(<[u8]>::trim_ascii));
    pairs.filter(|pair| !pair.is_empty())
}

/// The parts between semicolons. Cookies are the longest of headers and are read for every request.
fn at_semicolons(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let Some(at) = memchr::memchr(b';', line) else { return rest.take() };
        rest = line.get(at + 1..);
        line.get(..at)
    })
}

/// Name and value; a cookie without `=` counts as a name, so that it is never taken for harmless.
fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|b| *b == b'=') {
        Some(at) => {
            let (name, value) = pair.split_at(at);
            (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii())
        }
        None => (pair.trim_ascii(), &[]),
    }
}

fn join<'a>(pairs: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut joined = Vec::new();
    for pair in pairs {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(pair);
    }
    joined
}

fn put(headers: &mut HeaderMap, cookies: Vec<u8>) {
    if cookies.is_empty() {
        headers.remove(COOKIE);
    } else {
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(cookies));
        headers.insert(COOKIE, value.expect("parts of header values joined by `; ` are a header value"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_str(line).expect("a value"))).collect()
    }

    #[test]
    fn our_cookie_is_taken_out_and_lines_are_joined() {
        for (lines, kept) in [
            (&["__Host-usher=s"][..], None),
            (&["a=1; __Host-usher=s; b=2"], Some("a=1; b=2")),
            (&["a=1", "__Host-usher=s", "b=2"], Some("a=1; b=2")),
            (&["a=1", "b=2"], Some("a=1; b=2")),
            (&["a=1;b=2"], Some("a=1;b=2")),
            (&["__host-USHER=s; __Host-usher-form=t; __Host-usher; a"], Some("a")),
            (&["a=\"x; __Host-usher=s; b=y\""], Some("a=\"x; b=y\"")),
            (&["__Host-usher =s;a=1"], Some("a=1")),
            (&[], None),
        ] {
            let mut headers = cookies(lines);
            keep_foreign(&mut headers);
            assert_eq!(headers.get_all(COOKIE).iter().count(), usize::from(kept.is_some()), "{lines:?}");
            assert_eq!(headers.get(COOKIE).map(HeaderValue::as_bytes), kept.map(str::as_bytes), "{lines:?}");
        }
    }

    #[test]
    fn the_session_is_read_only_if_there_is_one() {
        assert_eq!(session_cookie(&cookies(&["a=1; __Host-usher=s.t=; b=2"])), Some("s.t="));
        assert_eq!(session_cookie(&cookies(&["a=1", "__Host-usher=s"])), Some("s"));
        assert_eq!(session_cookie(&cookies(&["__Host-usher=s; __Host-usher=t"])), None);
        assert_eq!(session_cookie(&cookies(&["__Host-usher=s", "__Host-usher=s"])), None);
        assert_eq!(session_cookie(&cookies(&["__host-usher=s; __Host-usher2=t; x__Host-usher=u"])), None);
    }

    #[test]
    fn a_cookie_is_replaced_wherever_it_stands() {
        let mut headers = cookies(&["theia-connection-token=old; a=1", "theia-connection-token=older"]);
        replace_cookie(&mut headers, THEIA_TOKEN, "new");
        assert_eq!(headers[COOKIE], "a=1; theia-connection-token=new");
        replace_cookie(&mut headers, THEIA_TOKEN, "b; c=d");
        assert_eq!(headers[COOKIE], "a=1; theia-connection-token=new");
        let mut none = HeaderMap::new();
        replace_cookie(&mut none, THEIA_TOKEN, "new");
        assert_eq!(none[COOKIE], "theia-connection-token=new");
    }

    #[test]
    fn a_set_cookie_is_taken_out_and_the_others_stay() {
        let lines = ["a=1; Path=/", "theia-connection-token=t; Path=/; HttpOnly", "b=2"];
        let mut headers: HeaderMap = lines.iter().map(|line| (SET_COOKIE, HeaderValue::from_static(line))).collect();
        assert_eq!(take_set_cookie(&mut headers, THEIA_TOKEN).as_deref(), Some("t"));
        assert_eq!(headers.get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["a=1; Path=/", "b=2"]);
        assert_eq!(take_set_cookie(&mut headers, THEIA_TOKEN), None);
    }
}
