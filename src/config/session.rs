//! `session`: browser logins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;
use crate::model::Timestamp;

/// Browser logins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Keys for session cookies. The first one whose `sign_from` has come signs, all of them verify. To rotate: put a
    /// new key first, with a `sign_from` a few minutes ahead, so that every gateway knows it before the first cookie is
    /// signed with it; take the old one out when `lifetime` has passed since then. Taking a key out ends the sessions that it signed, for as
    /// long as it is out: put back, it lets in again whose cookie is not past. A key that leaked never goes back in.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<SessionKey>,
    /// Longest life of a login.
    #[serde(default = "default_lifetime")]
    pub lifetime: Span,
    /// A login ends when it has not been used for this long. An open WebSocket counts as use.
    #[serde(default = "default_idle")]
    pub idle: Span,
    /// How often everybody who is signed in is read again from their directory, each at a time of their own within it.
    /// Who is gone, disabled or of another tenant is signed out; other groups and roles hold at once; a directory that
    /// does not answer changes nothing. At most a day.
    #[serde(default = "default_refresh")]
    pub refresh: Span,
    /// For how long a sign-in is proof enough for what administrators do to others; after that the page asks for the
    /// password again, and the API answers 403 with `urn:usher:problem:proof-needed`.
    #[serde(default = "default_reauthenticate")]
    pub reauthenticate: Span,
}

/// One signing key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionKey {
    /// Short name of the key, part of the cookie: 1 to 16 of `a-z 0-9 -`.
    #[schemars(
        regex(pattern = r"^[a-z0-9-]{1,16}$"),
        extend("patternErrorMessage" = "must be 1 to 16 of a-z, 0-9 and -")
    )]
    pub id: String,
    /// File with at least 32 random bytes; `usher session-key` makes one.
    pub file: String,
    /// From when on it may sign, as in `2026-03-02T10:30:00Z`; until then it verifies only. At least one key is without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_from: Option<String>,
}

impl SessionKey {
    /// [`sign_from`](Self::sign_from) in whole seconds since 1970; the beginning of time without it. `None` if that is
    /// no time.
    #[must_use]
    pub fn signs_from(&self) -> Option<Timestamp> {
        let Some(text) = &self.sign_from else { return Some(Timestamp::default()) };
        let since = humantime::parse_rfc3339(text).ok()?.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
        Some(Timestamp::from_secs(since.as_secs()))
    }
}

fn default_lifetime() -> Span {
    Span::hours(12)
}

fn default_idle() -> Span {
    Span::hours(2)
}

fn default_refresh() -> Span {
    Span::minutes(5)
}

fn default_reauthenticate() -> Span {
    Span::minutes(15)
}
