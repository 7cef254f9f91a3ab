//! What a tunnel is opened with, and how it ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::metrics::TenantSeries;

use super::{Closing, Ending, TunnelTag};

/// Bounds of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelSettings {
    /// How long a side may take nothing while there is something for it.
    pub write_stall: Duration,
    /// How long one half may stay open after the other has ended, or both after both sent a close frame.
    pub half_close_grace: Duration,
    /// How long a closing waits for the frames under way to end.
    pub close_wait: Duration,
    /// How long a closing waits for the answers after that.
    pub answer_wait: Duration,
    /// Ping the client this often; its answer goes to the upstream as a pong that nobody asked for, which RFC 6455
    /// allows. `None`: never.
    pub ping_every: Option<Duration>,
    /// Close it with [`Closing::LIFETIME`] after this long. `None`: never.
    pub lifetime: Option<Duration>,
}

impl Default for TunnelSettings {
    fn default() -> Self {
        Self {
            write_stall: Duration::from_secs(30),
            half_close_grace: Duration::from_secs(10),
            close_wait: Duration::from_secs(2),
            answer_wait: Duration::from_secs(1),
            ping_every: None,
            lifetime: None,
        }
    }
}

/// One end of a tunnel.
#[derive(Debug)]
pub struct Side<S> {
    /// The raw stream.
    pub stream: S,
    /// What was read from it together with the handshake.
    pub early: Bytes,
}

/// What a tunnel belongs to and is bounded by.
pub struct Terms {
    /// What it belongs to.
    pub tag: TunnelTag,
    /// Its bounds.
    pub settings: Arc<TunnelSettings>,
    /// What closes it when it ends: the session, for one.
    pub endings: Vec<Ending>,
    /// Where it and its bytes are counted, while it is open.
    pub series: Arc<TenantSeries>,
}

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The client ended it.
    Client,
    /// The upstream ended it.
    Upstream,
    /// The connection to the client broke.
    ClientFailed(io::ErrorKind),
    /// The connection to the upstream broke.
    UpstreamFailed(io::ErrorKind),
    /// The client took nothing for too long.
    ClientStalled,
    /// The upstream took nothing for too long.
    UpstreamStalled,
    /// The gateway closed it with this code, between two frames.
    Closed(Closing),
    /// The gateway was to close it with this code, and a frame under way did not end in time.
    Cut(Closing),
    /// The gateway ended it without a word.
    Killed,
}

impl Cause {
    /// Stable name for the access log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::ClientFailed(_) => "client-failed",
            Self::UpstreamFailed(_) => "upstream-failed",
            Self::ClientStalled => "client-stalled",
            Self::UpstreamStalled => "upstream-stalled",
            Self::Closed(_) => "closed",
            Self::Cut(_) => "cut",
            Self::Killed => "killed",
        }
    }
}

/// How a tunnel ended, for the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelEnd {
    /// Why.
    pub cause: Cause,
    /// Bytes that the client sent.
    pub bytes_in: u64,
    /// Bytes that the client was sent.
    pub bytes_out: u64,
    /// Code of the first close frame, from either side or the gateway; `websocket::NO_CODE` if it had none.
    pub close_code: Option<u16>,
    /// How long it was open.
    pub lasted: Duration,
}
