//! Whether the gateway should get traffic, and what operators should know.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// A handle on the gateway's health; components report to it, `/readyz` reads it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Report>>);

/// What `/readyz` answers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// Whether a load balancer should send traffic here.
    pub(super) ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    config: ConfigReport,
}

#[derive(Debug, Clone, Serialize)]
struct ConfigReport {
    /// How often a configuration was applied.
    generation: u64,
    /// Whether the file on disk is the one in force. If not, the gateway goes on with the old one and stays ready.
    in_force: bool,
    /// Why the file on disk was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    /// Changed keys that take effect at the next restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    restart_needed_for: Vec<&'static str>,
}

impl Default for Report {
    fn default() -> Self {
        let config =
            ConfigReport { generation: 1, in_force: true, problems: Vec::new(), restart_needed_for: Vec::new() };
        Self { ready: false, reason: Some("starting"), config }
    }
}

impl Health {
    /// The gateway serves.
    pub fn ready(&self) {
        self.update(|report| (report.ready, report.reason) = (true, None));
    }

    /// The gateway is leaving, or cannot serve.
    pub fn not_ready(&self, reason: &'static str) {
        self.update(|report| (report.ready, report.reason) = (false, Some(reason)));
    }

    /// A new configuration is in force but for the keys that need a restart.
    pub fn config_applied(&self, restart_needed_for: Vec<&'static str>) {
        self.update(|report| {
            let generation = report.config.generation + 1;
            report.config = ConfigReport { generation, in_force: true, problems: Vec::new(), restart_needed_for };
        });
    }

    /// The file on disk was refused and the old one stays in force.
    pub fn config_refused(&self, problems: Vec<String>) {
        self.update(|report| {
            report.config.in_force = false;
            report.config.problems = problems;
        });
    }

    pub(super) fn report(&self) -> Report {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_configuration_is_told_and_does_not_take_the_gateway_out_of_service() {
        let health = Health::default();
        health.ready();
        health.config_refused(vec!["usher.yaml:3:1: no".to_owned()]);
        let report = serde_json::to_value(health.report()).expect("is JSON");
        assert_eq!(report["ready"], true);
        assert_eq!(report["config"]["in_force"], false);
        assert_eq!(report["config"]["problems"][0], "usher.yaml:3:1: no");
        health.config_applied(Vec::new());
        let report = serde_json::to_value(health.report()).expect("is JSON");
        assert_eq!(report["config"]["in_force"], true);
        assert_eq!(report["config"]["generation"], 2);
    }
}
