//! Values out of claims and attributes: where they stand, and as texts.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::config::ClaimPath;

/// A claim holds something that is neither text, number, truth value nor a list of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is neither text, number, truth value nor a list of these")]
pub struct NotTexts;

/// What stands at `path`. A claim whose whole name is the path comes before one that the path's dots lead to.
#[must_use]
pub fn find<'c>(claims: &'c Map<String, Value>, path: &ClaimPath) -> Option<&'c Value> {
    match path {
        ClaimPath::Dotted(text) => claims.get(text).or_else(|| descend(claims, text.split('.'))),
        ClaimPath::Keys(keys) => descend(claims, keys.iter().map(String::as_str)),
    }
}

fn descend<'c, 'k>(claims: &'c Map<String, Value>, mut keys: impl Iterator<Item = &'k str>) -> Option<&'c Value> {
    let first = claims.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.as_object()?.get(key))
}

/// The attribute of that name, however it is spelt: directories do not tell `mail` from `Mail`.
#[must_use]
pub fn attribute<'c>(attributes: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    let spelt_otherwise = || attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    attributes.get(name).or_else(spelt_otherwise)
}

/// A value as texts: one, or those of a list; `null` is none.
///
/// # Errors
/// Returns an error if it is a mapping, or a list that holds anything but texts, numbers and truth values.
pub fn texts(value: &Value) -> Result<Vec<Cow<'_, str>>, NotTexts> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.iter().map(text).collect(),
        single => Ok(vec![text(single)?]),
    }
}

fn text(value: &Value) -> Result<Cow<'_, str>, NotTexts> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(number) => Ok(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Ok(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(NotTexts),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dotted(path: &str) -> ClaimPath {
        ClaimPath::Dotted(path.to_owned())
    }

    #[test]
    fn a_whole_name_comes_before_what_dots_lead_to() {
        let claims = json!({ "a.b": 1, "a": { "b": 2, "c.d": 3, "e": { "f": null } }, "g": [ { "h": 1 } ] });
        let claims = claims.as_object().expect("a mapping");
        let keys = |keys: &[&str]| ClaimPath::Keys(keys.iter().map(ToString::to_string).collect());
        let table = [
            (dotted("a.b"), Some(json!(1))),
            (keys(&["a", "b"]), Some(json!(2))),
            (keys(&["a.b"]), Some(json!(1))),
            (keys(&["a", "c.d"]), Some(json!(3))),
            (dotted("a.c.d"), None),
            (dotted("a.e.f"), Some(json!(null))),
            (dotted("a.e.f.g"), None),
            (dotted("g.0.h"), None),
            (dotted("g.h"), None),
            (dotted(""), None),
            (dotted("."), None),
            (keys(&[]), None),
        ];
        for (path, expected) in table {
            assert_eq!(find(claims, &path).cloned(), expected, "{path:?}");
        }
    }

    #[test]
    fn texts_numbers_and_truth_values_are_taken_and_nothing_else() {
        let table = [
            (json!("x"), Some(vec!["x"])),
            (json!(42), Some(vec!["42"])),
            (json!(1.5), Some(vec!["1.5"])),
            (json!(true), Some(vec!["true"])),
            (json!(["a", 1, false]), Some(vec!["a", "1", "false"])),
            (json!([]), Some(vec![])),
            (json!(null), Some(vec![])),
            (json!({}), None),
            (json!(["a", {}]), None),
            (json!([["a"]]), None),
            (json!([null]), None),
        ];
        for (value, expected) in table {
            let found = texts(&value).ok();
            assert_eq!(found, expected.map(|texts| texts.into_iter().map(Cow::Borrowed).collect()), "{value}");
        }
    }

    #[test]
    fn attributes_are_found_however_they_are_spelt() {
        let attributes = json!({ "departmentNumber": ["7"] });
        let attributes = attributes.as_object().expect("a mapping");
        assert_eq!(attribute(attributes, "DEPARTMENTNUMBER"), Some(&json!(["7"])));
        assert_eq!(attribute(attributes, "department"), None);
    }
}
