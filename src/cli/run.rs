//! `usher run`.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::app::{App, Options};
use crate::config::{self, AuditOutput, Log, LogFormat};

/// Checks the configuration, starts the gateway, and serves until it is told to stop.
///
/// # Errors
/// Returns what is wrong, for a person at a terminal.
pub(super) fn run(path: &Path, take_over: bool) -> Result<ExitCode, String> {
    let path = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let loaded = match config::check(&path) {
        Ok(loaded) => loaded,
        Err(report) => {
            eprint!("{report}");
            return Ok(ExitCode::FAILURE);
        }
    };
    start_logging(&loaded.config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "configuration");
    }
    let audit: Box<dyn Write + Send> = match loaded.config.log.audit {
        AuditOutput::Stderr => Box::new(std::io::stderr()),
        AuditOutput::Stdout | AuditOutput::Off => Box::new(std::io::stdout()),
    };
    let options = Options {
        take_over,
        signals: true,
        access_log: Some(Box::new(std::io::stdout())),
        audit: Some(audit),
        environment: environment(),
    };
    App::build(path, loaded, options).map_err(|error| error.to_string())?.run();
    Ok(ExitCode::SUCCESS)
}

/// What the gateway was started with. A variable that is not UTF-8 cannot be named in the YAML.
fn environment() -> std::collections::BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn start_logging(log: &Log) -> Result<(), String> {
    // pingora-core tells of each service that it starts and of each client that leaves; a filter that names it wins.
    let filter = EnvFilter::try_new(format!("pingora_core=warn,{}", log.filter))
        .map_err(|error| format!("log.filter: {error}"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.try_init(),
    };
    started.map_err(|error| format!("cannot start logging: {error}"))
}
