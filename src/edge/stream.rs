//! The byte stream of one client connection, plain or TLS.
//!
//! It counts bytes, notes for the driver when a head begins and when the client does not read, and closes lingering
//! when the client may still be sending. It owns no buffer of its own, so that an idle tunnel costs nothing here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::Connection;

/// Most bytes that are read and thrown away after an early answer, so that a client that is still sending reads the
/// answer rather than a reset. The driver adds a limit in time.
const MAX_LINGER: usize = 256 * 1024;

/// A client's byte stream.
pub struct Stream {
    io: Io,
    connection: Arc<Connection>,
    closing: Closing,
}

/// Boxed, because hyper moves its stream about and both are some hundred bytes.
pub(super) enum Io {
    Plain(Box<L4Stream>),
    Tls(Box<TlsStream<L4Stream>>),
}

enum Closing {
    No,
    /// The write side is closed; this many bytes were discarded since.
    Lingering(usize),
    Done,
}

/// The upgraded connection was not one of [`Stream`]'s.
#[derive(Debug, thiserror::Error)]
#[error("upgraded connection does not come from this edge")]
pub struct NotOurStream;

/// Takes the raw stream out of an upgraded connection, and with it the bytes that the client sent early.
///
/// # Errors
/// Returns an error if the connection was not served by this module.
pub fn upgraded(upgraded: hyper::upgrade::Upgraded) -> Result<(Stream, Bytes), NotOurStream> {
    let parts = upgraded.downcast::<TokioIo<Stream>>().map_err(|_| NotOurStream)?;
    // Copied, because even an empty `Bytes` may hold hyper's whole read buffer.
    let early = if parts.read_buf.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(&parts.read_buf) };
    Ok((parts.io.into_inner(), early))
}

impl Stream {
    pub(super) const fn new(io: Io, connection: Arc<Connection>) -> Self {
        Self { io, connection, closing: Closing::No }
    }

    /// The connection that this is the stream of. The connection counts as open for as long as the stream lives.
    #[must_use]
    pub const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Notes how a write went. What cannot be written is the client's unread bytes.
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &result {
            self.connection.sent(*bytes);
        }
        self.connection.set_write_blocked(result.is_pending());
        result
    }

    /// Reads and discards until the client closes too, the limit is reached or the driver has had enough.
    fn poll_linger(&mut self, cx: &mut Context<'_>, mut discarded: usize) -> Poll<()> {
        let mut scratch = [0; 4096];
        while discarded < MAX_LINGER {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = self.io.poll_read(cx, &mut buffer);
            if read.is_pending() {
                self.closing = Closing::Lingering(discarded);
                self.connection.set_lingering();
                return Poll::Pending;
            }
            match buffer.filled().len() {
                0 => break,
                bytes => discarded += bytes,
            }
        }
        self.closing = Closing::Done;
        Poll::Ready(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = self.io.poll_read(cx, buf);
        if result.is_ready() {
            let bytes = buf.filled().len() - before;
            if bytes > 0 {
                self.connection.received(bytes);
            }
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_write(cx, buf),
        };
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        };
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        };
        self.connection.set_write_blocked(result.is_pending());
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.closing, Closing::No) {
            ready!(match &mut this.io {
                Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
                Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
            })?;
            this.closing = if this.connection.lingers() { Closing::Lingering(0) } else { Closing::Done };
        }
        if let Closing::Lingering(discarded) = this.closing {
            ready!(this.poll_linger(cx, discarded));
        }
        Poll::Ready(Ok(()))
    }
}

impl Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}
