//! Why the gateway closes a tunnel by itself, and with which code.

use tokio_util::sync::CancellationToken;

/// A close code and its reason, as the client and the upstream are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Close code (RFC 6455, section 7.4); never 1005, 1006 or 1015, which are not allowed on the wire.
    pub code: u16,
    /// Reason; at most 123 bytes go out.
    pub reason: &'static str,
}

impl Closing {
    /// The session ended: signed out, expired or revoked. 4401 is of the range for private use and mirrors HTTP's
    /// 401, so that a page can tell it from a lost connection; its next attempt is answered 401.
    pub const SIGNED_OUT: Self = Self { code: 4401, reason: "signed out" };
    /// The user lost the right to this route or tenant. Mirrors HTTP's 403.
    pub const NOT_ALLOWED: Self = Self { code: 4403, reason: "access withdrawn" };
    /// The workspace stops or has stopped; 1001 is "going away".
    pub const WORKSPACE_STOPPED: Self = Self { code: 1001, reason: "workspace stopped" };
    /// The gateway restarts; clients connect again.
    pub const RESTART: Self = Self { code: 1012, reason: "service restart" };
    /// The tunnel lasted as long as one may; clients connect again.
    pub const LIFETIME: Self = Self { code: 1012, reason: "connection lifetime is over" };
}

/// Something whose end ends the tunnel.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Cancelled when it ends.
    pub token: CancellationToken,
    /// What the two sides are told then.
    pub closing: Closing,
}
