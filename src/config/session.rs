//! `session`: browser logins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Browser logins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Keys for session cookies. The first one signs, all of them verify. To rotate: put a new key first,
    /// and take the old one out when `lifetime` has passed. Taking a key out ends the sessions that it signed, for as
    /// long as it is out: put back, it lets in again whose cookie is not past. A key that leaked never goes back in.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<SessionKey>,
    /// Longest life of a login.
    #[serde(default = "default_lifetime")]
    pub lifetime: Span,
    /// A login ends when it has not been used for this long. An open WebSocket counts as use.
    #[serde(default = "default_idle")]
    pub idle: Span,
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
}

fn default_lifetime() -> Span {
    Span::hours(12)
}

fn default_idle() -> Span {
    Span::hours(2)
}
