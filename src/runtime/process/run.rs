//! One run of a workspace, from its order to its end.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::child::Process;
use super::group::{self, Group, MARK_NAME};
use super::output;
use super::probe::Probe;
use super::record::{Record, Subject, fresh_mark};
use super::template::{self, Values};
use super::{Host, failure};
use crate::config::{ProcessSettings, Span};
use crate::model::{Endpoint, Failure, FailureClass, StartStep, WorkspaceId};
use crate::runtime::{Seen, StartOrder};

/// A run that has been ordered.
pub(super) struct Run {
    host: Arc<Host>,
    order: StartOrder,
    process: ProcessSettings,
    stop: CancellationToken,
}

/// A process that was started or taken over, with what is needed to watch and end it.
pub(super) struct Live {
    /// What to call it in a failure.
    pub(super) name: String,
    pub(super) process: Process,
    pub(super) pid: u32,
    pub(super) group: Group,
    pub(super) log: PathBuf,
    pub(super) stop_grace: Duration,
}

/// How the time until readiness ended.
enum Waited {
    Ready,
    Stopped,
    Exited(Option<ExitStatus>),
    TooLong(String),
}

impl Run {
    pub(super) fn new(host: Arc<Host>, order: StartOrder, process: ProcessSettings, stop: CancellationToken) -> Self {
        Self { host, order, process, stop }
    }

    /// Starts it, watches it, ends what is left of it, and tells.
    pub(super) async fn carry_out(self) {
        let id = &self.order.workspace;
        let result = self.live().await;
        self.host.finish(id, result).await;
    }

    async fn live(&self) -> Result<(), Failure> {
        let id = &self.order.workspace;
        let port = self.host.claim_port(id).map_err(|error| self.unprepared("a port", &error))?;
        let probe = self.probe(port);
        let mark = fresh_mark().map_err(|error| self.unprepared("a mark", &error))?;
        // No await in between: what runs is on record, whenever this task is dropped.
        let live = self.spawn(port, &mark)?;
        let recorded = self.put_on_record(&live, &mark, &probe);
        self.host.tell(id, Seen::Step(StartStep::Created)).await;
        let endpoint = match recorded {
            Ok(record) => endpoint(&record),
            Err(error) => return self.unrecorded(live, &error).await,
        };
        self.host.tell(id, Seen::Step(StartStep::Waiting)).await;
        self.host.see_through(id, live, &probe, endpoint, &self.stop).await
    }

    fn probe(&self, port: u16) -> Probe {
        let readiness = &self.process.readiness;
        Probe {
            port,
            http_path: readiness.http_path.clone(),
            timeout: readiness.timeout.0,
            interval: readiness.interval.0,
            patience: self.order.kind.start_timeout.0,
        }
    }

    /// Starts the process in its home, with nothing of the gateway's but what the kind passes on.
    fn spawn(&self, port: u16, mark: &str) -> Result<Live, Failure> {
        let id = &self.order.workspace;
        let home = template::home(self.process.home.as_deref(), &self.host.state_dir, id);
        output::make_private_folder(&home).map_err(|error| self.unprepared(&home.display().to_string(), &error))?;
        let log = self.host.log_path(id);
        let output = output::open(&log).map_err(|error| self.unprepared(&log.display().to_string(), &error))?;
        let again = output.try_clone().map_err(|error| self.unprepared("its log", &error))?;
        let profile = self.order.profile.as_ref().map_or("", |profile| profile.as_str());
        let values = Values { workspace: id, profile, port, home: &home };
        let mut words = self.process.command.iter().map(|word| values.fill(word));
        let program = words.next().ok_or_else(|| failure(FailureClass::NotRunnable, "its command is empty".into()))?;
        let child = Command::new(&program)
            .args(words)
            .env_clear()
            .envs(values.environment(&self.order.kind, self.passed_environment()))
            .env(MARK_NAME, mark)
            .current_dir(&home)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(again)
            .spawn()
            .map_err(|error| not_runnable(&program, &error))?;
        let pid = child.id().ok_or_else(|| failure(FailureClass::Runtime, "a new process has no id".into()))?;
        // Not reaped yet, so that it is there, were it dead already.
        let ticks = group::stat(pid).map_or(0, |stat| stat.start_ticks);
        let (group, stop_grace) = (Group::of_leader(pid, ticks, mark), self.process.stop_grace.0);
        Ok(Live { name: format!("`{program}`"), process: Process::Child(child), pid, group, log, stop_grace })
    }

    fn passed_environment(&self) -> impl Iterator<Item = (String, String)> {
        let passed = self.process.pass_environment.iter();
        passed.filter_map(|name| Some((name.clone(), self.host.environment.get(name)?.clone())))
    }

    fn put_on_record(&self, live: &Live, mark: &str, probe: &Probe) -> io::Result<Record> {
        let id = &self.order.workspace;
        let subject = Subject {
            workspace: id,
            profile: self.order.profile.clone(),
            pid: live.pid,
            mark,
            started: self.host.clock.now(),
            stop_grace: live.stop_grace,
        };
        let record = Record::new(subject, probe)?;
        record.write(&self.host.record_path(id))?;
        Ok(record)
    }

    /// What is not on record would outlive a killed gateway unseen.
    async fn unrecorded(&self, mut live: Live, error: &io::Error) -> Result<(), Failure> {
        let id = &self.order.workspace;
        // It may have ended before it could be looked at; then that is the story to tell.
        let ended_already = tokio::time::timeout(Duration::ZERO, live.process.ended()).await;
        if let Ok(status) = ended_already {
            return Err(self.host.crashed_at_start(id, live, status).await);
        }
        let detail = self.unprepared("its record", error).detail;
        Err(self.host.fail(id, live, FailureClass::Runtime, detail).await)
    }

    fn unprepared(&self, what: &str, error: &io::Error) -> Failure {
        let detail = format!("cannot make {what} for workspace {}: {error}", self.order.workspace);
        failure(FailureClass::Runtime, detail)
    }
}

impl Host {
    /// Waits until a run is ready, and watches it from there.
    pub(super) async fn see_through(
        &self,
        id: &WorkspaceId,
        mut live: Live,
        probe: &Probe,
        endpoint: Endpoint,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        match live.wait_until_ready(probe, stop).await {
            Waited::Ready => {}
            Waited::Stopped => return self.end(id, live).await,
            Waited::Exited(status) => return Err(self.crashed_at_start(id, live, status).await),
            Waited::TooLong(why) => return Err(self.not_ready(id, live, probe, &why).await),
        }
        self.tell(id, Seen::Ready(endpoint)).await;
        self.watch(id, live, stop).await
    }

    /// Watches a run that is ready until it ends or has to.
    pub(super) async fn watch(
        &self,
        id: &WorkspaceId,
        mut live: Live,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let log = live.log.clone();
        let status = tokio::select! {
            biased;
            () = stop.cancelled() => return self.end(id, live).await,
            status = live.process.ended() => status,
            () = output::keep_bounded(&log) => None,
        };
        match status {
            Some(status) if status.success() => {
                self.clear_away(id, live).await;
                Ok(())
            }
            Some(status) => Err(self.fail(id, live, FailureClass::Crashed, format!("ended with {status}")).await),
            None => {
                let detail = "ended; with what status is not known, as an earlier gateway had started it".to_owned();
                Err(self.fail(id, live, FailureClass::Crashed, detail).await)
            }
        }
    }

    /// Ends a run that has to stop. That is on record first: whoever finds it goes on with it.
    pub(super) async fn end(&self, id: &WorkspaceId, live: Live) -> Result<(), Failure> {
        if let Err(error) = Record::note_stopping(&self.record_path(id)) {
            tracing::warn!(workspace = %id, %error, "cannot note on its record that a run is being stopped");
        }
        self.tell(id, Seen::Stopping).await;
        self.clear_away(id, live).await;
        Ok(())
    }

    /// Ends the whole group, whatever is left of it. Does not return before it is gone: until then its place is taken.
    async fn clear_away(&self, id: &WorkspaceId, mut live: Live) {
        if !live.group.end(live.stop_grace).await {
            tracing::error!(workspace = %id, pid = live.pid, "a process group outlives KILL; going on to kill it");
            self.tell(id, Seen::Stopping).await;
            while !live.group.kill().await {}
        }
        // Reaps it; it is dead, so that this does not wait.
        live.process.ended().await;
    }

    async fn fail(&self, id: &WorkspaceId, live: Live, class: FailureClass, detail: String) -> Failure {
        let log = live.log.clone();
        self.clear_away(id, live).await;
        Failure { class, detail, log_tail: output::tail(&log) }
    }

    async fn crashed_at_start(&self, id: &WorkspaceId, live: Live, status: Option<ExitStatus>) -> Failure {
        let how = status.map_or_else(|| "ended".to_owned(), |status| format!("ended with {status}"));
        let detail = format!("{} {how} before it was ready", live.name);
        self.fail(id, live, FailureClass::CrashedAtStart, detail).await
    }

    async fn not_ready(&self, id: &WorkspaceId, live: Live, probe: &Probe, why: &str) -> Failure {
        let asked = probe.http_path.as_ref().map_or("tcp".to_owned(), |path| format!("GET {path}"));
        let (patience, address) = (Span(probe.patience), probe.address());
        let detail = format!("not ready after {patience}: {asked} at {address}: {why}");
        self.fail(id, live, FailureClass::NotReady, detail).await
    }

    /// Takes a run that is over off the records, and tells.
    pub(super) async fn finish(&self, id: &WorkspaceId, result: Result<(), Failure>) {
        match fs::remove_file(self.record_path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(workspace = %id, %error, "cannot remove the record of a run that is over");
            }
            _ => {}
        }
        self.tell_end(id, result).await;
    }
}

impl Live {
    async fn wait_until_ready(&mut self, probe: &Probe, stop: &CancellationToken) -> Waited {
        let mut last = "it was not asked".to_owned();
        let waited = tokio::select! {
            // An end is looked for first: whoever else answers on the port then is a stranger.
            biased;
            status = self.process.ended() => Some(Waited::Exited(status)),
            () = stop.cancelled() => Some(Waited::Stopped),
            () = output::keep_bounded(&self.log) => None,
            ready = tokio::time::timeout(probe.patience, probe.until_ready(&mut last)) => {
                ready.is_ok().then_some(Waited::Ready)
            }
        };
        waited.unwrap_or(Waited::TooLong(last))
    }
}

/// Where the process of a record is reached.
pub(super) fn endpoint(record: &Record) -> Endpoint {
    Endpoint { address: record.probe().address(), tls: false, instance: record.instance.clone() }
}

fn not_runnable(program: &str, error: &io::Error) -> Failure {
    let (class, detail) = match error.kind() {
        io::ErrorKind::NotFound => {
            (FailureClass::NotRunnable, format!("program `{program}` or its interpreter is not there"))
        }
        io::ErrorKind::PermissionDenied => {
            (FailureClass::NotRunnable, format!("program `{program}` may not be executed"))
        }
        io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => {
            (FailureClass::NoCapacity, format!("no room for another process: {error}"))
        }
        _ => (FailureClass::NotRunnable, format!("program `{program}` cannot be run: {error}")),
    };
    failure(class, detail)
}
