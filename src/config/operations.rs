//! `metrics`, `shutdown`, `log`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Prometheus metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Most tenants with series of their own; those that come later are counted under `tenant="other"`.
    /// Changing it needs a restart.
    #[schemars(range(min = 1, max = 10000))]
    pub max_tenants: u32,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { max_tenants: 1000 }
    }
}

/// How the gateway leaves after TERM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// Go on accepting for this long after `/readyz` says no, so that load balancers can look away.
    pub drain_delay: Span,
    /// Close WebSockets (code 1012, clients reconnect) spread over this long.
    pub nudge_window: Span,
    /// Leave at the latest after this long, counted from TERM, or at a second TERM, whatever is still open. Then
    /// workspaces are stopped, which takes the longest `stop_grace` and 5 seconds more at most. A further TERM ends that
    /// at once; what has not stopped by then is adopted by the next start of the gateway.
    pub deadline: Span,
    /// Leave workspaces of the `process` runtime running; the next start of the gateway adopts them.
    pub keep_workspaces: bool,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            drain_delay: Span::secs(5),
            nudge_window: Span::secs(10),
            deadline: Span::secs(60),
            keep_workspaces: false,
        }
    }
}

/// What is logged, and how. The log goes to standard error, the access log to standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `json`: one object a line. `text`: for people at a terminal.
    pub format: LogFormat,
    /// What to log: a level (`error`, `warn`, `info`, `debug`) or a filter such as `info,usher::proxy=debug`.
    pub filter: String,
    /// Write one line of JSON for each request to standard output.
    pub access: bool,
    /// Where the audit log goes, one line of JSON for each sign-in, refusal, end of a session, administrator's action
    /// and change of rights (docs/audit.md): `stdout`, `stderr`, or `off`. Each line has `"target":"audit"`.
    pub audit: AuditOutput,
    /// Write the audit log to this file instead. It is made with mode 0600, added to, and opened anew at HUP; its
    /// folder must be there.
    pub audit_file: Option<String>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            filter: "info".to_owned(),
            access: true,
            audit: AuditOutput::Stdout,
            audit_file: None,
        }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Where the audit log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuditOutput {
    /// Standard output, as the access log.
    Stdout,
    /// Standard error, as the log.
    Stderr,
    /// Nowhere.
    Off,
}
