//! Applies a changed configuration file while the gateway runs.
//!
//! A file with problems is refused whole: what is in force stays, and log, metric and `/readyz` say so.
//! Changes are noticed by watching the folders of all files that the configuration names (a Kubernetes ConfigMap
//! swaps a symlink, so the file itself is not enough), by SIGHUP, and by a slow poll; what counts is the content.
//! The files of a configuration that was refused are watched too: what it lacked may come.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::Health;
use crate::audit::{Action, Audit, By, Event};
use crate::config::{self, Fingerprint, Loaded, Report};
use crate::metrics::Metrics;

/// Editors and mounts write in several steps; what comes within this time is one change.
const SETTLE: Duration = Duration::from_millis(300);
/// Where nothing reports changes (network file systems), they are found this late at the latest.
const POLL: Duration = Duration::from_secs(30);

/// Watches one configuration file and everything that it names.
pub struct Reload<A> {
    path: PathBuf,
    /// What was read at the last look, whether it was put in force or refused.
    read: Fingerprint,
    /// Why the last look was in vain; empty if what it found is in force.
    problems: Vec<String>,
    apply: Arc<A>,
    metrics: Arc<Metrics>,
    health: Health,
    audit: Audit,
}

/// Why the files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Something has happened to one of them.
    Notice,
    /// Nobody has looked for a while.
    Poll,
    /// An operator says so.
    Hangup,
}

impl<A: Fn(Loaded) -> Result<Vec<&'static str>, String> + Send + Sync + 'static> Reload<A> {
    /// Watches the file at `path`, from which `loaded` is in force. `apply` puts a new one in force and names the
    /// keys that need a restart, or says why it cannot; it may block.
    pub fn new(path: PathBuf, loaded: &Loaded, metrics: Arc<Metrics>, health: Health, apply: A) -> Self {
        let (read, problems) = (loaded.read.clone(), Vec::new());
        Self { path, read, problems, apply: Arc::new(apply), metrics, health, audit: Audit::off() }
    }

    /// Records on `audit` what was applied and what was refused.
    #[must_use]
    pub fn audited(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// Watches until `stop`; each message on `hangup` (SIGHUP) looks at once.
    pub async fn run(mut self, mut hangup: mpsc::Receiver<()>, stop: CancellationToken) {
        // One waiting notice is enough: it stands for whatever has changed by the time it is read.
        let (notice, mut noticed) = mpsc::channel(1);
        // Held for what it does, not for what it says: dropped, it reports nothing more.
        let mut _watcher = self.watcher(notice.clone());
        let mut cause = Cause::Notice;
        loop {
            // Looked at once more as soon as it is watched: what has changed in between was reported by nobody.
            while self.look(cause).await {
                _watcher = self.watcher(notice.clone());
                cause = Cause::Notice;
            }
            cause = tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = noticed.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    Cause::Notice
                }
                Some(()) = hangup.recv() => Cause::Hangup,
                () = tokio::time::sleep(POLL) => Cause::Poll,
            }
        }
    }

    /// Applies the configuration if there is cause to; returns whether it was read anew, so that other files may
    /// have to be watched.
    async fn look(&mut self, cause: Cause) -> bool {
        // What was refused may have become right without a change of what was read.
        let must = cause != Cause::Notice && !self.problems.is_empty();
        let (path, read) = (self.path.clone(), self.read.clone());
        let look = move || (must || read.now() != read).then(|| config::check(&path));
        let Ok(Some(checked)) = tokio::task::spawn_blocking(look).await else { return false };
        match checked {
            Ok(loaded) => {
                self.read = loaded.read.clone();
                self.put_in_force(loaded).await;
            }
            Err(report) => {
                let same = lines(&report) == self.problems && cause == Cause::Poll;
                if same && report.read == self.read {
                    return false;
                }
                self.read = report.read.clone();
                self.refuse(lines(&report));
            }
        }
        true
    }

    async fn put_in_force(&mut self, loaded: Loaded) {
        let apply = self.apply.clone();
        let applied = tokio::task::spawn_blocking(move || apply(loaded)).await;
        match applied.unwrap_or_else(|error| Err(format!("applying it broke off: {error}"))) {
            Ok(restart) => {
                if restart.is_empty() {
                    tracing::info!(file = %self.path.display(), "configuration applied");
                } else {
                    tracing::warn!(keys = restart.join(", "), "configuration applied; these keys need a restart");
                }
                self.problems.clear();
                self.audit.record(applied_event(&restart));
                self.metrics.config_applied();
                self.health.config_applied(restart);
            }
            Err(reason) => self.refuse(vec![reason]),
        }
    }

    fn refuse(&mut self, problems: Vec<String>) {
        for problem in &problems {
            tracing::error!(%problem, "configuration refused; the old one stays in force");
        }
        self.problems.clone_from(&problems);
        self.audit.record(refused_event(&problems));
        self.metrics.config_refused();
        self.health.config_refused(problems);
    }

    /// Reports changes in the folders of all files. Without it (no inotify left) the poll finds them.
    fn watcher(&self, notice: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // Full means that a notice waits already.
                let _ = notice.try_send(());
            }
        })
        .inspect_err(|error| tracing::warn!(%error, "cannot watch files; looking at them each 30 s"))
        .ok()?;
        let folders: BTreeSet<&Path> = self.read.files().filter_map(Path::parent).collect();
        for folder in folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %folder.display(), %error, "cannot watch a folder; looking at it each 30 s");
            }
        }
        Some(watcher)
    }
}

fn applied_event(restart: &[&str]) -> Event {
    let event = Event::new(Action::ConfigReload).by(By::Configuration);
    if restart.is_empty() { event } else { event.detail(&format!("needs a restart: {}", restart.join(", "))) }
}

/// The first problem stands for all; `/readyz` has them.
fn refused_event(problems: &[String]) -> Event {
    let event = Event::new(Action::ConfigReload).by(By::Configuration).refused("invalid");
    let event = event.count(problems.len() as u64);
    problems.iter().take(1).fold(event, |event, problem| event.detail(problem))
}

/// A sentence for each finding, without the count that ends a report for people.
fn lines(report: &Report) -> Vec<String> {
    report.problems.iter().map(ToString::to_string).collect()
}
