//! What is known of one frame: its header, and as much of its payload as was asked for.

/// What a frame is (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// A further part of a message.
    Continuation,
    /// A message of text, or its first part.
    Text,
    /// A message of bytes, or its first part.
    Binary,
    /// The end of what this side will say.
    Close,
    /// A question whether the other side is there.
    Ping,
    /// The answer to a ping, or a heartbeat of its own.
    Pong,
}

impl Opcode {
    /// From the low four bits of a frame's first byte; `None` for the reserved ones.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether it is close, ping or pong: never in parts, at most 125 bytes, allowed between the parts of a message.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What it is.
    pub opcode: Opcode,
    /// Whether it is the last part of its message.
    pub fin: bool,
    /// RSV1: with permessage-deflate, the first frame of a compressed message.
    pub compressed: bool,
    /// The key that its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Length of its payload in bytes.
    pub payload_length: u64,
}

impl FrameHeader {
    /// Undoes the masking of a payload from its first byte on.
    pub(super) fn unmask(&self, payload: &mut [u8]) {
        let Some(mask) = self.mask else { return };
        let (words, tail) = payload.as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
        }
        for (byte, key) in tail.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
}

/// The code that stands for "a close frame without a code"; never on the wire (RFC 6455, section 7.4.1).
pub const NO_CODE: u16 = 1005;

/// One frame as it is told to an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// The beginning of its payload, unmasked: as many bytes as the parser was asked for, or all there are.
    /// Of a close frame always all.
    pub start: &'a [u8],
}

impl Frame<'_> {
    /// The whole payload, if it is no longer than what the parser was asked for.
    #[must_use]
    pub fn whole(&self) -> Option<&[u8]> {
        (self.start.len() as u64 == self.header.payload_length).then_some(self.start)
    }

    /// The code of a close frame; [`NO_CODE`] if it has none; `None` if it is another frame.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        let code = self.start.first_chunk().map_or(NO_CODE, |code| u16::from_be_bytes(*code));
        (self.header.opcode == Opcode::Close).then_some(code)
    }
}
