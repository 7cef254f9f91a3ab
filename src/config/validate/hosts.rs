//! `routes[].host`: names and patterns, and which of them can match the same host.

use crate::config::public_url;

/// The placeholder that may stand in the first label.
const PLACEHOLDER: &str = "{workspace}";
/// Longest label of a workspace (`WorkspaceId::label`).
const LONGEST_WORKSPACE_LABEL: usize = 23;

/// A host as a route names it, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostPattern {
    /// One name.
    Exact(String),
    /// A name for each workspace.
    Workspaces {
        /// What stands before the placeholder.
        before: String,
        /// What stands after it in the first label.
        after: String,
        /// The other labels.
        domain: String,
    },
}

impl HostPattern {
    /// Takes a host apart. Case does not count.
    ///
    /// # Errors
    /// Returns the rule that the text breaks.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.to_ascii_lowercase();
        if text.contains(':') && !text.starts_with('[') {
            return Err("must be a host without a port");
        }
        let sample = text.replacen(PLACEHOLDER, &"w".repeat(LONGEST_WORKSPACE_LABEL), 1);
        if sample.contains(['{', '}']) {
            return Err("may hold {workspace} once, and no other placeholder");
        }
        if !is_host(&sample) {
            return Err("must be a host name of letters, digits and -, with labels of at most 63 characters \
                        ({workspace} counts as 23)");
        }
        let Some((before, rest)) = text.split_once(PLACEHOLDER) else { return Ok(Self::Exact(text)) };
        let (after, domain) = rest.split_once('.').ok_or("must have a domain after {workspace}")?;
        if before.contains('.') {
            return Err("may hold {workspace} in its first label only");
        }
        Ok(Self::Workspaces { before: before.to_owned(), after: after.to_owned(), domain: domain.to_owned() })
    }

    /// Whether two different patterns can match the same host, with no rule for which one wins.
    /// A name beside a pattern is no such case: the name wins.
    pub(super) fn competes_with(&self, other: &Self) -> bool {
        let (
            Self::Workspaces { before: before_a, after: after_a, domain: domain_a },
            Self::Workspaces { before: before_b, after: after_b, domain: domain_b },
        ) = (self, other)
        else {
            return false;
        };
        let starts_alike = before_a.starts_with(before_b.as_str()) || before_b.starts_with(before_a.as_str());
        let ends_alike = after_a.ends_with(after_b.as_str()) || after_b.ends_with(after_a.as_str());
        self != other && domain_a == domain_b && starts_alike && ends_alike
    }
}

fn is_host(text: &str) -> bool {
    text.starts_with('[') && public_url::is_host(text) || text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_stands_once_in_the_first_label() {
        for text in ["a.example.com", "{workspace}.example.com", "ide-{workspace}.Example.com", "localhost", "[::1]"] {
            assert!(HostPattern::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "a..b",
            "a.{workspace}.example.com",
            "{workspace}",
            "{workspace}{workspace}.example.com",
            "*.example.com",
            "{user}.example.com",
            "example.com:8443",
            "-a.example.com",
            "a_b.example.com",
            "http://a",
            "[::0:1]",
            "[::1",
            "a/b",
            &format!("{}{{workspace}}.example.com", "a".repeat(41)),
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn patterns_compete_when_one_host_could_be_read_both_ways() {
        let pattern = |text| HostPattern::parse(text).unwrap();
        let ide = pattern("ide-{workspace}.example.com");
        assert!(ide.competes_with(&pattern("{workspace}.example.com")));
        assert!(ide.competes_with(&pattern("{workspace}-x.example.com")));
        assert!(!ide.competes_with(&ide));
        assert!(!ide.competes_with(&pattern("desktop-{workspace}.example.com")));
        assert!(!ide.competes_with(&pattern("ide-{workspace}.example.org")));
        assert!(!ide.competes_with(&pattern("ide-ada.example.com")));
    }
}
