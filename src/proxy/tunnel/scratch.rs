//! The buffer that all tunnels of a thread copy through, so that a tunnel with nothing under way owns none.

use std::cell::Cell;

/// One TLS record. What a blocked peer cannot take is copied out of here, so this also bounds what one direction of
/// a tunnel holds.
pub(super) const SCRATCH_SIZE: usize = 16 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's buffer to `work`. A nested loan gets a buffer of its own.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = SCRATCH.take();
    buffer.resize(SCRATCH_SIZE, 0);
    let result = work(&mut buffer);
    SCRATCH.set(buffer);
    result
}
