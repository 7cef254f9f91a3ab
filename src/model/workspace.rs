//! What a workspace can be doing, and why it is not.

use std::net::SocketAddr;
use std::time::Duration;

use super::{InstanceId, Timestamp};

/// Where a running workspace is reached. Bound to one instance: a new run has a new endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Address of its HTTP server.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The run that this address belongs to.
    pub instance: InstanceId,
}

/// What a start is doing, in the order of a start. What is shown is what was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartStep {
    /// Waiting for its turn or for a predecessor to be gone.
    Queued,
    /// The runtime has been asked.
    Requested,
    /// Its process, pod or instance exists.
    Created,
    /// It runs, and its server does not answer yet.
    Waiting,
    /// Its server answered the readiness probe.
    Ready,
}

/// Why a workspace was stopped. Shown to its user on return and to operators in the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum StopReason {
    /// Its owner stopped it.
    User,
    /// An administrator stopped it.
    Administrator {
        /// Who it was.
        by: String,
    },
    /// Nobody worked in it for the configured time.
    HumanIdle {
        /// The configured time in seconds.
        after_secs: u64,
    },
    /// It ran for as long as one run may.
    MaxLifetime {
        /// The configured time in seconds.
        after_secs: u64,
    },
    /// The gateway shut down and takes its workspaces with it.
    GatewayShutdown,
    /// Its kind, or its tenant's right to it, was taken out of the configuration.
    Withdrawn,
    /// It ended by itself, and not by an error.
    Exited,
    /// It ended by itself with an error after it had been ready.
    Crashed,
    /// A gateway that was killed had left it behind.
    Leftover,
}

impl StopReason {
    /// The value of the `reason` label; one of a fixed few.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Administrator { .. } => "administrator",
            Self::HumanIdle { .. } => "human-idle",
            Self::MaxLifetime { .. } => "max-lifetime",
            Self::GatewayShutdown => "gateway-shutdown",
            Self::Withdrawn => "withdrawn",
            Self::Exited => "exited",
            Self::Crashed => "crashed",
            Self::Leftover => "leftover",
        }
    }
}

/// What kind of thing went wrong with a start or a run; each has a sentence for the user and one for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The command or image cannot be run at all.
    NotRunnable,
    /// It ended with an error while starting.
    CrashedAtStart,
    /// It ended with an error while running.
    Crashed,
    /// It runs, and its server did not answer in time.
    NotReady,
    /// The user or tenant already runs as many as they may.
    Quota,
    /// The machine or cluster has no room.
    NoCapacity,
    /// The runtime itself failed.
    Runtime,
}

impl FailureClass {
    /// The value of the `result` label; one of a fixed few.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotRunnable => "not-runnable",
            Self::CrashedAtStart => "crashed-at-start",
            Self::Crashed => "crashed",
            Self::NotReady => "not-ready",
            Self::Quota => "quota",
            Self::NoCapacity => "no-capacity",
            Self::Runtime => "runtime",
        }
    }
}

/// A failed start or run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of thing went wrong.
    pub class: FailureClass,
    /// One line for the operator: what happened to which thing.
    pub detail: String,
    /// The last lines that it wrote, oldest first; at most 50 of at most 500 bytes. Shown to its owner only.
    pub log_tail: Vec<String>,
}

/// The state of a workspace, with what belongs to that state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing runs.
    Stopped {
        /// Since when; `None` if it never ran or that is not known.
        since: Option<Timestamp>,
        /// Why it was stopped, if it ever ran.
        reason: Option<StopReason>,
    },
    /// On its way up.
    Starting {
        /// When the start was asked for.
        since: Timestamp,
        /// How far it is.
        step: StartStep,
    },
    /// Up, and somebody works in it.
    Running {
        /// When it became ready.
        since: Timestamp,
        /// Where it is reached.
        endpoint: Endpoint,
    },
    /// Up, and nobody has worked in it for a while.
    Idle {
        /// When it became ready.
        since: Timestamp,
        /// When the last human activity was seen.
        idle_since: Timestamp,
        /// Where it is reached.
        endpoint: Endpoint,
    },
    /// On its way down.
    Stopping {
        /// When the stop was asked for.
        since: Timestamp,
        /// Why.
        reason: StopReason,
    },
    /// A start or a run failed; it can be started again.
    Failed {
        /// When.
        since: Timestamp,
        /// What went wrong.
        failure: Failure,
    },
}

/// A phase without its data, for labels and JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// See [`Phase::Stopped`].
    Stopped,
    /// See [`Phase::Starting`].
    Starting,
    /// See [`Phase::Running`].
    Running,
    /// See [`Phase::Idle`].
    Idle,
    /// See [`Phase::Stopping`].
    Stopping,
    /// See [`Phase::Failed`].
    Failed,
}

impl PhaseName {
    /// All phases, in the order of a life.
    pub const ALL: [Self; 6] = [Self::Stopped, Self::Starting, Self::Running, Self::Idle, Self::Stopping, Self::Failed];

    /// The value of the `phase` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

impl Phase {
    /// A workspace that nothing is known of.
    pub const NEVER_STARTED: Self = Self::Stopped { since: None, reason: None };

    /// The phase without its data.
    #[must_use]
    pub const fn name(&self) -> PhaseName {
        match self {
            Self::Stopped { .. } => PhaseName::Stopped,
            Self::Starting { .. } => PhaseName::Starting,
            Self::Running { .. } => PhaseName::Running,
            Self::Idle { .. } => PhaseName::Idle,
            Self::Stopping { .. } => PhaseName::Stopping,
            Self::Failed { .. } => PhaseName::Failed,
        }
    }

    /// Where it is reached, if it is up.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Running { endpoint, .. } | Self::Idle { endpoint, .. } => Some(endpoint),
            _ => None,
        }
    }

    /// How long it has been up at `now`; zero if it is not.
    #[must_use]
    pub const fn uptime(&self, now: Timestamp) -> Duration {
        match self {
            Self::Running { since, .. } | Self::Idle { since, .. } => now.since(*since),
            _ => Duration::ZERO,
        }
    }
}
