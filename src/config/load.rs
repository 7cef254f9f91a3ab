//! From a file to a [`Config`] that has passed every check.

use std::path::Path;

use super::Config;
use super::draft::Draft;
use super::fingerprint::Fingerprint;
use super::paths::{folder_of, make_absolute};
use super::public_url::PublicUrl;
use super::report::{self, Diagnostic, Report, Severity};
use super::schema::{schema, validator};
use super::source::{Secrecy, Source, about_file};
use super::validate::validate;

/// Largest size of the configuration: room for 10,000 tenants and as many routes.
const LARGEST: u64 = 4 << 20;

/// A configuration that has passed every check.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration. Its paths are absolute, `public_url` is as browsers write it into `Origin`, and
    /// hosts of routes are in lower case.
    pub config: Config,
    /// What works, but probably not as intended.
    pub warnings: Vec<Diagnostic>,
    /// What was read, for watching: the configuration itself and every file that it names, absolute.
    pub read: Fingerprint,
}

/// Loads a configuration with everything that it names.
///
/// # Errors
/// Returns every problem that was found, if one of them is an error.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let mut read = Fingerprint::default();
    let source = Source::read(path, LARGEST, Secrecy::Open);
    match &source {
        Ok(source) => read.note(path, source.hash),
        Err(_) => read.look_at(path),
    }
    let mut source = source.map_err(|whole| Report { read: read.clone(), ..Report::new(vec![whole]) })?;
    let schema = schema();
    let validator = validator(&schema).map_err(|error| broken(path, &error.to_string()))?;
    source.hold_against(&schema, &validator);

    let folder = folder_of(path);
    let draft = Draft::of(&source);
    let named = validate(&draft, &mut source, &folder, read);
    let config = serde_json::from_value::<Config>(source.document.value.clone());

    // First what stands in the configuration itself, then what was found in the files that it names.
    let mut findings = source.into_findings();
    report::sort(&mut findings);
    let mut in_files = named.findings;
    report::sort(&mut in_files);
    findings.append(&mut in_files);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Report { problems: findings, read: named.read });
    }
    let mut config = config.map_err(|error| broken(path, &error.to_string()))?;
    normalise(&mut config);
    make_absolute(&mut config, &folder);
    Ok(Loaded { config, warnings: findings, read: named.read })
}

/// The schema and the structs disagree, which tests rule out as far as tests can.
fn broken(path: &Path, error: &str) -> Report {
    Report::new(vec![about_file(path, format!("does not fit the configuration's structure: {error}"))])
}

/// One spelling for what may be written in several ways.
fn normalise(config: &mut Config) {
    if let Ok(url) = PublicUrl::parse(&config.public_url) {
        config.public_url = url.origin();
    }
    for route in &mut config.routes {
        route.host.iter_mut().for_each(|host| host.make_ascii_lowercase());
    }
}
