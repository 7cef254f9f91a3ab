//! Messages of engine.io 4 and socket.io, over WebSockets or by polling, and what Theia makes of them.
//!
//! Engine.io's heartbeats are data frames: texts of a single digit. Theia sends each message as a text that announces
//! a binary frame, then that frame; a tab that nobody touches asks the server for an environment variable named
//! `does_not_matter` every five seconds to learn whether it is there. All of them are short, and so is a key typed:
//! only their content tells them apart.
//!
//! A message that is compressed (permessage-deflate, which engine.io has off unless it is asked for) cannot be read
//! and counts, unless it is as short as a heartbeat compresses to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::websocket::{Frame, MOST_PAYLOAD, Opcode};

/// Length of a compressed heartbeat: one letter is three bytes by DEFLATE's fixed code; one more for other encoders.
const MOST_COMPRESSED_HEARTBEAT: u64 = 4;

/// The variable that Theia's liveness call asks for.
const LIVENESS_CALL: &[u8] = b"does_not_matter";

/// Engine.io packets that carry no message: close, ping, pong, probe, upgrade, noop.
const HEARTBEATS: [&[u8]; 7] = [b"1", b"2", b"3", b"2probe", b"3probe", b"5", b"6"];

/// Between two packets in the body of a polling request.
const SEPARATOR: u8 = 0x1e;
/// What is kept of a packet at most: a `b` and as many bytes as are looked at of a frame, in base64.
const MOST_PACKET: usize = 1 + MOST_PAYLOAD.div_ceil(3) * 4;

/// Reads the messages that a client sends over one WebSocket.
#[derive(Debug)]
pub(super) struct Messages {
    theia: bool,
    /// The message whose parts are coming in; memory is taken only for that long.
    parts: Option<Box<Parts>>,
}

#[derive(Debug)]
struct Parts {
    text: bool,
    start: Vec<u8>,
    length: u64,
}

impl Messages {
    pub(super) const fn socket_io() -> Self {
        Self { theia: false, parts: None }
    }

    pub(super) const fn theia() -> Self {
        Self { theia: true, parts: None }
    }

    /// Whether the message that ends with this data frame shows somebody at work.
    pub(super) fn show_work(&mut self, frame: &Frame<'_>) -> bool {
        let header = &frame.header;
        match header.opcode {
            Opcode::Continuation => self.continued(frame),
            _ if header.compressed => !header.fin || header.payload_length > MOST_COMPRESSED_HEARTBEAT,
            opcode if header.fin => self.judge(opcode == Opcode::Text, frame.start, header.payload_length),
            opcode => {
                let start = frame.start.to_vec();
                let parts = Parts { text: opcode == Opcode::Text, start, length: header.payload_length };
                self.parts = Some(Box::new(parts));
                false
            }
        }
    }

    /// Parts of a compressed message are not kept: it counted with its first.
    fn continued(&mut self, frame: &Frame<'_>) -> bool {
        let Some(mut parts) = self.parts.take() else { return false };
        // Only what follows without a gap: a part that was not seen whole ends what is known.
        if parts.length == parts.start.len() as u64 {
            let room = MOST_PAYLOAD - parts.start.len();
            parts.start.extend(frame.start.iter().take(room));
        }
        parts.length = parts.length.saturating_add(frame.header.payload_length);
        if frame.header.fin {
            return self.judge(parts.text, &parts.start, parts.length);
        }
        self.parts = Some(parts);
        false
    }

    /// `start` is the beginning of a message of `length` bytes, all of it if it has at most [`MOST_PAYLOAD`].
    fn judge(&self, text: bool, start: &[u8], length: u64) -> bool {
        let whole = start.len() as u64 == length;
        if text {
            !(is_transport(start, whole) || (self.theia && is_theia_greeting(start)))
        } else {
            !(self.theia && whole && contains(start, LIVENESS_CALL))
        }
    }
}

/// Reads the packets in the body of one polling request, as it comes: each is what would be a frame of a WebSocket,
/// a binary one as `b` and base64.
#[derive(Debug)]
pub(super) struct Packets {
    messages: Messages,
    /// The beginning of the packet that is coming in.
    start: Vec<u8>,
    length: u64,
}

impl Packets {
    pub(super) const fn of(messages: Messages) -> Self {
        Self { messages, start: Vec::new(), length: 0 }
    }

    /// Whether a packet that ends in these bytes shows somebody at work.
    pub(super) fn show_work(&mut self, bytes: &[u8]) -> bool {
        let mut work = false;
        for (place, part) in bytes.split(|&byte| byte == SEPARATOR).enumerate() {
            // Every part but the first comes after an end.
            work |= place > 0 && self.end();
            let room = MOST_PACKET - self.start.len();
            self.start.extend(part.iter().take(room));
            self.length += part.len() as u64;
        }
        work
    }

    /// The same of the last packet, which ends with the body.
    pub(super) fn end(&mut self) -> bool {
        let length = std::mem::take(&mut self.length);
        let start = std::mem::take(&mut self.start);
        match start.split_first() {
            None => false,
            Some((b'b', base64)) if start.len() as u64 == length => {
                STANDARD.decode(base64).map_or(true, |data| self.messages.judge(false, &data, data.len() as u64))
            }
            Some((b'b', _)) => true,
            Some(_) => self.messages.judge(true, &start, length),
        }
    }
}

/// Heartbeats; a namespace's connect (`40`) and disconnect (`41`); the announcement of binary frames (`45`, `46`),
/// which are judged themselves.
fn is_transport(start: &[u8], whole: bool) -> bool {
    (whole && HEARTBEATS.contains(&start))
        || matches!(start, [b'4', b'0' | b'1', ..])
        || matches!(start, [b'4', b'5' | b'6', rest @ ..] if announces_binary(rest))
}

/// A count of frames and a dash.
fn announces_binary(rest: &[u8]) -> bool {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest.get(digits) == Some(&b'-')
}

/// `42/services,["initialConnection",…]` and `["reconnect",…]`: what a page says by itself once it is connected.
fn is_theia_greeting(start: &[u8]) -> bool {
    let Some(rest) = start.strip_prefix(b"42/services,") else { return false };
    rest.starts_with(br#"["initialConnection""#) || rest.starts_with(br#"["reconnect""#)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
