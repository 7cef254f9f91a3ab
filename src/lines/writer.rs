//! The buffer between those who have a line to write and the output, and the thread that empties it.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Sink;

/// The writer looks at least this often whether there is something to write, and again at what could not be written.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long the last handle waits for the output to take what is left.
const LAST_WAIT: Duration = Duration::from_secs(5);

thread_local! {
    /// The line that a thread is making.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How lines are kept until they are written.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Name of the writing thread, at most 15 bytes.
    pub name: &'static str,
    /// Most bytes that wait to be written, the line that goes beyond included.
    pub most: usize,
    /// The writer wakes at once when this many bytes wait, otherwise ten times a second.
    pub wake_at: usize,
}

/// What the writer has to tell when all is not well.
#[derive(Debug)]
pub enum Lost<'a> {
    /// So many lines found no room, or could not be written before the end.
    Lines(u64),
    /// The output takes nothing now; it is tried again.
    Unwritable(&'a io::Error),
    /// The output cannot be opened anew; the old one is used on.
    NotReopened(&'a io::Error),
}

/// A handle on lines that are written by a thread of their own. Dropping it writes out what is left, within seconds.
pub struct Lines {
    shared: Arc<Shared>,
    settings: Settings,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Told when the writer has ended.
    gone: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    lost: u64,
    reopen: bool,
    closed: bool,
    ended: bool,
}

impl Lines {
    /// Writes lines to `sink` from a thread of its own, which also calls `tell`.
    ///
    /// # Errors
    /// Returns an error if no thread can be started.
    pub fn to(
        sink: impl Sink + 'static,
        settings: Settings,
        tell: impl FnMut(&Lost<'_>) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Writer { shared: shared.clone(), settings, sink, tell, batch: Vec::new(), written: 0 };
        std::thread::Builder::new().name(settings.name.to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared, settings })
    }

    /// Adds one line, without its end. Never waits for the output.
    pub fn append(&self, write_line: impl FnOnce(&mut Vec<u8>)) {
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
        if state.closed || state.lines.len() >= self.settings.most {
            state.lost += 1;
            return;
        }
        let waiting = state.lines.len();
        state.lines.extend_from_slice(line);
        // Once is enough: the writer takes all there is.
        if waiting < self.settings.wake_at && state.lines.len() >= self.settings.wake_at {
            self.shared.wake.notify_one();
        }
    }

    /// Opens the output anew before the next line: its file may have been moved away.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.wake.notify_one();
    }

    /// Writes out what is left, and waits for that at most for `patience`. Lines that come later are lost.
    pub fn close(&self, patience: Duration) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.wake.notify_one();
        // An output that takes nothing would hold up the end of the process for ever.
        let waited = self.shared.gone.wait_timeout_while(state, patience, |state| !state.ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.close(LAST_WAIT);
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer<S, T> {
    shared: Arc<Shared>,
    settings: Settings,
    sink: S,
    tell: T,
    /// What was taken from the buffer and is not all written.
    batch: Vec<u8>,
    /// How much of it is written.
    written: usize,
}

/// What the writer found when it woke.
struct Found {
    lost: u64,
    reopen: bool,
    closed: bool,
}

impl<S: Sink, T: FnMut(&Lost<'_>)> Writer<S, T> {
    fn run(mut self) {
        // Whoever waits for the end is told of it also if `tell` or the output panics.
        let end = TellEnd(self.shared.clone());
        loop {
            let found = self.wait();
            if found.reopen {
                self.reopen();
            }
            self.write_out();
            let unwritten = if found.closed { self.unwritten() } else { 0 };
            if found.lost + unwritten > 0 {
                (self.tell)(&Lost::Lines(found.lost + unwritten));
            }
            if found.closed {
                break;
            }
        }
        drop(end);
    }

    /// Waits for something to do, and takes new lines if the earlier ones are written.
    fn wait(&mut self) -> Found {
        let wake_at = self.settings.wake_at;
        // What could not be written is tried again after a while, not at once.
        let stuck = !self.batch.is_empty();
        let idle = |state: &mut State| !state.closed && !state.reopen && (stuck || state.lines.len() < wake_at);
        let shared = self.shared.clone();
        let waited = shared.wake.wait_timeout_while(shared.lock(), INTERVAL, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !stuck {
            std::mem::swap(&mut self.batch, &mut state.lines);
        } else if state.closed {
            self.batch.append(&mut state.lines);
        }
        let lost = std::mem::take(&mut state.lost);
        Found { lost, reopen: std::mem::take(&mut state.reopen), closed: state.closed }
    }

    fn reopen(&mut self) {
        match self.sink.reopen() {
            // A line that stands half in the old file is written whole into the new one.
            Ok(()) => self.written = line_start(&self.batch, self.written),
            Err(error) => (self.tell)(&Lost::NotReopened(&error)),
        }
    }

    fn write_out(&mut self) {
        while let Some(rest) = self.batch.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write_some(rest) {
                Ok(0) => return (self.tell)(&Lost::Unwritable(&io::ErrorKind::WriteZero.into())),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (self.tell)(&Lost::Unwritable(&error)),
            }
        }
        self.batch.clear();
        self.written = 0;
    }

    /// How many lines could not be written, the one that is cut off included.
    fn unwritten(&self) -> u64 {
        let rest = self.batch.get(self.written..).unwrap_or_default();
        rest.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

/// Where the line that holds the byte at `at` begins.
fn line_start(lines: &[u8], at: usize) -> usize {
    lines.get(..at).and_then(|before| memchr::memrchr(b'\n', before)).map_or(0, |end| end + 1)
}

struct TellEnd(Arc<Shared>);

impl Drop for TellEnd {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.gone.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::lines::LogFile;

    const PATIENCE: Duration = Duration::from_secs(10);
    const SMALL: Settings = Settings { name: "test-lines", most: 100, wake_at: 1 };

    /// An output that can be told to take nothing, or only a part.
    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<OutputState>>);

    #[derive(Default)]
    struct OutputState {
        taken: Vec<u8>,
        opened: u32,
        room: Option<usize>,
    }

    impl Output {
        fn state(&self) -> MutexGuard<'_, OutputState> {
            self.0.lock().expect("test lock")
        }

        fn text(&self) -> String {
            String::from_utf8(self.state().taken.clone()).expect("is UTF-8")
        }

        fn room(&self, room: Option<usize>) {
            self.state().room = room;
        }
    }

    impl Sink for Output {
        fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.state();
            let takes = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
            if takes == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.room = state.room.map(|room| room - takes);
            state.taken.extend_from_slice(&bytes[..takes]);
            Ok(takes)
        }

        fn reopen(&mut self) -> io::Result<()> {
            self.state().opened += 1;
            Ok(())
        }
    }

    fn lines(output: &Output) -> (Lines, mpsc::Receiver<String>) {
        let (told, hear) = mpsc::channel();
        let tell = move |lost: &Lost<'_>| {
            let text = match lost {
                Lost::Lines(lines) => format!("lost {lines}"),
                Lost::Unwritable(_) => "unwritable".to_owned(),
                Lost::NotReopened(_) => "not reopened".to_owned(),
            };
            // The test may have ended.
            let _ = told.send(text);
        };
        (Lines::to(output.clone(), SMALL, tell).expect("starts"), hear)
    }

    fn add(lines: &Lines, text: &str) {
        lines.append(|line| line.extend_from_slice(text.as_bytes()));
    }

    #[test]
    fn the_end_writes_out_what_is_left_and_later_lines_are_lost() {
        let output = Output::default();
        let (lines, _hear) = lines(&output);
        for n in 0..3 {
            add(&lines, &format!("line {n}"));
        }
        lines.close(PATIENCE);
        add(&lines, "late");
        assert_eq!(output.text(), "line 0\nline 1\nline 2\n");
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_written_when_there_is_room_again() {
        let output = Output::default();
        output.room(Some(4));
        let (lines, hear) = lines(&output);
        add(&lines, "line 0");
        assert_eq!(hear.recv_timeout(PATIENCE).as_deref(), Ok("unwritable"));
        add(&lines, "line 1");
        output.room(None);
        lines.close(PATIENCE);
        assert_eq!(output.text(), "line 0\nline 1\n", "not even the line that was cut off is lost");
    }

    #[test]
    fn lines_beyond_the_buffer_are_lost_and_counted() {
        let output = Output::default();
        output.room(Some(0));
        let (lines, hear) = lines(&output);
        add(&lines, "first");
        assert_eq!(hear.recv_timeout(PATIENCE).as_deref(), Ok("unwritable"));
        for _ in 0..30 {
            add(&lines, "123456789");
        }
        output.room(None);
        lines.close(PATIENCE);
        let lost = hear.try_iter().filter_map(|told| told.strip_prefix("lost ")?.parse::<u32>().ok());
        assert_eq!(lost.sum::<u32>(), 20, "100 bytes hold ten of the lines");
        assert_eq!(output.text().lines().count(), 11);
    }

    #[test]
    fn an_output_that_takes_nothing_does_not_hold_up_the_end() {
        let output = Output::default();
        output.room(Some(0));
        let (lines, hear) = lines(&output);
        add(&lines, "line 0");
        lines.close(PATIENCE);
        assert!(hear.iter().any(|told| told == "lost 1"));
    }

    /// An output that takes nothing until it is let go: a pipe that nobody reads.
    struct Stuck(mpsc::Receiver<()>);

    impl Sink for Stuck {
        fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // An error says that the other end is gone.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn reopen(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_stopped_holds_up_neither_lines_nor_the_end() {
        let (let_go, held) = mpsc::channel();
        let (told, hear) = mpsc::channel();
        let tell = move |lost: &Lost<'_>| {
            let Lost::Lines(lines) = lost else { return };
            // The test may have ended.
            let _ = told.send(*lines);
        };
        let lines = Lines::to(Stuck(held), SMALL, tell).expect("starts");
        for _ in 0..50 {
            add(&lines, "123456789");
        }
        lines.close(Duration::from_millis(1));
        drop(let_go);
        let lost: u64 = hear.iter().sum();
        // Ten wait in the buffer; so many are also on their way out, depending on when the writer woke.
        assert!((30..=40).contains(&lost), "{lost}");
    }

    #[test]
    fn a_line_that_was_cut_off_stands_whole_in_the_new_file() {
        let output = Output::default();
        output.room(Some(10));
        let (lines, hear) = lines(&output);
        add(&lines, "line 0");
        add(&lines, "line 1");
        while hear.recv_timeout(PATIENCE).as_deref() != Ok("unwritable") {}
        output.state().taken.clear();
        output.room(None);
        lines.reopen();
        lines.close(PATIENCE);
        assert_eq!((output.text().as_str(), output.state().opened), ("line 1\n", 1));
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("lines"), folder.path().join("lines.1"));
        let lines = Lines::to(LogFile::open(&path).expect("opens"), SMALL, |_| {}).expect("starts");
        std::fs::rename(&path, &moved).expect("moved");
        lines.reopen();
        add(&lines, "new");
        lines.close(PATIENCE);
        let read = |path| std::fs::read_to_string(path).expect("is there");
        assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("", "new\n"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("is there").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
