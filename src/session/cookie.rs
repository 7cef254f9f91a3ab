//! `Set-Cookie` lines of the session cookie.

use std::time::Duration;

/// The session cookie's name. The prefix makes browsers insist on Secure, `Path=/` and no Domain.
pub const COOKIE_NAME: &str = "__Host-usher";

/// A whole `Set-Cookie` value that stores `value` for as long as the session can last.
pub(super) fn store(value: &str, life: Duration) -> String {
    line(COOKIE_NAME, value, life)
}

/// A whole `Set-Cookie` value that removes it.
pub(super) fn clear() -> String {
    store("", Duration::ZERO)
}

/// A whole `Set-Cookie` value of one of our cookies, whose names start with `__Host-`.
pub(super) fn line(name: &str, value: &str, life: Duration) -> String {
    format!("{name}={value}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax", life.as_secs())
}
