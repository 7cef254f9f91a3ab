//! Lines on their way to a file or a stream: a bounded buffer, and a thread of its own that empties it.
//!
//! Promises: whoever adds a line never waits for the output; lines come out whole and in their order; memory is
//! bounded; a full disk or a reader that has stopped costs lines, which are counted, and never the process.
//! Leaves to others: what a line says, and what is to be done about lost ones.

mod sink;
mod writer;

pub use sink::{LogFile, Sink};
pub use writer::{Lines, Lost, Settings};
