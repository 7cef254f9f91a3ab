//! The JSON schema of the YAML, made from the structs, and its validator.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{ByteSize, Cidr, Config, Span};
use crate::model::{GroupName, TenantId, UserId};

/// The JSON schema of `usher.yaml`, for editors and CI. Each description is the doc comment of a key.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schema_of::<Config>();
    schema["title"] = json!("Usher configuration");
    schema
}

/// The schema of one type, with nothing referred to and no `null`: a key has a value, or it is left out.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    refine(&mut schema);
    schema
}

fn refine(schema: &mut Value) {
    match schema {
        Value::Array(parts) => parts.iter_mut().for_each(refine),
        Value::Object(parts) => {
            parts.iter_mut().filter(|(key, _)| *key != "default").for_each(|(_, part)| refine(part));
            without_null(schema);
            bounded(schema);
        }
        _ => {}
    }
}

/// Takes out `null`, by which schemars says that a key may be left out.
fn without_null(schema: &mut Value) {
    let Some(parts) = schema.as_object_mut() else { return };
    if parts.get("default").is_some_and(Value::is_null) {
        parts.remove("default");
    } else if let Some(default) = parts.get_mut("default") {
        drop_nulls(default);
    }
    if let Some(Value::Array(types)) = parts.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            parts.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(mut choices)) = parts.remove("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    if let Some(Value::Object(only)) = choices.pop() {
        for (key, value) in only {
            parts.entry(key).or_insert(value);
        }
    }
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(entries) = value {
        entries.retain(|_, value| !value.is_null());
        entries.values_mut().for_each(drop_nulls);
    }
}

/// JSON schema does not know the widths of Rust's integers; their largest values are said as numbers.
fn bounded(schema: &mut Value) {
    let largest = match schema["format"].as_str() {
        Some("uint8") => u32::from(u8::MAX),
        Some("uint16") => u32::from(u16::MAX),
        Some("uint32") => u32::MAX,
        _ => return,
    };
    if let Some(parts) = schema.as_object_mut() {
        parts.remove("format");
        parts.entry("maximum").or_insert(json!(largest));
    }
}

/// A named rule for text: the `format` of a schema.
pub(super) struct Format {
    /// Its name in the schema.
    pub(super) name: &'static str,
    /// What to call it on the reference page.
    pub(super) title: &'static str,
    /// The rule that a text breaks, if it breaks it.
    pub(super) broken_rule: fn(&str) -> Option<&'static str>,
}

/// Every format that the schemas use.
pub(super) const FORMATS: &[Format] = &[
    Format { name: "span", title: "time span", broken_rule: |text| Span::parse(text).err() },
    Format { name: "byte-size", title: "size", broken_rule: |text| ByteSize::parse(text).err() },
    Format { name: "cidr", title: "network", broken_rule: |text| Cidr::parse(text).err() },
    Format { name: "socket-address", title: "IP address and port", broken_rule: socket_address_rule },
    Format { name: "tenant-id", title: "text", broken_rule: |text| TenantId::new(text).err().map(|e| e.rule) },
    Format { name: "user-id", title: "text", broken_rule: |text| UserId::new(text).err().map(|e| e.rule) },
    Format { name: "group-name", title: "text", broken_rule: |text| GroupName::new(text).err().map(|e| e.rule) },
];

fn socket_address_rule(text: &str) -> Option<&'static str> {
    let parsed = text.parse::<std::net::SocketAddr>();
    parsed.err().map(|_| "must be an IP address and a port, such as 0.0.0.0:8443 or [::]:8443")
}

/// The format of this name.
pub(super) fn format_named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// A validator that knows our formats.
///
/// # Errors
/// Returns an error if the schema itself is broken, which a test rules out.
pub(super) fn validator(schema: &Value) -> Result<jsonschema::Validator, Box<jsonschema::ValidationError<'static>>> {
    let mut options = jsonschema::draft202012::options().should_validate_formats(true);
    for format in FORMATS {
        options = options.with_format(format.name, |text| (format.broken_rule)(text).is_none());
    }
    options.build(schema).map_err(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(schema: &Value, look: &mut impl FnMut(&serde_json::Map<String, Value>)) {
        match schema {
            Value::Object(parts) => {
                look(parts);
                parts.iter().filter(|(key, _)| *key != "default").for_each(|(_, part)| visit(part, look));
            }
            Value::Array(parts) => parts.iter().for_each(|part| visit(part, look)),
            _ => {}
        }
    }

    #[test]
    fn the_schema_compiles_and_refers_to_nothing_outside_itself() {
        let schema = schema();
        assert!(validator(&schema).is_ok());
        let mut formats = Vec::new();
        visit(&schema, &mut |parts| {
            assert!(!parts.contains_key("$ref") && !parts.contains_key("anyOf"), "{parts:?}");
            formats.extend(parts.get("format").and_then(Value::as_str).map(str::to_owned));
        });
        for format in formats {
            assert!(format_named(&format).is_some(), "no rule for the format {format}");
        }
    }

    #[test]
    fn every_mapping_of_fixed_keys_refuses_others_and_describes_its_own() {
        visit(&schema(), &mut |parts| {
            let Some(Value::Object(properties)) = parts.get("properties") else { return };
            assert_eq!(parts.get("additionalProperties"), Some(&json!(false)), "{properties:?}");
            for (key, property) in properties {
                assert!(property["description"].is_string(), "{key} has no description");
            }
        });
    }

    #[test]
    fn every_pattern_says_in_words_what_it_wants() {
        visit(&schema(), &mut |parts| {
            // Among the names of keys, `pattern` is a key of ours.
            if parts.get("pattern").is_some_and(Value::is_string) {
                assert!(parts.contains_key("patternErrorMessage"), "{parts:?}");
            }
        });
    }
}
