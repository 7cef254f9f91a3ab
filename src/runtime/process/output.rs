//! What a workspace writes: a file that the child has open itself, bounded in size, and its last lines.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Lines that are shown of a failure.
const TAIL_LINES: usize = 50;
/// Bytes that are shown of a line.
const LINE_BYTES: usize = 500;
/// Bytes that are read for the tail; 50 lines of 500 bytes are 25,000, and longer lines are cut.
const TAIL_BYTES: u64 = 64 * 1024;
/// Size from which a log is emptied. With the log of the run before that is 16 MiB for each workspace, 125 GiB for
/// 8,000 of them, and what is written between two looks.
const MAX_LOG: u64 = 8 * 1024 * 1024;
/// Time between two looks at the size. What a child writes in between is not bounded.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A fresh log at `path`; the one before it is kept beside it as `.previous`.
///
/// # Errors
/// Returns an error if the folder or the file cannot be made.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        make_private_folder(folder)?;
    }
    match fs::rename(path, path.with_extension("log.previous")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Append: after the file was emptied the child goes on at its start.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Makes a folder, and those above it, that nobody else may look into.
///
/// # Errors
/// Returns an error if it cannot be made.
pub(super) fn make_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Empties a log that has grown beyond its bound.
///
/// # Errors
/// Returns an error if the file cannot be read or changed.
pub(super) fn bound(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.len() > MAX_LOG {
        OpenOptions::new().write(true).open(path)?.set_len(0)?;
    }
    Ok(())
}

/// Empties the log at `path` whenever it is too large, until it is dropped.
pub(super) async fn keep_bounded(path: &Path) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        if let Err(error) = bound(path) {
            tracing::debug!(file = %path.display(), %error, "cannot bound a log");
        }
    }
}

/// The last lines of a log; none if it cannot be read.
pub(super) fn tail(path: &Path) -> Vec<String> {
    read_end(path).map(|end| last_lines(&end)).unwrap_or_default()
}

fn read_end(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut end)?;
    Ok(end)
}

/// Lines as text without control characters, as they go on a page and into a terminal.
fn last_lines(end: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(end);
    let lines: Vec<_> = text.lines().map(plain).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}

fn plain(line: &str) -> String {
    let mut plain: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
    plain.truncate(plain.floor_char_boundary(LINE_BYTES));
    plain.truncate(plain.trim_end().len());
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_tail_is_fifty_lines_of_five_hundred_bytes_without_control_characters() {
        let mut log: Vec<u8> = (0..100).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        log.extend("\u{1b}[31mred\u{1b}[0m\r\n\n\n".bytes());
        log.extend("界".repeat(1000).bytes());
        let lines = last_lines(&log);
        assert_eq!(lines.len(), 50);
        assert_eq!(lines[0], "line 52");
        assert_eq!(lines[48], "[31mred[0m");
        assert_eq!(lines[49], "界".repeat(166));
    }

    #[test]
    fn a_log_that_is_emptied_goes_on_at_its_start() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("logs").join("a.log");
        let mut log = open(&path).expect("opens");
        log.write_all(&vec![b'x'; usize::try_from(MAX_LOG + 1).expect("fits")]).expect("writes");
        bound(&path).expect("bounds");
        log.write_all(b"after\n").expect("writes");
        assert_eq!(fs::metadata(&path).expect("is there").len(), 6);
        assert_eq!(tail(&path), ["after"]);
    }

    #[test]
    fn the_log_of_the_run_before_is_kept() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a.log");
        open(&path).expect("opens").write_all(b"first").expect("writes");
        open(&path).expect("opens").write_all(b"second").expect("writes");
        assert_eq!(tail(&folder.path().join("a.log.previous")), ["first"]);
        assert_eq!(tail(&path), ["second"]);
    }
}
