//! Where access-log lines go.

use std::io::Write;
use std::sync::Arc;

use crate::lines::{Lines, Lost, Settings};

/// 4 MiB hold some 10,000 lines, which a reader may lag behind before lines are lost. The writer takes many at once.
const SETTINGS: Settings = Settings { name: "access-log", most: 4 * 1024 * 1024, wake_at: 64 * 1024 };

/// Where access-log lines go. Dropping the last handle writes out what is left.
#[derive(Debug)]
pub struct AccessLog(Option<Lines>);

impl AccessLog {
    /// Writes lines to `output` from a thread of its own.
    ///
    /// # Errors
    /// Returns an error if no thread can be started.
    pub fn to(output: Box<dyn Write + Send>) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self(Some(Lines::to(output, SETTINGS, warn)?))))
    }

    /// Writes no lines; requests are still counted.
    #[must_use]
    pub fn off() -> Arc<Self> {
        Arc::new(Self(None))
    }

    /// Adds one line, without its end.
    pub(super) fn append(&self, write_line: impl FnOnce(&mut Vec<u8>)) {
        if let Some(lines) = &self.0 {
            lines.append(write_line);
        }
    }
}

fn warn(lost: &Lost<'_>) {
    match lost {
        Lost::Lines(lines) => tracing::warn!(lines, "access log could not keep up; lines were dropped"),
        Lost::Unwritable(error) | Lost::NotReopened(error) => {
            tracing::warn!(%error, "access log cannot be written; its lines wait until it can");
        }
    }
}
