//! One direction of a tunnel: reads from one stream, looks at the frames, writes to the other.
//!
//! What could not be written is kept, and nothing is read until it is gone; so each side feels the other's pace.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::websocket::{Frame, FrameParser};

use super::ClientFrames;

/// Most reads and writes in one go, so that a fast pair of peers does not keep a thread from other tunnels.
const MOST_STEPS: usize = 64;

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    parser: FrameParser,
    /// Read by others before the tunnel began; comes before anything that is read here.
    early: Bytes,
    /// Looked at, and not written yet.
    unsent: Bytes,
    insertion: Option<Insertion>,
    stage: Stage,
    /// Written, and perhaps still in a buffer of the stream.
    unflushed: bool,
    /// Since when the receiver has taken nothing, while there is something for it.
    blocked_since: Option<Instant>,
    /// Bytes read from the sender.
    pub(super) received: u64,
    /// Bytes written to the receiver.
    pub(super) sent: u64,
    /// Code of the close frame that the sender sent.
    pub(super) close_code: Option<u16>,
}

/// A frame of the gateway's own that waits for a boundary.
#[derive(Debug)]
struct Insertion {
    frame: Bytes,
    /// It is a close frame: nothing of the sender's goes after it.
    last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// What the sender sends goes to the receiver.
    Flowing,
    /// The gateway closed this direction: what the sender sends is read, so that its close frame is seen, and dropped.
    Deaf,
    /// The sender has ended: the receiver gets the rest, and then the end.
    Draining,
    /// Nothing more will be read or written.
    Over,
}

/// Which stream failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// Reading from the sender.
    Sender(io::Error),
    /// Writing to the receiver.
    Receiver(io::Error),
}

enum Step {
    Again,
    Wait,
}

impl Lane {
    pub(super) fn new(parser: FrameParser, early: Bytes) -> Self {
        Self {
            parser,
            early: unless_empty(early),
            unsent: Bytes::new(),
            insertion: None,
            stage: Stage::Flowing,
            unflushed: false,
            blocked_since: None,
            received: 0,
            sent: 0,
            close_code: None,
        }
    }

    /// Moves what can be moved; when it returns, the task is woken as soon as more can be.
    pub(super) fn drive<S, R>(
        &mut self,
        cx: &mut Context<'_>,
        (sender, receiver): (&mut S, &mut R),
        scratch: &mut [u8],
        observer: &mut impl ClientFrames,
    ) -> Result<(), Fault>
    where
        S: AsyncRead + Unpin,
        R: AsyncWrite + Unpin,
    {
        for _ in 0..MOST_STEPS {
            match self.step(cx, (&mut *sender, &mut *receiver), scratch, observer) {
                Ok(Step::Again) => {}
                Ok(Step::Wait) => return Ok(()),
                Err(fault) => {
                    self.fail(&fault);
                    return Err(fault);
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Puts a ping before the next frame, if one can be put there at all and no other is waiting.
    pub(super) fn insert_ping(&mut self, frame: Vec<u8>) {
        if self.stage == Stage::Flowing && self.insertion.is_none() && !self.parser.is_opaque() {
            self.insertion = Some(Insertion { frame: frame.into(), last: false });
        }
    }

    /// Puts a close frame before the next frame and lets nothing more through.
    pub(super) fn insert_close(&mut self, frame: Vec<u8>) {
        if self.stage == Stage::Flowing && !self.parser.is_opaque() {
            self.insertion = Some(Insertion { frame: frame.into(), last: true });
        }
    }

    /// Whether a close frame that was inserted, or the sender's own, is on its way as far as that can be. It never
    /// can be in an opaque stream.
    pub(super) fn has_told_close(&self) -> bool {
        match self.stage {
            Stage::Flowing => self.parser.is_opaque(),
            Stage::Deaf => self.unsent.is_empty() && !self.unflushed,
            Stage::Draining | Stage::Over => true,
        }
    }

    /// Whether the sender has said that it is done: by a close frame or by the end of its stream.
    pub(super) fn sender_is_done(&self) -> bool {
        self.parser.is_closed() || self.sender_has_ended()
    }

    /// Whether a close frame of the sender's has gone through.
    pub(super) fn is_closed(&self) -> bool {
        self.parser.is_closed()
    }

    /// Whether the sender's stream has ended.
    pub(super) fn sender_has_ended(&self) -> bool {
        matches!(self.stage, Stage::Draining | Stage::Over)
    }

    /// Whether nothing more will be read or written.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Since when the receiver has taken nothing although there is something for it.
    pub(super) const fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Ends it without delivering the rest: its receiver is gone.
    pub(super) fn abandon(&mut self) {
        self.stage = Stage::Over;
        self.early = Bytes::new();
        self.unsent = Bytes::new();
        self.insertion = None;
        self.blocked_since = None;
    }

    fn fail(&mut self, fault: &Fault) {
        match fault {
            Fault::Sender(_) => self.stage = Stage::Draining,
            Fault::Receiver(_) => self.abandon(),
        }
    }

    fn step<S, R>(
        &mut self,
        cx: &mut Context<'_>,
        (sender, receiver): (&mut S, &mut R),
        scratch: &mut [u8],
        observer: &mut impl ClientFrames,
    ) -> Result<Step, Fault>
    where
        S: AsyncRead + Unpin,
        R: AsyncWrite + Unpin,
    {
        if self.stage == Stage::Over {
            return Ok(Step::Wait);
        }
        if !self.unsent.is_empty() {
            return self.write_unsent(cx, receiver).map_err(Fault::Receiver);
        }
        if self.stage == Stage::Draining {
            return self.shut_down(cx, receiver).map_err(Fault::Receiver);
        }
        if self.insert_here() {
            return Ok(Step::Again);
        }
        if !self.early.is_empty() {
            let chunk = std::mem::take(&mut self.early);
            return self.pass(cx, receiver, chunk, observer).map_err(Fault::Receiver);
        }
        let mut buffer = ReadBuf::new(scratch);
        match Pin::new(sender).poll_read(cx, &mut buffer) {
            Poll::Pending => self.flush(cx, receiver).map_err(Fault::Receiver),
            Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Err(Fault::Sender(error)),
            // Browsers end TLS without saying so; a WebSocket has its own end.
            Poll::Ready(_) if buffer.filled().is_empty() => {
                self.stage = Stage::Draining;
                Ok(Step::Again)
            }
            Poll::Ready(_) => self.pass(cx, receiver, buffer.filled(), observer).map_err(Fault::Receiver),
        }
    }

    /// Puts the waiting frame here, if this is a boundary. After the sender's own close frame there is no place for it.
    fn insert_here(&mut self) -> bool {
        if !self.parser.at_boundary() {
            return false;
        }
        let Some(insertion) = self.insertion.take() else { return false };
        if insertion.last {
            self.stage = Stage::Deaf;
        }
        if !self.parser.is_closed() {
            self.unsent = insertion.frame;
        }
        true
    }

    /// Looks at what the sender sent and writes it on.
    fn pass<C: Chunk>(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut (impl AsyncWrite + Unpin),
        chunk: C,
        observer: &mut impl ClientFrames,
    ) -> io::Result<Step> {
        if self.stage == Stage::Deaf {
            self.received += chunk.bytes().len() as u64;
            self.look(chunk.bytes(), &mut super::Unobserved);
            return Ok(Step::Again);
        }
        if self.insertion.is_some() {
            return Ok(self.pass_to_boundary(chunk.bytes(), observer));
        }
        self.received += chunk.bytes().len() as u64;
        self.look(chunk.bytes(), observer);
        let written = self.write(cx, receiver, chunk.bytes())?;
        self.unsent = chunk.after(written);
        Ok(after_write(written))
    }

    /// Passes on the rest of the frame under way; what comes after it is looked at again once the insertion is made.
    fn pass_to_boundary(&mut self, chunk: &[u8], observer: &mut impl ClientFrames) -> Step {
        let mut close_code = None;
        let length = self.parser.feed_to_boundary(chunk, |frame| {
            close_code = frame.close_code();
            observer.frame(frame);
        });
        self.close_code = self.close_code.or(close_code);
        if self.parser.is_opaque() {
            self.insertion = None;
            observer.unreadable();
        }
        let (before, after) = chunk.split_at(length);
        self.received += length as u64;
        self.unsent = Bytes::copy_from_slice(before);
        self.early = unless_empty(Bytes::copy_from_slice(after));
        Step::Again
    }

    fn look(&mut self, chunk: &[u8], observer: &mut impl ClientFrames) {
        let close_code = &mut self.close_code;
        self.parser.feed(chunk, |frame: &Frame<'_>| {
            *close_code = close_code.or(frame.close_code());
            observer.frame(frame);
        });
        if self.parser.is_opaque() {
            observer.unreadable();
        }
    }

    fn write_unsent(&mut self, cx: &mut Context<'_>, receiver: &mut (impl AsyncWrite + Unpin)) -> io::Result<Step> {
        let unsent = std::mem::take(&mut self.unsent);
        let written = self.write(cx, receiver, &unsent)?;
        self.unsent = unsent.after(written);
        Ok(after_write(written))
    }

    /// Writes once; 0 means that the receiver takes nothing now.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        receiver: &mut (impl AsyncWrite + Unpin),
        bytes: &[u8],
    ) -> io::Result<usize> {
        match Pin::new(receiver).poll_write(cx, bytes) {
            Poll::Pending => {
                self.blocked_since.get_or_insert_with(Instant::now);
                Ok(0)
            }
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => {
                self.blocked_since = None;
                self.unflushed = true;
                self.sent += written as u64;
                Ok(written)
            }
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>, receiver: &mut (impl AsyncWrite + Unpin)) -> io::Result<Step> {
        if self.unflushed {
            match Pin::new(receiver).poll_flush(cx)? {
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(Instant::now);
                }
                Poll::Ready(()) => {
                    self.blocked_since = None;
                    self.unflushed = false;
                }
            }
        }
        Ok(Step::Wait)
    }

    fn shut_down(&mut self, cx: &mut Context<'_>, receiver: &mut (impl AsyncWrite + Unpin)) -> io::Result<Step> {
        match Pin::new(receiver).poll_shutdown(cx)? {
            Poll::Pending => {
                self.blocked_since.get_or_insert_with(Instant::now);
            }
            Poll::Ready(()) => {
                self.blocked_since = None;
                self.stage = Stage::Over;
            }
        }
        Ok(Step::Wait)
    }
}

/// A write that took nothing has the task woken; any other may be followed by the next at once.
const fn after_write(written: usize) -> Step {
    if written == 0 { Step::Wait } else { Step::Again }
}

/// Bytes that are on their way: borrowed from the scratch buffer, or owned already.
trait Chunk {
    fn bytes(&self) -> &[u8];

    /// What is left after the first `written` bytes; owns nothing if that is nothing.
    fn after(self, written: usize) -> Bytes;
}

impl Chunk for &[u8] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn after(self, written: usize) -> Bytes {
        unless_empty(Bytes::copy_from_slice(self.split_at(written).1))
    }
}

impl Chunk for Bytes {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn after(mut self, written: usize) -> Bytes {
        unless_empty(self.split_off(written))
    }
}

/// An empty `Bytes` may still hold the buffer that it was cut from.
fn unless_empty(bytes: Bytes) -> Bytes {
    if bytes.is_empty() { Bytes::new() } else { bytes }
}
