//! The `process` runtime: each workspace is a child process, with its descendants one process group.
//!
//! Children write to a file, not to a pipe, and are on record in the state folder, so that they outlive a gateway
//! that was killed; the next one adopts those that are alive and ends what is left of the others. All workspaces run as the gateway's own
//! user: this runtime is for one machine whose users trust each other, it does not isolate them.

mod child;
mod group;
mod leftover;
mod output;
mod probe;
mod record;
mod run;
mod template;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Found, Observation, Runtime, Seen, StartOrder};
use crate::clock::Clock;
use crate::config::ProcessSettings;
use crate::model::{Failure, FailureClass, ProfileName, StartStep, Timestamp, WorkspaceId};

/// Draws of a free port before giving up; one nearly always does.
const PORT_DRAWS: usize = 64;

/// Runs workspaces as child processes. A cheap handle.
#[derive(Clone)]
pub struct ProcessRuntime {
    host: Arc<Host>,
}

/// What all runs have in common.
struct Host {
    state_dir: PathBuf,
    /// The gateway's environment, of which a kind passes on what it lists.
    environment: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
    control: tokio::runtime::Handle,
    observations: mpsc::Sender<Observation>,
    table: Mutex<HashMap<WorkspaceId, Entry>>,
    recovered: OnceCell<()>,
    /// Leftovers that were ended, until they are told.
    ended: Mutex<Vec<Found>>,
    /// What watches the runs.
    tasks: TaskTracker,
    /// Cancelled, under the lock of `table`, when another gateway takes the runs over.
    released: CancellationToken,
}

/// A run that is not over.
struct Entry {
    profile: Option<ProfileName>,
    started: Timestamp,
    seen: Seen,
    port: Option<u16>,
    stop: CancellationToken,
}

impl ProcessRuntime {
    /// A runtime that keeps homes, logs and records under `state_dir`, passes on what kinds allow of `environment`,
    /// and watches its processes on `control`.
    #[must_use]
    pub fn new(
        state_dir: PathBuf,
        environment: BTreeMap<String, String>,
        clock: Arc<dyn Clock>,
        control: tokio::runtime::Handle,
        observations: mpsc::Sender<Observation>,
    ) -> Self {
        let host = Host {
            state_dir,
            environment,
            clock,
            control,
            observations,
            table: Mutex::default(),
            recovered: OnceCell::new(),
            ended: Mutex::default(),
            tasks: TaskTracker::new(),
            released: CancellationToken::new(),
        };
        Self { host: Arc::new(host) }
    }

    /// Looks for leftovers of an earlier gateway, once.
    async fn recover(&self) {
        self.host.recovered.get_or_init(|| leftover::recover(&self.host)).await;
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn start(&self, order: &StartOrder) -> Result<(), Failure> {
        self.recover().await;
        let Some(process) = order.kind.process.clone() else {
            let detail = format!("workspace kind {} has no `process` settings", order.workspace.kind);
            return Err(failure(FailureClass::NotRunnable, detail));
        };
        self.host.begin(order, process)
    }

    async fn stop(&self, id: &WorkspaceId) -> Result<(), Failure> {
        self.recover().await;
        let stop = self.host.entries().get(id).map(|entry| entry.stop.clone());
        match stop {
            Some(stop) => stop.cancel(),
            None => self.host.send(id, Seen::Absent).await,
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Found>, Failure> {
        self.recover().await;
        let mut found = std::mem::take(&mut *self.host.ended.lock().unwrap_or_else(PoisonError::into_inner));
        found.extend(self.host.entries().iter().map(|(id, entry)| Found {
            workspace: id.clone(),
            profile: entry.profile.clone(),
            started: entry.started,
            seen: entry.seen.clone(),
        }));
        Ok(found)
    }

    async fn release(&self) {
        {
            let _nothing_begins = self.host.entries();
            self.host.released.cancel();
        }
        self.host.tasks.close();
        self.host.tasks.wait().await;
    }
}

impl Host {
    fn entries(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run, unless there is one already.
    fn begin(self: &Arc<Self>, order: &StartOrder, process: ProcessSettings) -> Result<(), Failure> {
        let (id, mut entries) = (&order.workspace, self.entries());
        if self.released.is_cancelled() {
            return Err(failure(FailureClass::Runtime, format!("workspace {id} is another gateway's by now")));
        }
        match entries.get(id) {
            Some(entry) if entry.stop.is_cancelled() => {
                Err(failure(FailureClass::Runtime, format!("workspace {id} is still being stopped")))
            }
            Some(_) => Ok(()),
            None => {
                let stop = CancellationToken::new();
                let (started, seen) = (self.clock.now(), Seen::Step(StartStep::Requested));
                let profile = order.profile.clone();
                entries.insert(id.clone(), Entry { profile, started, seen, port: None, stop: stop.clone() });
                self.follow(run::Run::new(self.clone(), order.clone(), process, stop).carry_out());
                Ok(())
            }
        }
    }

    /// Does `work` until it is done or the runs are another gateway's.
    fn follow(&self, work: impl Future<Output = ()> + Send + 'static) {
        let released = self.released.clone();
        let work = async move {
            released.run_until_cancelled(work).await;
        };
        self.tasks.spawn_on(work, &self.control);
    }

    /// A TCP port of 127.0.0.1 that is free now and that no other live workspace was given.
    fn claim_port(&self, id: &WorkspaceId) -> io::Result<u16> {
        let mut entries = self.entries();
        let taken: HashSet<u16> = entries.values().filter_map(|entry| entry.port).collect();
        for _ in 0..PORT_DRAWS {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if !taken.contains(&port) {
                if let Some(entry) = entries.get_mut(id) {
                    entry.port = Some(port);
                }
                return Ok(port);
            }
        }
        Err(io::Error::other("every free port is claimed by another workspace"))
    }

    /// Notes what a run has come to, and tells it.
    async fn tell(&self, id: &WorkspaceId, seen: Seen) {
        if let Some(entry) = self.entries().get_mut(id) {
            entry.seen = seen.clone();
        }
        self.send(id, seen).await;
    }

    /// Takes a run that is over out of the table, and then tells of its end, so that a start that the end sets off
    /// finds its place free.
    async fn tell_end(&self, id: &WorkspaceId, result: Result<(), Failure>) {
        self.entries().remove(id);
        self.send(id, Seen::Exited(result)).await;
    }

    async fn send(&self, id: &WorkspaceId, seen: Seen) {
        // Nobody listens any more when the gateway is leaving.
        let _ = self.observations.send(Observation { workspace: id.clone(), seen }).await;
    }

    fn log_path(&self, id: &WorkspaceId) -> PathBuf {
        self.state_dir.join("logs").join(format!("{}.log", id.label()))
    }

    fn records(&self) -> PathBuf {
        self.state_dir.join("processes")
    }

    fn record_path(&self, id: &WorkspaceId) -> PathBuf {
        self.records().join(format!("{}.json", id.label()))
    }
}

/// A failure that left no log.
fn failure(class: FailureClass, detail: String) -> Failure {
    Failure { class, detail, log_tail: Vec::new() }
}
