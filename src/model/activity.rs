//! Evidence that a person or a job is at work in a workspace.

use super::Timestamp;

/// Where evidence of activity came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivitySource {
    /// A message that the client's application sent over a WebSocket.
    WebSocket,
    /// A request over HTTP.
    Http,
    /// A WebSocket that is open, where the kind counts that.
    Connection,
    /// The start itself, asked for by the user.
    Start,
    /// The gateway started anew and knows nothing: counts as active now.
    Restart,
}

impl ActivitySource {
    /// Stable name for JSON, logs and pages' look-ups.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Http => "http",
            Self::Connection => "connection",
            Self::Start => "start",
            Self::Restart => "restart",
        }
    }
}

/// The latest evidence on one of the two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// When it was seen.
    pub at: Timestamp,
    /// Where it came from.
    pub source: ActivitySource,
}
