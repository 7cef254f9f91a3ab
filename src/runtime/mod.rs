//! What runs workspaces: one trait and its implementations.
//!
//! A runtime starts and stops, tells what it sees, and lists what it has. It knows nothing of users who wait,
//! of idleness or of reasons; those are `workspace`'s. Every call returns when the order is accepted; what becomes
//! of it is told as [`Observation`]s on a bounded channel that the runtime was built with.

pub mod process;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::{Config, RuntimeKind, WorkspaceKind};
use crate::model::{Endpoint, Failure, ProfileName, StartStep, Timestamp, WorkspaceId};

/// Observations that may wait for `workspace` to take them. A start makes about four; 1,024 of at most some
/// hundred bytes (a failure with its log tail: 25 KiB) cover 256 starts at once, and a full channel only slows runtimes down.
pub const OBSERVATION_CAPACITY: usize = 1024;

/// Something that runs workspaces.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Starts a workspace. Idempotent: one that runs or is being started is left alone.
    ///
    /// Once accepted, the start ends in [`Seen::Ready`] or [`Seen::Exited`] within the kind's `start_timeout`
    /// and a few seconds for ending what did not become ready.
    ///
    /// # Errors
    /// Returns an error if the order is not accepted; then nothing was started.
    async fn start(&self, order: &StartOrder) -> Result<(), Failure>;

    /// Stops a workspace. Idempotent: one that is not there is answered by [`Seen::Absent`] on the channel.
    ///
    /// # Errors
    /// Returns an error if the order is not accepted; then it may be given again.
    async fn stop(&self, id: &WorkspaceId) -> Result<(), Failure>;

    /// All workspaces that the runtime has. The first call also tells which leftovers of an earlier gateway
    /// it has ended, as [`Seen::Exited`].
    ///
    /// # Errors
    /// Returns an error if the runtime cannot tell.
    async fn list(&self) -> Result<Vec<Found>, Failure>;

    /// Lets go of every workspace without ending it, for another gateway to find. Returns when nothing is done or
    /// told about any of them any more; what is asked after that is refused.
    async fn release(&self);
}

/// What a runtime saw of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// What was seen.
    pub seen: Seen,
}

/// What can be seen of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The runtime has nothing of that name.
    Absent,
    /// A start has come this far.
    Step(StartStep),
    /// Its server answers.
    Ready(Endpoint),
    /// It is being ended.
    Stopping,
    /// It has ended, nothing of it is left: as it should (`Ok`), or by a failure.
    Exited(Result<(), Failure>),
}

/// A workspace that a runtime has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The size that it was started with.
    pub profile: Option<ProfileName>,
    /// When it was started.
    pub started: Timestamp,
    /// What it is doing.
    pub seen: Seen,
}

/// An order to start a workspace.
#[derive(Debug, Clone)]
pub struct StartOrder {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Its size; one of the kind's profiles.
    pub profile: Option<ProfileName>,
    /// The settings of its kind as of this start.
    pub kind: Arc<WorkspaceKind>,
}

/// The runtimes of one gateway, and the channel that they all tell on.
pub struct Runtimes {
    process: Arc<dyn Runtime>,
    observations: mpsc::Receiver<Observation>,
}

impl Runtimes {
    /// The runtimes of a gateway with this configuration. `environment` is the gateway's own, of which kinds pass on
    /// what they list; `control` is where runs are watched.
    #[must_use]
    pub fn build(
        config: &Config,
        environment: BTreeMap<String, String>,
        clock: Arc<dyn Clock>,
        control: tokio::runtime::Handle,
    ) -> Self {
        let (sender, observations) = mpsc::channel(OBSERVATION_CAPACITY);
        let state_dir = PathBuf::from(&config.state_dir);
        let process = process::ProcessRuntime::new(state_dir, environment, clock, control, sender);
        Self::new(Arc::new(process), observations)
    }

    /// From a runtime for each [`RuntimeKind`] and the receiving end of their channel.
    #[must_use]
    pub fn new(process: Arc<dyn Runtime>, observations: mpsc::Receiver<Observation>) -> Self {
        Self { process, observations }
    }

    /// The runtimes by kind, and the channel.
    #[must_use]
    pub fn split(self) -> (RuntimeSet, mpsc::Receiver<Observation>) {
        (RuntimeSet { process: self.process }, self.observations)
    }
}

/// The runtimes by their kind.
#[derive(Clone)]
pub struct RuntimeSet {
    process: Arc<dyn Runtime>,
}

impl RuntimeSet {
    /// The runtime that serves `kind`.
    #[must_use]
    pub fn of(&self, kind: RuntimeKind) -> &Arc<dyn Runtime> {
        match kind {
            RuntimeKind::Process => &self.process,
        }
    }

    /// Each runtime once.
    pub fn each(&self) -> impl Iterator<Item = &Arc<dyn Runtime>> {
        std::iter::once(&self.process)
    }
}
