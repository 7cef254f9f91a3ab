//! The checks that a schema cannot say: what must hold between keys, and in the files that keys name.
//!
//! Each check adds what it finds; none stops the others. What a misfit has already been reported for is absent
//! from the draft, so nothing is reported twice.

mod assertion;
mod files;
mod headers;
mod hosts;
mod identity;
mod ldap;
mod listen;
mod routes;
mod rules;
mod session;
mod spans;
mod tenants;
mod tokens;
mod top;
mod workspaces;

use std::path::Path;

use super::draft::Draft;
use super::fingerprint::Fingerprint;
use super::key_path::KeyPath;
use super::report::Diagnostic;
use super::source::Source;
use super::template;

/// What the checks brought to light beside findings in the configuration itself.
#[derive(Debug)]
pub(super) struct Named {
    /// What was read, every file that is named included.
    pub(super) read: Fingerprint,
    /// Findings in those files.
    pub(super) findings: Vec<Diagnostic>,
}

/// Runs every check. `read` is what was read so far.
pub(super) fn validate(draft: &Draft, source: &mut Source, folder: &Path, read: Fingerprint) -> Named {
    let mut checks = Checks { source, folder, named: Named { read, findings: Vec::new() } };
    top::check(draft, &mut checks);
    listen::check(draft, &mut checks);
    spans::check(draft, &mut checks);
    session::check(draft, &mut checks);
    identity::check(draft, &mut checks);
    assertion::check(draft, &mut checks);
    tenants::check(draft, &mut checks);
    workspaces::check(draft, &mut checks);
    routes::check(draft, &mut checks);
    workspaces::check_use(draft, &mut checks);
    checks.named
}

/// Where checks put what they find.
struct Checks<'a> {
    source: &'a mut Source,
    folder: &'a Path,
    named: Named,
}

impl Checks<'_> {
    fn error(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.source.error(path, message);
    }

    fn error_at_key(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.source.error_at_key(path, message);
    }

    fn warning(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.source.warning(path, message);
    }

    /// Something is missing in the mapping at `path`, unless it stands there and was misunderstood.
    fn absent(&mut self, path: &KeyPath, message: impl Into<String>) {
        if !self.source.misfits.iter().any(|misfit| path.holds(misfit)) {
            self.source.error(path, message);
        }
    }

    /// Reports placeholders of a template that mean nothing there. In doubled braces other programs write their own
    /// (Theia: `{{hostname}}`), and filling in leaves those as they stand.
    fn placeholders(&mut self, path: &KeyPath, text: &str, known: &[&str]) {
        let of_others = |name: &str| text.contains(&format!("{{{{{name}}}}}"));
        for name in template::placeholders(text).filter(|name| !known.contains(name) && !of_others(name)) {
            let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
            self.error(path, format!("unknown placeholder {{{name}}}; known here: {}", known.join(", ")));
        }
    }
}

/// A name from the YAML as a finding quotes it: escaped, and cut if it is long.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    if short.len() == text.len() { format!("{text:?}") } else { format!("{short:?}…") }
}
