//! A WebSocket on its way through the gateway: two raw streams, joined after the upgrade.
//!
//! Promises: what one side sends reaches the other byte for byte, early bytes first, each side at the other's pace;
//! a tunnel with nothing under way owns no buffer and is never cut for being quiet; it can be closed with a code and
//! reason, which are put between two frames, never into one; and it always ends: a peer that takes nothing, a half
//! that stays open alone and a close that is not answered are all bounded.
//!
//! Handshake and permission come before; what the client's frames mean is the observer's business.

mod closing;
mod control;
mod lane;
mod observer;
mod registry;
mod scratch;
mod terms;
mod timer;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::metrics::TenantSeries;
use crate::websocket::{FrameParser, close_frame, ping_frame, random_mask};

pub use closing::{Closing, Ending};
pub use control::TunnelHandle;
use lane::{Fault, Lane};
pub use observer::{Classified, ClientFrames, Unobserved};
use registry::Registration;
pub use registry::{TunnelTag, Tunnels};
use scratch::with_scratch;
pub use terms::{Cause, Side, Terms, TunnelEnd, TunnelSettings};
use timer::Timer;

/// The cause that a broken connection is.
type Failed = fn(io::ErrorKind) -> Cause;

/// A tunnel at work: a future that is done when the tunnel has ended. Dropping it drops both streams.
#[must_use = "a tunnel moves nothing until it is polled"]
pub struct Tunnel<C, U, O> {
    client: C,
    upstream: U,
    /// From the client to the upstream.
    up: Lane,
    /// From the upstream to the client.
    down: Lane,
    observer: O,
    settings: Arc<TunnelSettings>,
    endings: Vec<(Pin<Box<WaitForCancellationFutureOwned>>, Closing)>,
    series: Counted,
    handle: TunnelHandle,
    timer: Timer,
    opened: Instant,
    ping_due: Option<Instant>,
    /// When the half that is left alone is cut.
    grace_ends: Option<Instant>,
    farewell: Option<Farewell>,
    /// What was seen first of an end that is under way.
    cause: Option<Cause>,
    close_code: Option<u16>,
    _registration: Registration,
}

/// A closing by the gateway that is under way.
#[derive(Debug, Clone, Copy)]
struct Farewell {
    closing: Closing,
    until: Instant,
    /// Both sides have been told.
    told: bool,
}

/// A tunnel in its tenant's series.
struct Counted(Arc<TenantSeries>);

impl Tunnels {
    /// Joins the two sides. The upgrade has been answered on both, and the answer's head written to the client.
    pub fn open<C, U, O>(&self, client: Side<C>, upstream: Side<U>, terms: Terms, observer: O) -> Tunnel<C, U, O>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
        O: ClientFrames + Unpin,
    {
        let handle = TunnelHandle::default();
        let opened = Instant::now();
        let endings = terms.endings.into_iter();
        Tunnel {
            up: Lane::new(FrameParser::from_client(observer.wanted_payload()), client.early),
            down: Lane::new(FrameParser::from_server(0), upstream.early),
            client: client.stream,
            upstream: upstream.stream,
            observer,
            ping_due: terms.settings.ping_every.map(|every| opened + every),
            settings: terms.settings,
            endings: endings.map(|ending| (Box::pin(ending.token.cancelled_owned()), ending.closing)).collect(),
            series: Counted::new(terms.series),
            _registration: self.register(terms.tag, &handle),
            handle,
            timer: Timer::default(),
            opened,
            grace_ends: None,
            farewell: None,
            cause: None,
            close_code: None,
        }
    }
}

impl<C, U, O> Future for Tunnel<C, U, O>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
    O: ClientFrames + Unpin,
{
    type Output = TunnelEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        let this = self.get_mut();
        loop {
            this.handle.register(cx.waker());
            if this.handle.is_killed() {
                return Poll::Ready(this.end(Cause::Killed));
            }
            this.take_orders(cx);
            this.pump(cx);
            if let Some(cause) = this.judge() {
                this.shut_down(cx);
                return Poll::Ready(this.end(cause));
            }
            ready!(this.timer.poll(cx, this.next_deadline()));
            if let Some(cause) = this.on_time(Instant::now()) {
                this.shut_down(cx);
                return Poll::Ready(this.end(cause));
            }
        }
    }
}

impl<C, U, O> Tunnel<C, U, O> {
    /// A handle that closes it from outside.
    #[must_use]
    pub fn handle(&self) -> TunnelHandle {
        self.handle.clone()
    }

    /// Begins to close if somebody asked for it.
    fn take_orders(&mut self, cx: &mut Context<'_>) {
        if self.farewell.is_some() {
            return;
        }
        let ended =
            self.endings.iter_mut().find_map(|(end, closing)| end.as_mut().poll(cx).is_ready().then_some(*closing));
        if let Some(closing) = self.handle.closing().or(ended) {
            self.begin_farewell(closing);
        }
    }

    fn begin_farewell(&mut self, closing: Closing) {
        self.down.insert_close(close_frame(closing.code, closing.reason, None));
        self.up.insert_close(close_frame(closing.code, closing.reason, Some(random_mask())));
        self.close_code = self.close_code.or(Some(closing.code));
        self.endings.clear();
        self.ping_due = None;
        self.farewell = Some(Farewell { closing, until: Instant::now() + self.settings.close_wait, told: false });
    }

    /// Follows what the moving of bytes has brought. Returns the cause if it is the end.
    fn judge(&mut self) -> Option<Cause> {
        self.close_code = self.close_code.or(self.up.close_code).or(self.down.close_code);
        if let Some(cause) = self.judge_farewell() {
            return Some(cause);
        }
        if self.up.is_over() && self.down.is_over() {
            return self.cause;
        }
        let alone = self.cause.is_some() || (self.up.is_closed() && self.down.is_closed());
        if alone && self.grace_ends.is_none() {
            self.grace_ends = Some(Instant::now() + self.settings.half_close_grace);
        }
        None
    }

    fn judge_farewell(&mut self) -> Option<Cause> {
        let farewell = self.farewell.as_mut()?;
        if !farewell.told && self.up.has_told_close() && self.down.has_told_close() {
            farewell.told = true;
            farewell.until = Instant::now() + self.settings.answer_wait;
        }
        let answered = farewell.told && self.up.sender_is_done() && self.down.sender_is_done();
        answered.then_some(Cause::Closed(farewell.closing))
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stalls = [self.up.blocked_since(), self.down.blocked_since()];
        let stalls = stalls.into_iter().flatten().map(|since| since + self.settings.write_stall);
        let farewell = self.farewell.map(|farewell| farewell.until);
        [self.ping_due, self.grace_ends, self.lifetime_ends(), farewell].into_iter().flatten().chain(stalls).min()
    }

    fn lifetime_ends(&self) -> Option<Instant> {
        if self.farewell.is_some() {
            return None;
        }
        self.settings.lifetime.map(|lifetime| self.opened + lifetime)
    }

    /// Does what is due at `now`. Returns the cause if it is the end.
    fn on_time(&mut self, now: Instant) -> Option<Cause> {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let has_stalled = |lane: &Lane| is_due(lane.blocked_since().map(|since| since + self.settings.write_stall));
        if let Some(farewell) = self.farewell.filter(|farewell| farewell.until <= now) {
            let cause = if farewell.told { Cause::Closed } else { Cause::Cut };
            return Some(cause(farewell.closing));
        }
        if has_stalled(&self.down) {
            return Some(Cause::ClientStalled);
        }
        if has_stalled(&self.up) {
            return Some(Cause::UpstreamStalled);
        }
        if is_due(self.grace_ends) {
            return Some(self.cause.unwrap_or(Cause::Upstream));
        }
        if is_due(self.lifetime_ends()) {
            self.begin_farewell(Closing::LIFETIME);
        }
        if is_due(self.ping_due) {
            self.down.insert_ping(ping_frame(None));
            self.ping_due = self.settings.ping_every.map(|every| now + every);
        }
        None
    }

    fn end(&self, cause: Cause) -> TunnelEnd {
        TunnelEnd {
            cause,
            bytes_in: self.up.received,
            bytes_out: self.down.sent,
            close_code: self.close_code,
            lasted: self.opened.elapsed(),
        }
    }
}

impl<C, U, O> Tunnel<C, U, O>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
    O: ClientFrames,
{
    /// Moves bytes both ways, as far as they go.
    fn pump(&mut self, cx: &mut Context<'_>) {
        let (received, sent) = (self.up.received, self.down.sent);
        // A fault on one stream leaves work on the other: the rest of what was read, and the end.
        while with_scratch(|scratch| self.meets_fault(cx, scratch)) {}
        self.series.0.bytes_in.inc_by(self.up.received - received);
        self.series.0.bytes_out.inc_by(self.down.sent - sent);
    }

    /// Drives both directions. Returns whether a stream failed, which each direction can find out once for each end.
    fn meets_fault(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> bool {
        let up = self.up.drive(cx, (&mut self.client, &mut self.upstream), scratch, &mut self.observer);
        if matches!(up, Err(Fault::Sender(_))) {
            self.down.abandon();
        }
        let up_failed = up.is_err();
        self.note(up, self.up.sender_has_ended(), (Cause::Client, Cause::ClientFailed, Cause::UpstreamFailed));
        let down = self.down.drive(cx, (&mut self.upstream, &mut self.client), scratch, &mut Unobserved);
        if matches!(down, Err(Fault::Sender(_))) {
            self.up.abandon();
        }
        let failed = up_failed || down.is_err();
        self.note(down, self.down.sender_has_ended(), (Cause::Upstream, Cause::UpstreamFailed, Cause::ClientFailed));
        failed
    }

    /// Remembers the first end that was seen; what follows from it is not its cause.
    fn note(
        &mut self,
        outcome: Result<(), Fault>,
        ended: bool,
        (end, sender_failed, receiver_failed): (Cause, Failed, Failed),
    ) {
        let seen = match outcome {
            Err(Fault::Sender(error)) => Some(sender_failed(error.kind())),
            Err(Fault::Receiver(error)) => Some(receiver_failed(error.kind())),
            Ok(()) => ended.then_some(end),
        };
        self.cause = self.cause.or(seen);
    }

    /// Gives the end of the streams its chance to go out; nothing is waited for.
    fn shut_down(&mut self, cx: &mut Context<'_>) {
        let _ = Pin::new(&mut self.client).poll_shutdown(cx);
        let _ = Pin::new(&mut self.upstream).poll_shutdown(cx);
    }
}

impl Counted {
    fn new(series: Arc<TenantSeries>) -> Self {
        series.tunnels.inc();
        Self(series)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tunnels.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_tunnel_is_small() {
        let size = size_of::<Tunnel<tokio::net::TcpStream, tokio::net::TcpStream, Unobserved>>();
        assert!(size <= 768, "{size}");
    }
}
