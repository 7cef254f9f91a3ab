//! What an earlier gateway has left running: adopted while its first process is alive, ended if that is gone.
//!
//! What does not answer yet has the kind's `start_timeout` to do so, as if it had just been started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::child::Process;
use super::record::Record;
use super::run::{Live, endpoint};
use super::{Entry, Host};
use crate::model::StartStep;
use crate::runtime::{Found, Seen};

/// Looks through the records. Takes at most the longest probe, or for what is left of a process that has ended the
/// longest grace and some seconds.
pub(super) async fn recover(host: &Arc<Host>) {
    let paths = match record_paths(&host.records()) {
        Ok(paths) => paths,
        Err(error) => {
            tracing::error!(folder = %host.records().display(), %error, "cannot look for leftovers");
            return;
        }
    };
    join_all(paths.iter().map(|path| recover_one(host, path))).await;
}

fn record_paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect())
}

async fn recover_one(host: &Arc<Host>, path: &Path) {
    match Record::read(path) {
        Err(error) => {
            tracing::error!(file = %path.display(), %error, "cannot read the record of a leftover; look for it by hand");
        }
        Ok(record) if !record.leader_is_alive() => end(host, record, path).await,
        Ok(record) if record.is_stopping() => adopt(host, record, Seen::Stopping),
        Ok(record) => {
            // No answer is not yet a reason to end it: right after a crash everything is slow.
            let is_ready = record.probe().ask().await.is_ok();
            let seen = if is_ready { Seen::Ready(endpoint(&record)) } else { Seen::Step(StartStep::Waiting) };
            adopt(host, record, seen);
        }
    }
}

/// Goes on with a run where the gateway before was: waiting for it, watching it or ending it.
fn adopt(host: &Arc<Host>, record: Record, seen: Seen) {
    let (id, stop, probe, endpoint) = (record.workspace(), CancellationToken::new(), record.probe(), endpoint(&record));
    let entry = Entry {
        profile: record.profile.clone(),
        started: record.started,
        seen: seen.clone(),
        port: Some(record.port),
        stop: stop.clone(),
    };
    host.entries().insert(id.clone(), entry);
    let live = Live {
        name: "it".to_owned(),
        pid: record.pid,
        group: record.group(),
        log: host.log_path(&id),
        stop_grace: record.stop_grace(),
        process: Process::Foreign(Box::new(record)),
    };
    let host_of_run = host.clone();
    host.follow(async move {
        let host = host_of_run;
        let result = match seen {
            Seen::Ready(_) => host.watch(&id, live, &stop).await,
            Seen::Step(_) => host.see_through(&id, live, &probe, endpoint, &stop).await,
            _ => {
                // A start has to wait until it is gone.
                stop.cancel();
                host.end(&id, live).await
            }
        };
        host.finish(&id, result).await;
    });
}

/// Ends what is left of a run whose first process is gone.
async fn end(host: &Arc<Host>, record: Record, path: &Path) {
    if let Some(group) = record.remains().await
        && !group.end(record.stop_grace()).await
    {
        return adopt(host, record, Seen::Stopping);
    }
    // A record that cannot be removed is looked at again at the next start.
    let _ = fs::remove_file(path);
    let found = Found {
        workspace: record.workspace(),
        profile: record.profile.clone(),
        started: record.started,
        seen: Seen::Exited(Ok(())),
    };
    host.ended.lock().unwrap_or_else(PoisonError::into_inner).push(found);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::{Child, Command};
    use std::time::Duration;

    use tokio::sync::mpsc::{self, Receiver};

    use super::super::ProcessRuntime;
    use super::super::probe::Probe;
    use super::super::record::Subject;
    use super::*;
    use crate::clock::SystemClock;
    use crate::model::{KindName, TenantId, Timestamp, UserId, WorkspaceId};
    use crate::runtime::{Observation, Runtime};

    /// A process that the signals to its run do not reach: it leads no group and carries no mark. To its run it looks
    /// as if it hung in the kernel.
    struct Deaf(Child);

    impl Deaf {
        fn start() -> Self {
            Self(Command::new("sleep").arg("600").spawn().expect("sleep is there"))
        }

        fn record(&self, workspace: &WorkspaceId) -> Record {
            let second = Duration::from_secs(1);
            let probe = Probe { port: 1, http_path: None, timeout: second, interval: second, patience: second };
            let (profile, pid, started) = (None, self.0.id(), Timestamp::from_secs(1));
            let subject = Subject { workspace, profile, pid, mark: "nobody's", started, stop_grace: second };
            Record::new(subject, &probe).expect("is there")
        }
    }

    impl Drop for Deaf {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    async fn seen(observations: &mut Receiver<Observation>) -> Seen {
        let next = tokio::time::timeout(Duration::from_secs(60), observations.recv()).await.expect("in time");
        next.expect("is told").seen
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlives_kill_is_on_its_way_down_until_it_is_gone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let workspace = WorkspaceId {
            tenant: TenantId::new("acme").expect("test tenant"),
            user: UserId::new("ada").expect("test user"),
            kind: KindName::new("ide").expect("test kind"),
        };
        let (told, mut observations) = mpsc::channel(16);
        let (clock, control) = (SystemClock::shared(), tokio::runtime::Handle::current());
        let runtime = ProcessRuntime::new(folder.path().to_owned(), BTreeMap::new(), clock, control, told);
        let (deaf, path) = (Deaf::start(), runtime.host.record_path(&workspace));
        deaf.record(&workspace).write(&path).expect("writes");
        runtime.stop(&workspace).await.expect("is accepted");
        assert_eq!(seen(&mut observations).await, Seen::Stopping);
        assert_eq!(seen(&mut observations).await, Seen::Stopping, "told again when KILL had no effect");
        let has: Vec<_> = runtime.list().await.expect("can tell").into_iter().map(|found| found.seen).collect();
        assert_eq!(has, [Seen::Stopping]);
        assert!(path.exists());
        drop(deaf);
        assert_eq!(seen(&mut observations).await, Seen::Exited(Ok(())));
        assert_eq!(runtime.list().await.expect("can tell"), []);
        assert!(!path.exists());
    }
}
