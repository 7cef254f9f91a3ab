//! The file of ended sessions: one line for each end, so that a cookie that was signed out stays so after a restart.
//!
//! A line is `session UNTIL ID`, `user UNTIL BEFORE TENANT USER` or `everybody BEFORE`, and for what an operator revoked
//! `revoked UNTIL BEFORE TENANT USER` (`*` for every tenant) or `revoked-everybody UNTIL BEFORE`, times in seconds. It is
//! written within a second, without waiting for the disk, and written anew when most of it is past. A line that cannot
//! be read is skipped; a write that fails is logged once and made good by the next one that works.
//!
//! While one gateway hands over to another both write to the file, and so does the command that revokes. Each adds lines
//! at its end, and a gateway reads what is new in it whenever its length is not what it left. Only who holds the lock
//! beside the file writes it anew, and reads it first; the command adds its line under that lock too, so that no line
//! is lost.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::claims::SessionId;
use super::{Whom, private_file};
use crate::model::{TenantId, Timestamp, UserId};

/// Lines beyond twice the live ones before the file is written anew.
const SLACK: usize = 1000;

/// Something that ended, until the cookies that it concerns are past by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// One session.
    Session { until: Timestamp, id: SessionId },
    /// Every session of a user that was opened before or at a time.
    User { until: Timestamp, before: Timestamp, tenant: TenantId, user: UserId },
    /// Every session that was opened before or at a time and is not in memory.
    Everybody { before: Timestamp },
    /// Every session that was opened, and every bearer token that was issued, before or at a time.
    Revoked { until: Timestamp, before: Timestamp, whom: Whom },
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { until, id } => write!(f, "session {} {}", until.as_secs(), id.to_hex()),
            Self::User { until, before, tenant, user } => {
                write!(f, "user {} {} {tenant} {user}", until.as_secs(), before.as_secs())
            }
            Self::Everybody { before } => write!(f, "everybody {}", before.as_secs()),
            Self::Revoked { until, before, whom } => {
                let (until, before) = (until.as_secs(), before.as_secs());
                match whom {
                    Whom::Everybody => write!(f, "revoked-everybody {until} {before}"),
                    Whom::User { tenant: None, user } => write!(f, "revoked {until} {before} * {user}"),
                    Whom::User { tenant: Some(tenant), user } => write!(f, "revoked {until} {before} {tenant} {user}"),
                }
            }
        }
    }
}

impl Mark {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        if kind == "everybody" {
            return Some(Self::Everybody { before: seconds(rest)? });
        }
        let (until, rest) = rest.split_once(' ')?;
        let until = seconds(until)?;
        if kind == "session" {
            return Some(Self::Session { until, id: SessionId::from_hex(rest)? });
        }
        if kind == "revoked-everybody" {
            return Some(Self::Revoked { until, before: seconds(rest)?, whom: Whom::Everybody });
        }
        let (before, rest) = rest.split_once(' ')?;
        let (tenant, user) = rest.split_once(' ')?;
        let (before, user) = (seconds(before)?, UserId::new(user).ok()?);
        match (kind, tenant) {
            ("user", tenant) => Some(Self::User { until, before, tenant: TenantId::new(tenant).ok()?, user }),
            ("revoked", "*") => Some(Self::Revoked { until, before, whom: Whom::User { tenant: None, user } }),
            ("revoked", tenant) => {
                let tenant = Some(TenantId::new(tenant).ok()?);
                Some(Self::Revoked { until, before, whom: Whom::User { tenant, user } })
            }
            _ => None,
        }
    }
}

pub(super) fn seconds(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_secs)
}

/// The file, and what is still to be written to it.
pub(super) struct Journal {
    path: PathBuf,
    pending: Mutex<Vec<Mark>>,
    changed: Notify,
    file: Mutex<FileState>,
}

struct FileState {
    lines: usize,
    /// Its length when it was last read or written here; another length is another gateway's doing.
    length: u64,
    /// It ends within a line.
    cut: bool,
    /// It could not be read, or the last write failed: it has to be written anew.
    behind: bool,
}

impl FileState {
    fn of(text: &str) -> Self {
        let cut = !text.is_empty() && !text.ends_with('\n');
        Self { lines: text.lines().count(), length: text.len() as u64, cut, behind: false }
    }
}

impl Journal {
    /// Reads the file. An error means that what had ended is not known; the journal works all the same.
    pub(super) fn open(path: &Path) -> (Self, io::Result<Vec<Mark>>) {
        let text = private_file::read(path);
        let unread = FileState { lines: 0, length: 0, cut: false, behind: true };
        let file = text.as_ref().map_or(unread, |text| FileState::of(text));
        let marks = text.map(|text| parse(path, &text));
        let file = Mutex::new(file);
        (Self { path: path.to_owned(), pending: Mutex::default(), changed: Notify::new(), file }, marks)
    }

    /// What the file says, if another gateway has written to it since; else nothing. Blocks.
    pub(super) fn written_by_others(&self) -> Vec<Mark> {
        let mut file = lock(&self.file);
        if std::fs::metadata(&self.path).map_or(0, |data| data.len()) == file.length {
            return Vec::new();
        }
        // Whoever cannot read it now finds another length the next time too.
        let Ok(text) = private_file::read(&self.path) else { return Vec::new() };
        *file = FileState { behind: file.behind, ..FileState::of(&text) };
        parse(&self.path, &text)
    }

    /// Takes a mark for writing. Does not touch the disk.
    pub(super) fn add(&self, mark: Mark) {
        lock(&self.pending).push(mark);
        self.changed.notify_one();
    }

    /// Waits until there is something to write.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The right to write the file anew; `None` while somebody else has it, or where that cannot be told. Does not wait.
    pub(super) fn try_lock(&self) -> Option<std::fs::File> {
        let lock = private_file::lock_beside(&self.path).ok()?;
        lock.try_lock().is_ok().then_some(lock)
    }

    /// Writes what is pending; `live` tells all marks that still matter, for writing the file anew, which is done only
    /// if that `may` be. Blocks.
    pub(super) fn flush(&self, may: bool, live: impl FnOnce() -> Vec<Mark>) {
        let mut file = lock(&self.file);
        let pending = std::mem::take(&mut *lock(&self.pending));
        if file.behind && !may {
            // What was pending is among the live marks that are written the next time.
            return;
        }
        let live = if file.behind || may && file.lines + pending.len() > SLACK { Some(live()) } else { None };
        let anew = live.filter(|live| file.behind || file.lines + pending.len() > 2 * live.len() + SLACK);
        let written = match &anew {
            Some(live) => {
                let text = text(live);
                private_file::replace(&self.path, &text).map(|()| FileState::of(&text))
            }
            None if pending.is_empty() => return,
            None => {
                let text = if file.cut { format!("\n{}", text(&pending)) } else { text(&pending) };
                let (lines, length) = (file.lines + pending.len(), file.length + text.len() as u64);
                private_file::append(&self.path, &text).map(|()| FileState { lines, length, ..FileState::of("") })
            }
        };
        match written {
            Ok(state) => *file = state,
            Err(error) => {
                if !file.behind {
                    tracing::error!(file = %self.path.display(), %error, "cannot keep ended sessions; will try again");
                }
                file.behind = true;
            }
        }
    }
}

fn parse(path: &Path, text: &str) -> Vec<Mark> {
    let marks: Vec<_> = text.lines().filter_map(Mark::parse).collect();
    let broken = text.lines().filter(|line| !line.is_empty()).count() - marks.len();
    if broken > 0 {
        tracing::warn!(file = %path.display(), lines = broken, "skipped unreadable lines of ended sessions");
    }
    marks
}

fn text(marks: &[Mark]) -> String {
    use fmt::Write as _;
    marks.iter().fold(String::new(), |mut text, mark| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{mark}");
        text
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
