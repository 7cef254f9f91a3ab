//! One small file for each running workspace, so that the next gateway finds what a killed one has left.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::group::{self, Group};
use super::output::make_private_folder;
use super::probe::Probe;
use crate::model::{InstanceId, KindName, ProfileName, TenantId, Timestamp, UserId, WorkspaceId};

/// What has to be known of a process to take it over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    tenant: TenantId,
    user: UserId,
    kind: KindName,
    pub(super) profile: Option<ProfileName>,
    pub(super) pid: u32,
    start_ticks: u64,
    boot: String,
    pub(super) port: u16,
    pub(super) instance: InstanceId,
    mark: String,
    pub(super) started: Timestamp,
    stop_grace_ms: u64,
    http_path: Option<String>,
    probe_timeout_ms: u64,
    probe_interval_ms: u64,
    start_timeout_ms: u64,
    /// Whether it was being ended; whoever finds it goes on with that.
    stopping: bool,
}

/// Which process a record is of, and what it is for.
pub(super) struct Subject<'a> {
    pub(super) workspace: &'a WorkspaceId,
    pub(super) profile: Option<ProfileName>,
    pub(super) pid: u32,
    pub(super) mark: &'a str,
    pub(super) started: Timestamp,
    pub(super) stop_grace: Duration,
}

impl Record {
    /// A record of a process that has just been started and is not reaped yet.
    ///
    /// # Errors
    /// Returns an error if there is no such process.
    pub(super) fn new(subject: Subject<'_>, probe: &Probe) -> io::Result<Self> {
        let Subject { workspace, profile, pid, mark, started, stop_grace } = subject;
        let start_ticks = group::stat(pid).ok_or(io::ErrorKind::NotFound)?.start_ticks;
        let WorkspaceId { tenant, user, kind } = workspace.clone();
        Ok(Self {
            tenant,
            user,
            kind,
            profile,
            pid,
            start_ticks,
            boot: group::boot_id(),
            port: probe.port,
            instance: InstanceId::new(&format!("{pid}-{start_ticks}-{mark}")).map_err(io::Error::other)?,
            mark: mark.to_owned(),
            started,
            stop_grace_ms: millis(stop_grace),
            http_path: probe.http_path.clone(),
            probe_timeout_ms: millis(probe.timeout),
            probe_interval_ms: millis(probe.interval),
            start_timeout_ms: millis(probe.patience),
            stopping: false,
        })
    }

    pub(super) fn workspace(&self) -> WorkspaceId {
        WorkspaceId { tenant: self.tenant.clone(), user: self.user.clone(), kind: self.kind.clone() }
    }

    pub(super) fn probe(&self) -> Probe {
        Probe {
            port: self.port,
            http_path: self.http_path.clone(),
            timeout: Duration::from_millis(self.probe_timeout_ms),
            interval: Duration::from_millis(self.probe_interval_ms),
            patience: Duration::from_millis(self.start_timeout_ms),
        }
    }

    pub(super) const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Writes down at `path` that the run on record there is being ended.
    ///
    /// # Errors
    /// Returns an error if there is no record or it cannot be written.
    pub(super) fn note_stopping(path: &Path) -> io::Result<()> {
        Self { stopping: true, ..Self::read(path)? }.write(path)
    }

    pub(super) const fn stop_grace(&self) -> Duration {
        Duration::from_millis(self.stop_grace_ms)
    }

    /// Whether the very process of this record is alive.
    pub(super) fn leader_is_alive(&self) -> bool {
        self.is_of_this_boot()
            && group::stat(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.is_living())
    }

    /// Everything of its run.
    pub(super) fn group(&self) -> Group {
        Group::of_leader(self.pid, self.start_ticks, &self.mark)
    }

    /// What is left of its run, if anything is.
    pub(super) async fn remains(&self) -> Option<Group> {
        let group = self.group();
        (self.is_of_this_boot() && group.is_alive().await).then_some(group)
    }

    fn is_of_this_boot(&self) -> bool {
        self.boot == group::boot_id()
    }

    /// Reads one record.
    ///
    /// # Errors
    /// Returns an error if it cannot be read or understood.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// Writes it whole to a neighbour of `path` and renames that.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            make_private_folder(folder)?;
        }
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&fresh, path)
    }
}

/// A name that no other run has ever had: 64 random bits.
///
/// # Errors
/// Returns an error if there is no randomness.
pub(super) fn fresh_mark() -> io::Result<String> {
    let mut random = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let workspace = WorkspaceId {
            tenant: TenantId::new("acme").expect("test tenant"),
            user: UserId::new("ada").expect("test user"),
            kind: KindName::new("ide").expect("test kind"),
        };
        let subject = Subject {
            workspace: &workspace,
            profile: None,
            pid: std::process::id(),
            mark: "0123456789abcdef",
            started: Timestamp::from_secs(1),
            stop_grace: Duration::from_secs(3),
        };
        let probe = Probe {
            port: 4711,
            http_path: Some("/".to_owned()),
            timeout: Duration::from_secs(2),
            interval: Duration::from_millis(500),
            patience: Duration::from_secs(90),
        };
        Record::new(subject, &probe).expect("this process is there")
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("processes").join("a.json");
        let record = record();
        record.write(&path).expect("writes");
        assert_eq!(Record::read(&path).expect("reads"), record);
        Record::note_stopping(&path).expect("writes");
        assert_eq!(Record::read(&path).expect("reads"), Record { stopping: true, ..record });
    }

    #[tokio::test]
    async fn a_process_that_got_the_same_id_later_is_not_taken_for_the_one_on_record() {
        let own = record();
        assert!(own.leader_is_alive());
        let reused = Record { start_ticks: own.start_ticks + 1, ..own.clone() };
        assert!(!reused.leader_is_alive());
        assert_eq!(reused.remains().await, None);
        let before_boot = Record { boot: "another".to_owned(), ..own };
        assert!(!before_boot.leader_is_alive());
        assert_eq!(before_boot.remains().await, None);
    }
}
