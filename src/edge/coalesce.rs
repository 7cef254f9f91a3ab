//! Fewer, larger writes for HTTP/2.
//!
//! h2 writes and flushes once per DATA frame. Here writes are collected, a flush only says yes, and the driver sends
//! what has gathered after each poll of the connection, when the frames of all streams are in. The driver reaches the
//! stream beside hyper through a lock; both run in one task, so it is never waited for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;

/// What is gathered before a write goes out at once: one TLS record.
const CAPACITY: usize = 16 * 1024;

/// hyper's and the driver's handle on the stream of an HTTP/2 connection.
#[derive(Clone)]
pub(super) struct Coalescing(Arc<Mutex<Inner>>);

struct Inner {
    stream: Stream,
    /// Empty and without memory when nothing is under way.
    buffer: Vec<u8>,
    /// How much of the buffer is written.
    written: usize,
    /// Whether the stream holds bytes that were not flushed.
    dirty: bool,
}

impl Coalescing {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Arc::new(Mutex::new(Inner { stream, buffer: Vec::new(), written: 0, dirty: false })))
    }

    /// Sends what has gathered. Ready when nothing is left to send.
    pub(super) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_send(cx))?;
        // Taken anew from the allocator for the next answer, which is cheaper than to keep it through idle hours.
        inner.buffer = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.buffer.get(self.written..) {
            let bytes = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += bytes;
            self.dirty = true;
        }
        self.buffer.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        if self.dirty {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Room for at least one more byte, or pending.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.len() >= CAPACITY {
            ready!(self.poll_empty(cx))?;
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(CAPACITY);
        }
        Poll::Ready(Ok(CAPACITY - self.buffer.len()))
    }
}

impl AsyncRead for Coalescing {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Coalescing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        let mut room = ready!(inner.poll_room(cx))?;
        let mut taken = 0;
        for buf in bufs {
            let part = buf.get(..room.min(buf.len())).unwrap_or(buf);
            inner.buffer.extend_from_slice(part);
            taken += part.len();
            room -= part.len();
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The driver flushes, see [`Coalescing::poll_drain`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_send(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}
