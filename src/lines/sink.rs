//! Where lines are written to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// An output of lines. Used by one thread.
pub trait Sink: Send {
    /// Writes some of `bytes`, and tells how many.
    ///
    /// # Errors
    /// Returns an error if nothing could be written.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Opens the output anew, where there is something to open.
    ///
    /// # Errors
    /// Returns an error if it cannot be opened; then the old one is used on.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A stream that the process was given. There is nothing to open.
impl Sink for Box<dyn Write + Send> {
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A stream that keeps a part of a line back would mix with what others write to it.
        self.write_all(bytes)?;
        self.flush()?;
        Ok(bytes.len())
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that lines are added to, readable by its owner only. Two processes may add to it at the same time.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Returns an error if it cannot be opened for writing.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append_to(path)? })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Sink for LogFile {
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    /// A file that was moved away is left, and one of its old name is made.
    fn reopen(&mut self) -> io::Result<()> {
        self.file = append_to(&self.path)?;
        Ok(())
    }
}
