//! Patterns that whole texts are held against. The one reading of them, for checking and for matching.
//!
//! Promises: a match takes time linear in the text, and a pattern has a largest size; so neither who writes a name
//! into a directory nor a token can make one slow.

use regex::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
const LONGEST: usize = 1000;
/// Largest compiled pattern, and largest cache of one match, in bytes.
const LARGEST: usize = 1 << 20;
/// How deep groups may nest.
const DEEPEST: u32 = 32;
/// Longest text that is looked at, in bytes: the longest distinguished name that is read. A longer one matches nothing.
const LONGEST_TEXT: usize = 8 * 1024;

/// A regular expression that a whole text must match.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    names_tenant: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Returns a sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        // By itself first: `a)|(b` is a pattern only between brackets.
        compile(text)?;
        let regex = compile(&format!(r"\A(?:{text})\z"))?;
        let mut names = regex.capture_names().flatten();
        let names_tenant = names.clone().any(|name| name == "tenant");
        match names.find(|name| *name != "tenant") {
            None => Ok(Self { regex, names_tenant }),
            Some(name) => Err(format!("has a part named {name:?}; the one name that means something is \"tenant\"")),
        }
    }

    /// Whether a part of it is named `tenant`.
    #[must_use]
    pub const fn names_tenant(&self) -> bool {
        self.names_tenant
    }

    /// Whether parts of it are set off in brackets and none is named: `tenant-([a-z]+)`.
    #[must_use]
    pub fn names_nothing_in_brackets(&self) -> bool {
        // The whole match counts as one.
        !self.names_tenant && self.regex.captures_len() > 1
    }

    /// Whether it matches the whole of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        text.len() <= LONGEST_TEXT && self.regex.is_match(text)
    }

    /// The tenant that `text` stands for: its part of that name, or the whole if no part has that name.
    /// `None`: it does not match, or matches without that part.
    #[must_use]
    pub fn tenant<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.names_tenant {
            return self.matches(text).then_some(text);
        }
        if text.len() > LONGEST_TEXT {
            return None;
        }
        Some(self.regex.captures(text)?.name("tenant")?.as_str())
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).size_limit(LARGEST).dfa_size_limit(LARGEST).nest_limit(DEEPEST).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "is too large; name fewer repetitions or smaller classes".to_owned(),
        // Many lines: the pattern, a mark under the place, and the reason.
        error => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            format!("is not a regular expression: {}", reason.trim_start_matches("error: "))
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_matches_whole_texts() {
        let table = [
            ("acme", "acme", Some("acme")),
            ("acme", "acme2", None),
            ("acme|globex", "globex", Some("globex")),
            ("acme|globex", "globexx", None),
            ("^acme$", "acme", Some("acme")),
            ("acme", "acme\n", None),
            ("tenant-(?<tenant>[a-z0-9-]+)", "tenant-acme", Some("acme")),
            ("tenant-(?<tenant>[a-z0-9-]+)", "my-tenant-acme", None),
            ("tenant-(?P<tenant>[a-z]+)", "tenant-acme", Some("acme")),
            ("(?i)TENANT-(?<tenant>[a-z]+)", "tenant-Acme", Some("Acme")),
            ("all|tenant-(?<tenant>[a-z]+)", "all", None),
            ("(?<tenant>.*)", "", Some("")),
        ];
        for (pattern, text, tenant) in table {
            assert_eq!(Pattern::parse(pattern).expect(pattern).tenant(text), tenant, "{pattern} {text:?}");
        }
        let long = "a".repeat(LONGEST_TEXT + 1);
        assert_eq!(Pattern::parse(".*").expect("a pattern").tenant(&long), None);
        assert_eq!(Pattern::parse("(?<tenant>.*)").expect("a pattern").tenant(&long), None);
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_said_in_one_sentence() {
        let table = [
            ("", "must not be empty"),
            ("(a", "is not a regular expression: unclosed group"),
            ("a)|(b", "is not a regular expression: unopened group"),
            ("(?<tenent>.*)", "has a part named \"tenent\"; the one name that means something is \"tenant\""),
            (
                "(?=a)",
                "is not a regular expression: look-around, including look-ahead and look-behind, is not supported",
            ),
            ("\\w{1000}", "is too large; name fewer repetitions or smaller classes"),
        ];
        for (text, expected) in table {
            assert_eq!(Pattern::parse(text).err().as_deref(), Some(expected), "{text}");
        }
        assert!(Pattern::parse(&"a".repeat(LONGEST + 1)).is_err());
        let deep = format!("{}a{}", "(".repeat(200), ")".repeat(200));
        assert!(Pattern::parse(&deep).is_err());
    }

    proptest! {
        #[test]
        fn no_pattern_and_no_text_make_it_panic(pattern in "\\PC{0,30}|[a-c(?<tn>)*|\\[\\]]{0,20}", text in any::<String>()) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let tenant = pattern.tenant(&text);
                prop_assert!(tenant.is_none() || pattern.matches(&text));
            }
        }
    }
}
