//! What was found wrong with a configuration: every problem, each with its place.

use std::fmt;
use std::path::PathBuf;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::fingerprint::Fingerprint;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, but probably not as intended.
    Warning,
}

/// One finding. Its text never holds the content of a file that may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file that the finding is in, as it was named on the command line or is named in the YAML.
    pub file: PathBuf,
    /// Line, counted from 1; 0 if the finding is about the file as a whole.
    pub line: usize,
    /// Column in characters, counted from 1; 0 if the finding is about the file as a whole.
    pub column: usize,
    /// The key, e.g. `routes[2].workspace`; empty if the finding is about the file as a whole.
    pub key: String,
    /// What is wrong and, where it can be said, what would be right.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if self.severity == Severity::Warning {
            f.write_str(": warning")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why a configuration was refused: all that was found, errors and warnings, in the order of the files.
///
/// `Display` is one line for each finding and a summary; as JSON it is `{"valid": false, "problems": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Report {
    /// Every finding, sorted by file and position.
    pub problems: Vec<Diagnostic>,
    /// What was read to find them, for watching.
    pub read: Fingerprint,
}

impl Report {
    /// A report of these findings, sorted and without doubles.
    #[must_use]
    pub fn new(mut problems: Vec<Diagnostic>) -> Self {
        sort(&mut problems);
        Self { problems, read: Fingerprint::default() }
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }
}

/// Puts findings in the order of their places, and takes out those that say the same twice.
pub(super) fn sort(problems: &mut Vec<Diagnostic>) {
    problems.sort_by(|a, b| {
        (&a.file, a.line, a.column, a.severity, &a.key).cmp(&(&b.file, b.line, b.column, b.severity, &b.key))
    });
    problems.dedup();
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        write!(f, "{}", counted(self.count(Severity::Error), "error"))?;
        match self.count(Severity::Warning) {
            0 => Ok(()),
            warnings => write!(f, ", {}", counted(warnings, "warning")),
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 2)?;
        report.serialize_field("valid", &false)?;
        report.serialize_field("problems", &self.problems)?;
        report.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(line: usize, severity: Severity) -> Diagnostic {
        Diagnostic {
            file: "config/usher.yaml".into(),
            line,
            column: 5,
            key: "routes[2].workspace".to_owned(),
            message: "no such workspace kind \"idd\"; known: ide".to_owned(),
            severity,
        }
    }

    #[test]
    fn a_report_is_one_line_for_each_finding_and_a_summary() {
        let report = Report::new(vec![
            diagnostic(20, Severity::Error),
            diagnostic(14, Severity::Warning),
            diagnostic(14, Severity::Error),
            diagnostic(14, Severity::Error),
        ]);
        assert_eq!(
            report.to_string(),
            "config/usher.yaml:14:5: routes[2].workspace: no such workspace kind \"idd\"; known: ide\n\
             config/usher.yaml:14:5: warning: routes[2].workspace: no such workspace kind \"idd\"; known: ide\n\
             config/usher.yaml:20:5: routes[2].workspace: no such workspace kind \"idd\"; known: ide\n\
             2 errors, 1 warning"
        );
    }

    #[test]
    fn a_report_as_json_says_that_the_configuration_is_not_valid() {
        let json = serde_json::to_value(Report::new(vec![diagnostic(14, Severity::Error)])).unwrap();
        assert_eq!(json["valid"], false);
        assert_eq!(json["problems"][0]["line"], 14);
        assert_eq!(json["problems"][0]["severity"], "error");
    }
}
