//! The buffer between requests and the output, and the thread that empties it.

use std::cell::Cell;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Most bytes that wait to be written: some 10,000 lines, which a reader may lag behind before lines are lost.
const MAX_BUFFERED: usize = 4 * 1024 * 1024;
/// The writer wakes at once when this much waits.
const WAKE_AT: usize = 64 * 1024;
/// And otherwise this often.
const INTERVAL: Duration = Duration::from_millis(100);

thread_local! {
    /// The line that a thread is making.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Where access-log lines go. Dropping the last handle writes out what is left.
pub struct AccessLog {
    on: bool,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    closed: bool,
}

impl AccessLog {
    /// Writes lines to `output` from a thread of its own.
    ///
    /// # Errors
    /// Returns an error if no thread can be started.
    pub fn to(output: Box<dyn Write + Send>) -> std::io::Result<Arc<Self>> {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let thread =
            std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write_out(&of_thread, output))?;
        Ok(Arc::new(Self { on: true, shared, thread: Mutex::new(Some(thread)) }))
    }

    /// Writes no lines; requests are still counted.
    #[must_use]
    pub fn off() -> Arc<Self> {
        Arc::new(Self { on: false, shared: Arc::default(), thread: Mutex::new(None) })
    }

    /// Whether lines are wanted at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Adds one line, without its end.
    pub(super) fn append(&self, write_line: impl FnOnce(&mut Vec<u8>)) {
        if !self.on {
            return;
        }
        // Made outside the lock, which all threads share.
        let mut line = LINE.take();
        line.clear();
        write_line(&mut line);
        line.push(b'\n');
        self.add(&line);
        LINE.set(line);
    }

    fn add(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.lines.len() >= MAX_BUFFERED {
            state.dropped += 1;
            return;
        }
        let waiting = state.lines.len();
        state.lines.extend_from_slice(line);
        // Once is enough: the writer takes all there is.
        if waiting < WAKE_AT && state.lines.len() >= WAKE_AT {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A writer that panicked has nothing more to write.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_out(shared: &Shared, mut output: Box<dyn Write + Send>) {
    let mut batch = Vec::new();
    loop {
        let (dropped, closed) = {
            let state = shared.lock();
            let wait = |state: &mut State| state.lines.len() < WAKE_AT && !state.closed;
            let (mut state, _) =
                shared.wake.wait_timeout_while(state, INTERVAL, wait).unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut batch, &mut state.lines);
            (std::mem::take(&mut state.dropped), state.closed)
        };
        if dropped > 0 {
            tracing::warn!(lines = dropped, "access log could not keep up; lines were dropped");
        }
        if !batch.is_empty() && output.write_all(&batch).and_then(|()| output.flush()).is_err() {
            tracing::warn!("access log cannot be written; its lines are lost until it can");
        }
        batch.clear();
        if closed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("test lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn dropping_the_log_writes_out_what_is_left() {
        let sink = Sink::default();
        let log = AccessLog::to(Box::new(sink.clone())).expect("starts");
        for n in 0..3 {
            log.append(|line| line.extend_from_slice(format!("line {n}").as_bytes()));
        }
        drop(log);
        assert_eq!(*sink.0.lock().expect("test lock"), b"line 0\nline 1\nline 2\n");
    }

    #[test]
    fn a_log_that_is_off_takes_no_lines() {
        let log = AccessLog::off();
        log.append(|_| panic!("a line was made for nobody"));
        assert!(!log.is_on());
    }
}
