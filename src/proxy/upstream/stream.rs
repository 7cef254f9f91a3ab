//! A connection to an upstream, plain or TLS, as one type that comes out of an upgrade again.
//!
//! An upstream that takes nothing for too long while there is something for it is given up: nothing else would ever
//! end an upload that it does not read, since the client's own limit on stalls rests while we do not ask for more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::client::TlsStream;

/// A byte stream to an upstream.
#[derive(Debug)]
pub struct UpstreamStream {
    transport: Transport,
    /// How long it may take nothing.
    patience: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    heard: Heard,
}

/// Whether anything came from an upstream since this was last forgotten; shared by the stream and by who sends over it.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    /// Boxed, since it is some hundred bytes and most are plain.
    Tls(Box<TlsStream<TcpStream>>),
}

impl UpstreamStream {
    /// A plain connection, given up when it takes nothing for `patience`.
    #[must_use]
    pub fn plain(stream: TcpStream, patience: Duration) -> Self {
        Self::new(Transport::Plain(stream), patience)
    }

    /// A connection with TLS.
    #[must_use]
    pub fn tls(stream: TlsStream<TcpStream>, patience: Duration) -> Self {
        Self::new(Transport::Tls(Box::new(stream)), patience)
    }

    fn new(transport: Transport, patience: Duration) -> Self {
        Self { transport, patience, stalled: None, heard: Heard::default() }
    }

    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Turns a write that has waited too long into an error.
    fn within_patience<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "upstream does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Heard {
    pub(super) fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Exact once the connection's task has told how a request went.
    pub(super) fn anything(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = match &mut this.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            this.heard.note();
        }
        polled
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        this.within_patience(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        };
        this.within_patience(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let written = match &mut this.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.within_patience(written, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
