//! WebSocket frame headers and handshake, without I/O.
//!
//! Promises to know where frames begin and end on one direction of a stream, whatever the cuts, at the cost of
//! some forty bytes of state; to make close and ping frames; to tell a sound handshake from another.
//! It never enforces the protocol: what passes through the gateway is agreed between the two ends, extensions
//! and subprotocols included. A direction that cannot be read is marked opaque and left alone.
//!
//! Reading and writing sockets is the business of `proxy::tunnel`.

mod build;
mod frame;
pub mod handshake;
mod parser;

pub use build::{close_frame, ping_frame, random_mask};
pub use frame::{Frame, FrameHeader, NO_CODE, Opcode};
pub use parser::{FrameParser, MOST_PAYLOAD};
