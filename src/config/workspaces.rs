//! `workspaces`: the kinds of environment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// One kind of workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceKind {
    /// Name shown on its card. Default: the kind's name.
    #[serde(default)]
    pub title: Option<String>,
    /// What runs it. `process`: a child process of the gateway on the same machine.
    pub runtime: RuntimeKind,
    /// How the `process` runtime runs it.
    #[serde(default)]
    pub process: Option<ProcessSettings>,
    /// Sizes, by name. The user chooses one; the first in alphabetical order is the default.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {
        "pattern": "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        "patternErrorMessage": super::NAME_RULE,
    }))]
    pub profiles: BTreeMap<String, Profile>,
    /// When it stops by itself. Evidence that is missing is unknown, and unknown is never idle.
    #[serde(default)]
    pub autostop: Autostop,
    /// What counts as somebody at work.
    #[serde(default = "default_activity")]
    #[schemars(length(min = 1))]
    pub activity: Vec<ActivityClassifier>,
    /// Which requests the `http` classifier counts.
    #[serde(default)]
    pub http_activity: HttpActivity,
    /// Settings for Eclipse Theia.
    #[serde(default)]
    pub theia: TheiaSettings,
    /// How long a request that is not a page (a fetch, a WebSocket) waits for a starting workspace
    /// before it is answered 503 with `Retry-After`.
    #[serde(default = "default_hold")]
    pub hold: Span,
    /// How long a start may take before it counts as failed.
    #[serde(default = "default_start_timeout")]
    pub start_timeout: Span,
}

/// What runs a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// A child process of the gateway on the same machine.
    Process,
}

/// How the `process` runtime runs a workspace.
///
/// Placeholders in its texts are those of [`ProcessSettings::PLACEHOLDERS`]; `template` reads them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessSettings {
    /// Program and arguments. No shell is involved. A program that starts with `./` or `../` is relative to the folder
    /// of this file. Replaced here and in `environment`: `{port}` (a free TCP port on 127.0.0.1), `{user}`, `{tenant}`,
    /// `{workspace}` (a DNS label for this user and kind), `{profile}`, `{home}` (its folder).
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// Environment variables to set.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Environment variables of the gateway that are passed on; no others are.
    #[serde(default = "default_pass_environment")]
    pub pass_environment: Vec<String>,
    /// Working folder and home of the workspace, made at the first start. Default: `{state_dir}/homes/{workspace}`.
    /// Replaced here: `{state_dir}`, `{tenant}` and `{workspace}`, of which the last must stand in it.
    #[serde(default)]
    pub home: Option<String>,
    /// When it counts as ready.
    #[serde(default)]
    pub readiness: Readiness,
    /// Time between the polite signal (TERM) to its process group and the hard one (KILL).
    #[serde(default = "default_stop_grace")]
    pub stop_grace: Span,
}

impl ProcessSettings {
    /// The placeholders of `command` and `environment`.
    pub const PLACEHOLDERS: [&'static str; 6] = ["port", "user", "tenant", "workspace", "profile", "home"];
    /// The placeholders of `home`. A user's name is not among them: it may hold anything, `../` too.
    pub const HOME_PLACEHOLDERS: [&'static str; 3] = ["state_dir", "tenant", "workspace"];
}

/// When a workspace counts as ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Readiness {
    /// Path of an HTTP request that must be answered with a status from 200 to 399.
    /// Left out: an accepted TCP connection is enough.
    #[schemars(regex(pattern = "^/"), extend("patternErrorMessage" = "must start with /"))]
    pub http_path: Option<String>,
    /// Time between two probes.
    pub interval: Span,
    /// Time that one probe may take.
    pub timeout: Span,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { http_path: None, interval: Span(std::time::Duration::from_millis(200)), timeout: Span::secs(2) }
    }
}

/// A size of a workspace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// Name shown to the user. Default: the profile's name.
    pub title: Option<String>,
    /// One line that tells what it is for.
    pub description: Option<String>,
    /// Environment variables set beside those of the kind; these win.
    pub environment: BTreeMap<String, String>,
}

/// When a workspace stops by itself. Evidence that is missing is unknown, and unknown is never idle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Autostop {
    /// Stop when nobody has worked in it for this long. `0s`: never.
    pub human_idle: Span,
    /// Count it as idle (shown on the card, and counted as idle waste) after this long without human activity.
    pub idle_after: Span,
    /// Stop when one run has lasted this long, whoever works in it. `0s`: never.
    pub max_lifetime: Span,
    /// Warn on the portal this long before a stop.
    pub warning: Span,
    /// The longest time from now until which a user may hold off an idle stop. `0s`: they may not.
    pub max_hold: Span,
    /// Brake: the largest share of running workspaces of this kind, in percent, that may be stopped for idleness
    /// within 5 minutes; at least 5 may always. More than that looks like lost evidence, not like idleness.
    #[schemars(range(min = 1, max = 100))]
    pub brake_percent: u8,
}

impl Default for Autostop {
    fn default() -> Self {
        Self {
            human_idle: Span::minutes(30),
            idle_after: Span::minutes(5),
            max_lifetime: Span::secs(0),
            warning: Span::minutes(5),
            max_hold: Span::hours(4),
            brake_percent: 30,
        }
    }
}

/// What counts as somebody at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActivityClassifier {
    /// Theia: socket.io messages from the client, without heartbeats and Theia's own liveness calls.
    Theia,
    /// socket.io or engine.io applications: messages from the client, without heartbeats.
    Socketio,
    /// Any WebSocket data frame from the client.
    Websocket,
    /// HTTP requests, but for those that `http_activity` leaves out.
    Http,
    /// An open WebSocket is activity for as long as it is open.
    Connections,
}

/// Which requests the `http` classifier counts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpActivity {
    /// Path prefixes, below the route's own, that applications poll by themselves, e.g. `/api/status`.
    #[schemars(extend("items" = { "type": "string", "pattern": "^/", "patternErrorMessage": "must start with /" }))]
    pub exclude: Vec<String>,
}

/// Settings for Eclipse Theia.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TheiaSettings {
    /// Hold the `theia-connection-token` of each run on the gateway, so that an open tab recovers
    /// without a reload after its workspace was stopped and started.
    pub hold_connection_token: bool,
}

fn default_activity() -> Vec<ActivityClassifier> {
    vec![ActivityClassifier::Websocket, ActivityClassifier::Http]
}

fn default_hold() -> Span {
    Span::secs(3)
}

fn default_start_timeout() -> Span {
    Span::secs(90)
}

fn default_stop_grace() -> Span {
    Span::secs(10)
}

fn default_pass_environment() -> Vec<String> {
    ["PATH", "LANG", "LC_ALL", "TZ"].map(str::to_owned).to_vec()
}
