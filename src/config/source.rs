//! One YAML file on its way to a value of a type: read with a cap, parsed, held against the schema.

use std::io::Read;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

use super::diagnose::{Subject, misfits};
use super::document::{Document, Position};
use super::fingerprint::{Hash, hash};
use super::key_path::KeyPath;
use super::report::{Diagnostic, Severity};

/// Whether a file's text may be quoted in a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// It may.
    Open,
    /// It may not: the file holds secrets.
    Secret,
}

/// A YAML file and what was found in it so far.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    secrecy: Secrecy,
    /// What its content is recognised by.
    pub(super) hash: Hash,
    /// Its data and positions.
    pub(super) document: Document,
    /// Keys that do not fit the schema.
    pub(super) misfits: Vec<KeyPath>,
    findings: Vec<Diagnostic>,
}

/// Reads at most `limit` bytes of a regular file.
///
/// # Errors
/// Returns a sentence without the file's content if it cannot be read or is larger.
pub(super) fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {}", path.display(), plain(&error));
    // A FIFO would block the open, and a device has no end.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(format!("cannot read {}: not a regular file", path.display()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > limit {
        return Err(format!("{} is larger than {} KiB", path.display(), limit / 1024));
    }
    Ok(bytes)
}

/// The operating system's reason, without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or_default();
    reason.to_lowercase()
}

impl Source {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// Returns a finding about the file as a whole if it cannot be read, is larger than `limit` or is not UTF-8.
    pub(super) fn read(path: &Path, limit: u64, secrecy: Secrecy) -> Result<Self, Diagnostic> {
        let whole = |message| about_file(path, message);
        let bytes = read_capped(path, limit).map_err(whole)?;
        let text = String::from_utf8(bytes).map_err(|_| whole("is not UTF-8 text".to_owned()))?;
        Ok(Self::parse(path, &text, secrecy))
    }

    /// Parses a text that stands in the file `path`.
    fn parse(path: &Path, text: &str, secrecy: Secrecy) -> Self {
        let document = Document::parse(text.strip_prefix('\u{feff}').unwrap_or(text));
        let mut source = Self {
            path: path.to_owned(),
            secrecy,
            hash: hash(text.as_bytes()),
            document,
            misfits: Vec::new(),
            findings: Vec::new(),
        };
        for defect in std::mem::take(&mut source.document.defects) {
            let (path, message) = match secrecy {
                Secrecy::Open => (defect.path, defect.message),
                // The parser quotes what it stumbles over.
                Secrecy::Secret => (KeyPath::root(), "cannot be read as plain YAML here".to_owned()),
            };
            source.push(defect.position, &path, message, Severity::Error);
        }
        source
    }

    /// Holds the document against its schema; each misfit is an error.
    /// A document that broke off is not looked at: what it lacks may stand in the part that was not read.
    pub(super) fn hold_against(&mut self, schema: &Value, validator: &Validator) {
        if self.document.broken {
            return;
        }
        for misfit in misfits(validator, schema, &self.document.value) {
            let position = match misfit.subject {
                Subject::Value => self.document.value_position(&misfit.path),
                Subject::Key | Subject::UnknownKey => self.document.key_position(&misfit.path),
            };
            // A key that nobody knows may be a secret that slipped into its place.
            let hidden = self.secrecy == Secrecy::Secret && misfit.subject == Subject::UnknownKey;
            let shown = misfit.path.parent().filter(|_| hidden).unwrap_or_else(|| misfit.path.clone());
            if !self.is_reported(position, &shown) {
                self.push(position, &shown, misfit.message, Severity::Error);
            }
            self.misfits.push(misfit.path);
        }
    }

    /// Adds an error about the value at `path`.
    pub(super) fn error(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.push(self.document.value_position(path), path, message.into(), Severity::Error);
    }

    /// Adds an error about the key at `path`.
    pub(super) fn error_at_key(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.push(self.document.key_position(path), path, message.into(), Severity::Error);
    }

    /// Adds a warning about the value at `path`.
    pub(super) fn warning(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.push(self.document.value_position(path), path, message.into(), Severity::Warning);
    }

    /// Adds a warning about the key at `path`.
    pub(super) fn warning_at_key(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.push(self.document.key_position(path), path, message.into(), Severity::Warning);
    }

    /// Whether an error was found in it so far.
    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether something stands at `path`, whatever it is.
    pub(super) fn has(&self, path: &KeyPath) -> bool {
        path.find(&self.document.value).is_some()
    }

    /// The line that the value at `path` starts in.
    pub(super) fn line(&self, path: &KeyPath) -> usize {
        self.document.value_position(path).line
    }

    /// Everything that was found.
    pub(super) fn into_findings(self) -> Vec<Diagnostic> {
        self.findings
    }

    /// Whether something was found there already: an alias, of which the schema sees only that its value is empty.
    fn is_reported(&self, position: Position, path: &KeyPath) -> bool {
        let key = path.to_string();
        self.findings.iter().any(|f| (f.line, f.column) == (position.line, position.column) && f.key == key)
    }

    fn push(&mut self, position: Position, path: &KeyPath, message: String, severity: Severity) {
        self.findings.push(Diagnostic {
            file: self.path.clone(),
            line: position.line,
            column: position.column,
            key: path.to_string(),
            message,
            severity,
        });
    }
}

/// An error about a file as a whole.
pub(super) fn about_file(path: &Path, message: String) -> Diagnostic {
    Diagnostic { file: path.to_owned(), line: 0, column: 0, key: String::new(), message, severity: Severity::Error }
}
