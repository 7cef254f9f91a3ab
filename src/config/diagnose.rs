//! What the schema's validator finds, in sentences of our own.
//!
//! No sentence quotes a value: it may be a secret in the wrong place. Keys are quoted.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::LocationSegment;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::key_path::{KeyPath, Step};
use super::schema::format_named;

/// What is wrong at one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// The key.
    pub(super) path: KeyPath,
    /// What about it does not fit.
    pub(super) subject: Subject,
    /// The sentence.
    pub(super) message: String,
}

/// What about a key does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Its value.
    Value,
    /// That it is missing, or its name.
    Key,
    /// That it is there.
    UnknownKey,
}

/// Nobody reads on after as many findings; a file of nothing but unknown keys is answered in bounded time.
const MOST_MISFITS: usize = 1000;

/// What in `value` does not fit `schema`.
pub(super) fn misfits(validator: &Validator, schema: &Value, value: &Value) -> Vec<Misfit> {
    validator.iter_errors(value).flat_map(|error| sentences(&error, schema)).take(MOST_MISFITS).collect()
}

fn sentences(error: &ValidationError<'_>, schema: &Value) -> Vec<Misfit> {
    let path = key_path(error);
    let here = subschema(schema, &path);
    let at_value = |message: String| vec![Misfit { path: path.clone(), subject: Subject::Value, message }];
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|key| unknown_key(&path, key, &known_keys(here))).collect()
        }
        Kind::Required { property } => vec![missing_key(&path, property.as_str().unwrap_or_default())],
        Kind::PropertyNames { error } => vec![bad_name(&path, error, here)],
        Kind::Type { kind } => at_value(wrong_type(kind, error.instance())),
        Kind::Enum { .. } | Kind::OneOfNotValid { .. } | Kind::Constant { .. } => at_value(choices(here)),
        Kind::Format { format } => at_value(format_rule(format, error.instance())),
        Kind::Pattern { .. } => at_value(pattern_rule(here)),
        Kind::Minimum { limit } => at_value(format!("must be at least {limit}")),
        Kind::Maximum { limit } => at_value(format!("must be at most {limit}")),
        Kind::MinItems { limit } => at_value(format!("must have at least {}", entries(*limit))),
        Kind::MaxItems { limit } => at_value(format!("must have at most {}", entries(*limit))),
        Kind::MinLength { limit } => at_value(format!("must have at least {limit} characters")),
        Kind::MaxLength { limit } => at_value(format!("must have at most {limit} characters")),
        other => at_value(format!("does not fit the schema ({})", other.keyword())),
    }
}

fn key_path(error: &ValidationError<'_>) -> KeyPath {
    error.instance_path().segments().fold(KeyPath::root(), |path, segment| match segment {
        LocationSegment::Property(key) => path.key(&key),
        LocationSegment::Index(index) => path.index(index),
    })
}

/// The part of the schema that rules the value at `path`.
pub(super) fn subschema<'s>(schema: &'s Value, path: &KeyPath) -> &'s Value {
    path.steps().iter().fold(schema, |schema, step| match step {
        Step::Index(_) => &schema["items"],
        Step::Key(key) => schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]),
    })
}

fn known_keys(schema: &Value) -> Vec<&str> {
    schema["properties"].as_object().map(|keys| keys.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn unknown_key(path: &KeyPath, key: &str, known: &[&str]) -> Misfit {
    let message = match closest(key, known) {
        Some(meant) => format!("unknown key; did you mean \"{meant}\"?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    };
    Misfit { path: path.key(key), subject: Subject::UnknownKey, message }
}

fn missing_key(path: &KeyPath, key: &str) -> Misfit {
    Misfit { path: path.key(key), subject: Subject::Key, message: "missing; this key is required".to_owned() }
}

fn bad_name(path: &KeyPath, error: &ValidationError<'_>, schema: &Value) -> Misfit {
    let name = error.instance().as_str().unwrap_or_default();
    Misfit { path: path.key(name), subject: Subject::Key, message: pattern_rule(&schema["propertyNames"]) }
}

fn pattern_rule(schema: &Value) -> String {
    match schema["patternErrorMessage"].as_str() {
        Some(rule) => rule.to_owned(),
        None => format!("must match {}", schema["pattern"].as_str().unwrap_or("the schema's pattern")),
    }
}

fn format_rule(format: &str, value: &Value) -> String {
    let rule = format_named(format).zip(value.as_str()).and_then(|(format, text)| (format.broken_rule)(text));
    rule.map_or_else(|| format!("must be a valid {format}"), str::to_owned)
}

fn wrong_type(expected: &TypeKind, found: &Value) -> String {
    let expected = match expected {
        TypeKind::Single(kind) => type_name(kind.as_str()).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| type_name(kind.as_str())).collect::<Vec<_>>().join(" or "),
    };
    match found {
        Value::Null => format!("has no value; it must be {expected}, or the key must be left out"),
        Value::Number(_) | Value::Bool(_) if expected == type_name("string") => {
            "must be text; put it in quotes".to_owned()
        }
        _ => format!("must be {expected}, not {}", type_name(type_of(found))),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_name(kind: &str) -> &'static str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a mapping of keys",
        _ => "empty",
    }
}

fn choices(schema: &Value) -> String {
    format!("must be one of: {}", choice_names(schema).join(", "))
}

/// The values that a schema of fixed choices allows.
pub(super) fn choice_names(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    let described = described.flat_map(|choice| match &choice["enum"] {
        Value::Array(listed) => listed.iter().collect(),
        _ => vec![&choice["const"]],
    });
    listed.chain(described).filter_map(Value::as_str).collect()
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// The known word that `word` is most likely a misspelling of.
pub(super) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // Short words are like too many others, and longer ones than any key are not worth comparing.
    let allowed = match word.chars().count() {
        3..=5 => 1,
        6..=64 => 2,
        _ => return None,
    };
    let scored = known.iter().map(|candidate| (distance(word, candidate), *candidate));
    scored.filter(|(score, _)| *score <= allowed).min().map(|(_, candidate)| candidate)
}

/// Edits between two words: insert, delete, replace, or swap two neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_recognised_and_a_foreign_one_is_not() {
        let known = ["workspace", "workspaces", "path", "host", "allow"];
        assert_eq!(closest("workspcae", &known), Some("workspace"));
        assert_eq!(closest("Path", &known), Some("path"));
        assert_eq!(closest("alow", &known), Some("allow"));
        assert_eq!(closest("upstream", &known), None);
        assert_eq!(closest("ho", &known), None);
    }
}
