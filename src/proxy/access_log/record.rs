//! What is kept of one request until its line is written.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use prometheus::Histogram;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::AccessLog;
use crate::identity::tokens::Bearer;
use crate::metrics::{RouteSeries, TenantSeries};
use crate::model::{ErrorKind, Principal, Timestamp};
use crate::proxy::admit::Authority;
use crate::proxy::body::{AnswerBodyError, UploadProgress};

/// Identifies one request in logs and on error pages: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u64);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl RequestId {
    /// As the upstream is told.
    #[must_use]
    pub fn header(self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut text = [0; 16];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
    }
}

/// Hands out request ids: the upper half is random for each process, the lower half counts.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    next: AtomicU32,
}

impl RequestIds {
    /// A sequence of its own, told apart from other processes' by `seed`.
    #[must_use]
    pub const fn new(seed: u32) -> Self {
        Self { process: (seed as u64) << 32, next: AtomicU32::new(1) }
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        RequestId(self.process | u64::from(self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

/// The counters that a request adds to; looked up once for each route and tenant.
pub struct Counters {
    /// Requests by status class.
    pub requests: Arc<RouteSeries>,
    /// Bytes and tunnels of the tenant.
    pub tenant: Arc<TenantSeries>,
    /// Time to the answer's head.
    pub duration: Histogram,
}

/// What a tunnel leaves in its request's line.
#[derive(Debug, Clone, Serialize)]
pub struct TunnelSummary {
    /// What ended it.
    pub ended_by: &'static str,
    /// The code of the close frame, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_code: Option<u16>,
}

/// One request, until its line is written. Dropping it writes the line.
pub struct Record {
    log: Arc<AccessLog>,
    /// Identifies the request.
    pub id: RequestId,
    at: Timestamp,
    started: Instant,
    peer: IpAddr,
    method: Method,
    target: Option<PathAndQuery>,
    protocol: &'static str,
    /// The host that was asked for.
    pub authority: Option<Authority>,
    /// Metric label of the route, if one matched.
    pub route: Option<Arc<str>>,
    /// Who it was.
    pub principal: Option<Arc<Principal>>,
    /// The token that vouches for them. Kept until the answer's end, so that the token's end is noticed.
    pub bearer: Option<Arc<Bearer>>,
    /// The run that it was forwarded to.
    pub instance: Option<crate::model::InstanceId>,
    /// Why the gateway answered by itself.
    pub error: Option<ErrorKind>,
    /// A word more on the error: a rejection's reason.
    pub reason: Option<&'static str>,
    counters: Option<Arc<Counters>>,
    upload: Option<Arc<UploadProgress>>,
    status: u16,
    head_after: Duration,
    bytes_in: u64,
    bytes_out: u64,
    outcome: &'static str,
    tunnel: Option<TunnelSummary>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "as_text")]
    time: Timestamp,
    #[serde(serialize_with = "as_text")]
    id: RequestId,
    client: IpAddr,
    protocol: &'a str,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    status: u16,
    head_ms: f64,
    duration_ms: f64,
    bytes_in: u64,
    bytes_out: u64,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<&'a TunnelSummary>,
}

impl Record {
    /// Begins the record of a request that has just come in.
    #[must_use]
    pub fn begin(
        log: Arc<AccessLog>,
        id: RequestId,
        at: Timestamp,
        peer: IpAddr,
        request: &http::request::Parts,
    ) -> Box<Self> {
        let protocol = if request.version == http::Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
        Box::new(Self {
            log,
            id,
            at,
            started: Instant::now(),
            peer,
            method: request.method.clone(),
            target: request.uri.path_and_query().cloned(),
            protocol,
            authority: None,
            route: None,
            principal: None,
            bearer: None,
            instance: None,
            error: None,
            reason: None,
            counters: None,
            upload: None,
            status: 0,
            head_after: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            outcome: "aborted",
            tunnel: None,
        })
    }

    /// Names the counters that this request adds to.
    pub fn count_with(&mut self, counters: Arc<Counters>) {
        self.counters = Some(counters);
    }

    /// Follows an upload, whose bytes are counted at the end.
    pub fn follow(&mut self, upload: Option<Arc<UploadProgress>>) {
        self.upload = upload;
    }

    /// Whether the request's own body is still on its way up.
    #[must_use]
    pub fn is_uploading(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| !upload.is_finished())
    }

    /// The answer's head is known.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
        self.head_after = self.started.elapsed();
        if let Some(counters) = &self.counters {
            counters.requests.answered(status);
            counters.duration.observe(self.head_after.as_secs_f64());
        }
    }

    /// Bytes of the answer's body have been handed on.
    pub const fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// The answer's body came to its end.
    pub const fn complete(&mut self) {
        self.outcome = "complete";
    }

    /// The answer's body broke off on the upstream's side.
    pub fn broke_off(&mut self, error: &AnswerBodyError) {
        self.outcome = "truncated";
        tracing::debug!(request = %self.id, %error, "answer truncated");
    }

    /// The request becomes a tunnel, and this record lives for hours. What it keeps of the head is copied, since that
    /// lies in hyper's read buffer, 8 KiB that would live as long.
    pub fn outlive_head(&mut self) {
        let path = self.target.as_ref().map(|target| Bytes::copy_from_slice(target.path().as_bytes()));
        self.target = path.and_then(|path| PathAndQuery::from_maybe_shared(path).ok());
    }

    /// The request's tunnel has ended.
    pub fn tunnelled(&mut self, bytes_in: u64, bytes_out: u64, summary: TunnelSummary) {
        self.bytes_in = bytes_in;
        self.bytes_out = bytes_out;
        self.outcome = "complete";
        self.tunnel = Some(summary);
    }

    fn line(&self) -> Line<'_> {
        let principal = self.principal.as_deref();
        Line {
            time: self.at,
            id: self.id,
            client: self.peer,
            protocol: self.protocol,
            method: self.method.as_str(),
            host: self.authority.as_ref().map(Authority::host),
            path: self.target.as_ref().map_or("", PathAndQuery::path),
            route: self.route.as_deref(),
            tenant: principal.map(|p| p.tenant.as_str()),
            user: principal.map(|p| p.user.as_str()),
            instance: self.instance.as_ref().map(crate::model::InstanceId::as_str),
            status: self.status,
            head_ms: millis(self.head_after),
            duration_ms: millis(self.started.elapsed()),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            outcome: self.outcome,
            error: self.error.map(ErrorKind::label),
            reason: self.reason,
            tunnel: self.tunnel.as_ref(),
        }
    }
}

/// Writes a value as what it displays, without a `String` on the way.
fn as_text<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Milliseconds with three decimals.
fn millis(span: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years in microseconds")]
    let micros = span.as_micros() as f64;
    micros / 1000.0
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            self.bytes_in = upload.bytes();
        }
        // A tunnel counts its own bytes as they pass.
        if let Some(counters) = self.counters.as_ref().filter(|_| self.tunnel.is_none()) {
            counters.tenant.bytes_in.inc_by(self.bytes_in);
            counters.tenant.bytes_out.inc_by(self.bytes_out);
        }
        self.log.append(|line| {
            // Writing to memory cannot fail, and every field is a string or a number.
            let _ = serde_json::to_writer(line, &self.line());
        });
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_the_same_in_the_log_and_at_the_upstream() {
        let ids = RequestIds::new(0x00ab_cdef);
        assert_eq!(ids.next().header(), "00abcdef00000001");
        let id = ids.next();
        assert_eq!(id.header(), id.to_string());
    }
}
