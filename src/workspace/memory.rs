//! What outlives a gateway: when and why each workspace last stopped, and when somebody was last there.
//!
//! One JSON file in the state folder, read when workspaces are taken over, written whole to a neighbour and renamed, at most once in
//! [`SETTLE`]. What cannot be read or written is logged and costs a sentence on a page, nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::model::{Evidence, KindName, ProfileName, StopReason, TenantId, Timestamp, UserId, WorkspaceId};

/// Most workspaces that are remembered, some 200 bytes each; the ones that stopped first are forgotten first.
const MAX_REMEMBERED: usize = 50_000;
/// How long changes are gathered before they are written.
const SETTLE: Duration = Duration::from_secs(1);

/// What is remembered of one workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) profile: Option<ProfileName>,
    pub(super) last_stop: Option<(Timestamp, StopReason)>,
    pub(super) human: Option<Evidence>,
    pub(super) work: Option<Evidence>,
}

/// Everything that is remembered. The lock is held for look-ups and copies only.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    known: Mutex<BTreeMap<WorkspaceId, Remembered>>,
    changed: Notify,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    tenant: TenantId,
    user: UserId,
    kind: KindName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<ProfileName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_stop: Option<(Timestamp, StopReason)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    human: Option<Evidence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work: Option<Evidence>,
}

impl Memory {
    /// Reads what an earlier gateway wrote to `path`. Blocks on the disk.
    pub(super) fn read(path: PathBuf) -> Self {
        let known = read_file(&path).unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "cannot read why workspaces stopped; going on without");
            BTreeMap::new()
        });
        Self { path, known: Mutex::new(known), changed: Notify::new(), writing: tokio::sync::Mutex::new(()) }
    }

    /// Takes what another gateway has written since for what is known. Blocks on the disk.
    pub(super) fn read_again(&self) {
        let written = Self::read(self.path.clone()).known.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = written;
    }

    pub(super) fn recall(&self, id: &WorkspaceId) -> Remembered {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned().unwrap_or_default()
    }

    pub(super) fn note(&self, id: &WorkspaceId, change: impl FnOnce(&mut Remembered)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(known.entry(id.clone()).or_default());
        forget_beyond(&mut known, MAX_REMEMBERED);
        self.changed.notify_one();
    }

    /// Writes changes as they come, until it is dropped.
    pub(super) async fn keep_written(&self) {
        loop {
            self.changed.notified().await;
            tokio::time::sleep(SETTLE).await;
            self.write().await;
        }
    }

    /// Writes what is known now.
    pub(super) async fn write(&self) {
        let _one_at_a_time = self.writing.lock().await;
        let (path, lines) = (self.path.clone(), self.lines());
        let written = tokio::task::spawn_blocking(move || write_file(&path, &lines)).await;
        // An error of the join: the tokio runtime is going away, and there is nobody left to write for.
        if let Ok(Err(error)) = written {
            tracing::warn!(file = %self.path.display(), %error, "cannot write why workspaces stopped");
        }
    }

    fn lines(&self) -> Vec<Line> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(id, remembered)| Line::new(id, remembered)).collect()
    }
}

fn forget_beyond(known: &mut BTreeMap<WorkspaceId, Remembered>, most: usize) {
    while known.len() > most {
        let stopped = |remembered: &Remembered| remembered.last_stop.as_ref().map(|(at, _)| *at);
        let Some(oldest) = known.iter().min_by_key(|(_, r)| stopped(r)).map(|(id, _)| id.clone()) else { return };
        known.remove(&oldest);
    }
}

impl Line {
    fn new(id: &WorkspaceId, remembered: &Remembered) -> Self {
        let Remembered { profile, last_stop, human, work } = remembered.clone();
        let WorkspaceId { tenant, user, kind } = id.clone();
        Self { tenant, user, kind, profile, last_stop, human, work }
    }

    fn split(self) -> (WorkspaceId, Remembered) {
        let Self { tenant, user, kind, profile, last_stop, human, work } = self;
        (WorkspaceId { tenant, user, kind }, Remembered { profile, last_stop, human, work })
    }
}

fn read_file(path: &Path) -> io::Result<BTreeMap<WorkspaceId, Remembered>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        read => read?,
    };
    let lines: Vec<Line> = serde_json::from_slice(&bytes)?;
    Ok(lines.into_iter().map(Line::split).collect())
}

fn write_file(path: &Path, lines: &[Line]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec(lines)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ActivitySource;

    fn id(user: &str) -> WorkspaceId {
        WorkspaceId {
            tenant: TenantId::new("acme").expect("test tenant"),
            user: UserId::new(user).expect("test user"),
            kind: KindName::new("ide").expect("test kind"),
        }
    }

    #[tokio::test]
    async fn what_is_noted_is_there_after_a_restart() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("workspaces.json");
        let memory = Memory::read(path.clone());
        let stop = (Timestamp::from_secs(9), StopReason::HumanIdle { after_secs: 1800 });
        let human = Evidence { at: Timestamp::from_secs(8), source: ActivitySource::WebSocket };
        memory.note(&id("ada"), |known| {
            known.last_stop = Some(stop.clone());
            known.human = Some(human);
        });
        memory.write().await;
        let again = Memory::read(path).recall(&id("ada"));
        assert_eq!(again, Remembered { last_stop: Some(stop), human: Some(human), ..Remembered::default() });
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_as_good_as_none() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("workspaces.json");
        fs::write(&path, "{ half a fi").expect("writes");
        assert_eq!(Memory::read(path).recall(&id("ada")), Remembered::default());
    }

    #[test]
    fn the_longest_stopped_are_forgotten_first() {
        let stopped = |secs| Remembered {
            last_stop: Some((Timestamp::from_secs(secs), StopReason::User)),
            ..Remembered::default()
        };
        let mut known = BTreeMap::from([(id("ada"), stopped(3)), (id("bob"), stopped(1)), (id("cyd"), stopped(2))]);
        forget_beyond(&mut known, 2);
        assert_eq!(known.into_keys().collect::<Vec<_>>(), [id("ada"), id("cyd")]);
    }
}
