//! The shapes of the API's bodies; their doc comments are the OpenAPI document's texts. Times are RFC 3339 in UTC.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Evidence, Phase, Principal, Role, StartStep, StopReason, Timestamp};
use crate::portal::state::{ProfileOffer, WorkspaceOffer};
use crate::portal::tenant::since;
use crate::portal::visit::Proof;
use crate::workspace::View;

/// A time in RFC 3339.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Time(#[schemars(extend("format" = "date-time"))] String);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at.to_string())
    }
}

/// Who is signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Me {
    /// The name that the directory knows them by.
    user: String,
    /// What to call them.
    display_name: String,
    /// Their tenant's id.
    tenant: String,
    /// Their tenant's name.
    tenant_title: String,
    /// The groups that they are in.
    groups: Vec<String>,
    /// What they may do.
    roles: Vec<Role>,
    /// The directory that vouches for them.
    source: String,
    /// When they signed in.
    signed_in_at: Time,
    /// When they have to sign in again at the latest.
    expires_at: Time,
}

/// What signing out everywhere came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EndedSessions {
    /// How many sessions of the caller were in use. Others, whose browsers were not seen lately, have ended as well.
    pub(super) ended: usize,
}

/// The caller's workspaces.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WorkspaceList {
    /// One for each kind.
    pub(super) workspaces: Vec<Workspace>,
}

/// A workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Workspace {
    /// Its kind.
    kind: String,
    /// The name of its kind on pages.
    title: String,
    /// Where it is opened.
    href: String,
    /// What it is doing.
    phase: PhaseWord,
    /// Since when; null if that is not known.
    since: Option<Time>,
    /// The size that it runs with, or last ran with.
    profile: Option<String>,
    /// The sizes to choose from.
    profiles: Vec<Profile>,
    /// The steps of its latest start that were observed.
    steps: Vec<Step>,
    /// The latest sign of a person at work; null is unknown.
    human_activity: Option<Activity>,
    /// The latest sign of a job at work; null is unknown.
    work_activity: Option<Activity>,
    /// The stop that comes by itself if nothing changes.
    next_stop: Option<Stop>,
    /// Whether that stop is near.
    stops_soon: bool,
    /// Until when an idle stop is held off.
    hold_until: Option<Time>,
    /// The longest hold in seconds; null if it may not be held.
    max_hold_seconds: Option<u64>,
    /// How long its starts took lately, in milliseconds.
    expected_start_ms: Option<u64>,
    /// Its last stop.
    last_stop: Option<Stop>,
    /// What keeps it although an idle stop is due: `hold`, `connection`, `unknown` or `brake`.
    kept_by: Option<String>,
    /// What went wrong, if it failed.
    failure: Option<FailureReport>,
}

/// What a workspace is doing.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PhaseWord {
    /// Nothing runs.
    Stopped,
    /// On its way up.
    Starting,
    /// Up, and somebody works in it.
    Running,
    /// Up, and nobody has worked in it for a while.
    Idle,
    /// On its way down.
    Stopping,
    /// A start or a run failed.
    Failed,
}

/// A size.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Profile {
    /// Its name, to start with.
    name: String,
    /// Its name on pages.
    title: String,
    /// What it is for.
    description: Option<String>,
}

/// A step of a start.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Step {
    /// Which one.
    step: StepWord,
    /// When it was observed.
    at: Time,
}

/// A step of a start.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StepWord {
    /// Waiting for its turn.
    Queued,
    /// The runtime has been asked.
    Requested,
    /// It exists.
    Created,
    /// It runs, and does not answer yet.
    Waiting,
    /// It answers.
    Ready,
}

/// A sign of somebody or something at work.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Activity {
    /// When it was seen.
    at: Time,
    /// What was seen: `websocket`, `http`, `connection`, `start` or `restart`.
    source: String,
}

/// A stop.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Stop {
    /// When.
    at: Time,
    /// Why: `user`, `administrator`, `human-idle`, `max-lifetime`, `gateway-shutdown`, `withdrawn`, `exited` or
    /// `leftover`.
    reason: String,
    /// The administrator who did it.
    by: Option<String>,
    /// The limit that was reached, in seconds.
    after_seconds: Option<u64>,
}

/// What went wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FailureReport {
    /// What kind of fault: `not-runnable`, `crashed-at-start`, `crashed`, `not-ready`, `quota`, `no-capacity` or
    /// `runtime`.
    class: String,
    /// What happened, for the operator.
    detail: String,
    /// The last lines that it wrote.
    log_tail: Vec<String>,
}

/// How to start a workspace. May be left out altogether.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBody {
    /// The size; left out: the last one, or the kind's first.
    #[serde(default)]
    pub(super) profile: Option<String>,
}

/// How long to hold off an idle stop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldBody {
    /// Seconds from now; 0 ends the hold.
    pub(super) seconds: u64,
}

/// The workspaces of a tenant that are not stopped.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TenantWorkspaceList {
    /// In the order of users and kinds.
    pub(super) workspaces: Vec<TenantWorkspace>,
}

/// A workspace as an administrator sees it: no log of it, nothing of its content.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TenantWorkspace {
    /// Its owner.
    user: String,
    /// Its kind.
    kind: String,
    /// What it is doing.
    phase: PhaseWord,
    /// Since when.
    since: Option<Time>,
    /// The size that it runs with.
    profile: Option<String>,
    /// The latest sign of a person at work; null is unknown.
    human_activity: Option<Activity>,
    /// The stop that comes by itself if nothing changes.
    next_stop: Option<Stop>,
}

impl Me {
    pub(super) fn new(proof: &Proof, principal: &Principal, tenant_title: Option<String>) -> Self {
        let (signed_in_at, expires_at) = match proof {
            Proof::Session(session) => (session.opened(), session.expires()),
            Proof::Bearer(bearer) => (bearer.issued(), bearer.expires()),
        };
        Self {
            user: principal.user.to_string(),
            display_name: principal.greeting().to_owned(),
            tenant: principal.tenant.to_string(),
            tenant_title: tenant_title.unwrap_or_else(|| principal.tenant.to_string()),
            groups: principal.groups.iter().map(ToString::to_string).collect(),
            roles: [Role::User, Role::TenantAdmin, Role::Operator]
                .into_iter()
                .filter(|role| principal.roles.has(*role))
                .collect(),
            source: principal.source.to_string(),
            signed_in_at: signed_in_at.into(),
            expires_at: expires_at.into(),
        }
    }
}

impl Workspace {
    pub(super) fn new(offer: &WorkspaceOffer, view: &View) -> Self {
        Self {
            kind: offer.kind.to_string(),
            title: offer.title.clone(),
            href: offer.href.clone(),
            phase: (&view.phase).into(),
            since: since(&view.phase).map(Time::from),
            profile: view.profile.as_ref().map(ToString::to_string),
            profiles: offer.profiles.iter().map(Profile::from).collect(),
            steps: view.steps.iter().map(Step::from).collect(),
            human_activity: view.human.map(Activity::from),
            work_activity: view.work.map(Activity::from),
            next_stop: view.stops_at.as_ref().map(Stop::from),
            stops_soon: view.stops_soon,
            hold_until: view.hold_until.map(Time::from),
            max_hold_seconds: offer.may_hold_for.map(|span| span.as_secs()),
            expected_start_ms: view.expected_start.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            last_stop: view.last_stop.as_ref().map(Stop::from),
            kept_by: view.kept.clone(),
            failure: FailureReport::of(&view.phase),
        }
    }
}

impl Workspace {
    /// With the hold that was set just now, which its supervisor may not show yet.
    pub(super) fn held_until(self, until: Option<Timestamp>) -> Self {
        Self { hold_until: until.map(Time::from), ..self }
    }
}

impl From<&View> for TenantWorkspace {
    fn from(view: &View) -> Self {
        Self {
            user: view.id.user.to_string(),
            kind: view.id.kind.to_string(),
            phase: (&view.phase).into(),
            since: since(&view.phase).map(Time::from),
            profile: view.profile.as_ref().map(ToString::to_string),
            human_activity: view.human.map(Activity::from),
            next_stop: view.stops_at.as_ref().map(Stop::from),
        }
    }
}

impl From<&Phase> for PhaseWord {
    fn from(phase: &Phase) -> Self {
        match phase {
            Phase::Stopped { .. } => Self::Stopped,
            Phase::Starting { .. } => Self::Starting,
            Phase::Running { .. } => Self::Running,
            Phase::Idle { .. } => Self::Idle,
            Phase::Stopping { .. } => Self::Stopping,
            Phase::Failed { .. } => Self::Failed,
        }
    }
}

impl From<&ProfileOffer> for Profile {
    fn from(offer: &ProfileOffer) -> Self {
        Self { name: offer.name.to_string(), title: offer.title.clone(), description: offer.description.clone() }
    }
}

impl From<&(StartStep, Timestamp)> for Step {
    fn from((step, at): &(StartStep, Timestamp)) -> Self {
        let step = match step {
            StartStep::Queued => StepWord::Queued,
            StartStep::Requested => StepWord::Requested,
            StartStep::Created => StepWord::Created,
            StartStep::Waiting => StepWord::Waiting,
            StartStep::Ready => StepWord::Ready,
        };
        Self { step, at: (*at).into() }
    }
}

impl From<Evidence> for Activity {
    fn from(evidence: Evidence) -> Self {
        Self { at: evidence.at.into(), source: evidence.source.label().to_owned() }
    }
}

impl From<&(Timestamp, StopReason)> for Stop {
    fn from((at, reason): &(Timestamp, StopReason)) -> Self {
        let (by, after_seconds) = match reason {
            StopReason::Administrator { by } => (Some(by.clone()), None),
            StopReason::HumanIdle { after_secs } | StopReason::MaxLifetime { after_secs } => (None, Some(*after_secs)),
            _ => (None, None),
        };
        Self { at: (*at).into(), reason: reason.label().to_owned(), by, after_seconds }
    }
}

impl FailureReport {
    fn of(phase: &Phase) -> Option<Self> {
        let Phase::Failed { failure, .. } = phase else { return None };
        Some(Self {
            class: failure.class.label().to_owned(),
            detail: failure.detail.clone(),
            log_tail: failure.log_tail.clone(),
        })
    }
}
