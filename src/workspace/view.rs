//! What people may see of a workspace, as one immutable value.

use std::time::Duration;

use crate::model::{Evidence, Phase, ProfileName, StartStep, StopReason, Timestamp, WorkspaceId};

/// A workspace as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Whose it is.
    pub id: WorkspaceId,
    /// Its state.
    pub phase: Phase,
    /// The size that it runs with, or last ran with.
    pub profile: Option<ProfileName>,
    /// The steps of the latest start that were observed, in their order.
    pub steps: Vec<(StartStep, Timestamp)>,
    /// When a person last did something in it; `None` is unknown.
    pub human: Option<Evidence>,
    /// When a job was last at work in it; `None` is unknown.
    pub work: Option<Evidence>,
    /// When it will stop by itself if nothing changes, and why.
    pub stops_at: Option<(Timestamp, StopReason)>,
    /// Whether that is near enough to warn of.
    pub stops_soon: bool,
    /// Until when its owner holds off an idle stop.
    pub hold_until: Option<Timestamp>,
    /// How long starts of this kind took lately (median), if there were any.
    pub expected_start: Option<Duration>,
    /// When and why it last stopped.
    pub last_stop: Option<(Timestamp, StopReason)>,
    /// What keeps it although an idle stop is due: `hold`, `connection`, `unknown`, `brake`.
    pub kept: Option<String>,
}
