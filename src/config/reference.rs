//! The reference page, `docs/config.md`, made from the schema.

use std::fmt::Write;

use serde_json::Value;

use super::diagnose::choice_names;
use super::key_path::KeyPath;
use super::restart::needs_restart;
use super::schema::{format_named, schema};

/// The reference page in Markdown: a section for each mapping, a row for each key.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Made by `usher schema --markdown` from the comments in the code; do not edit. A commented sample is \
         [config/usher.yaml](../config/usher.yaml), the schema for editors is [usher.schema.json](usher.schema.json), \
         and `usher check FILE` reports everything that is wrong with a file.\n\n\
         A *time span* is a number with a unit: `500ms`, `30s`, `5m`, `12h`, `1h 30m`. A *size* is a whole number with \
         `KiB`, `MiB` or `GiB`. A key whose default is *left out* has none; what that means stands beside it. \
         Changes are applied without a restart, but for the keys marked so.\n",
    );
    section(&mut page, &schema(), &Place { heading: String::new(), path: KeyPath::root() }, None);
    page
}

/// Where a mapping stands: as a heading (`routes[].allow`, `workspaces.<name>`), and as a path.
struct Place {
    heading: String,
    path: KeyPath,
}

impl Place {
    fn key(&self, key: &str) -> Self {
        let dot = if self.heading.is_empty() { "" } else { "." };
        Self { heading: format!("{}{dot}{key}", self.heading), path: self.path.key(key) }
    }

    fn item(&self) -> Self {
        Self { heading: format!("{}[]", self.heading), path: self.path.index(0) }
    }
}

/// Writes the mapping at `place` and the mappings below it. `defaults` is what the whole mapping is if it is left out.
fn section(page: &mut String, schema: &Value, place: &Place, defaults: Option<&Value>) {
    let Some(keys) = schema["properties"].as_object() else { return };
    let title = if place.heading.is_empty() { "Top level".to_owned() } else { format!("`{}`", place.heading) };
    append(page, &format!("\n## {title}\n\n{}\n\n", prose(schema)));
    append(page, "| key | type | default | meaning | restart |\n| --- | --- | --- | --- | --- |\n");
    for (key, property) in keys {
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|name| name == key));
        let default = default_of(key, property, defaults);
        let default = if required { "**required**".to_owned() } else { default_cell(default) };
        let restart = if needs_restart(&place.path.key(key)) { "needed" } else { "" };
        let row =
            format!("| `{key}` | {} | {default} | {} | {restart} |\n", type_cell(property), cell(&prose(property)));
        append(page, &row);
    }
    for (key, property) in keys {
        below(page, property, &place.key(key), default_of(key, property, defaults));
    }
}

fn below(page: &mut String, property: &Value, place: &Place, defaults: Option<&Value>) {
    section(page, property, place, defaults);
    section(page, &property["items"], &place.item(), None);
    section(page, &property["additionalProperties"], &place.key("<name>"), None);
}

fn default_of<'v>(key: &str, property: &'v Value, defaults: Option<&'v Value>) -> Option<&'v Value> {
    property.get("default").or_else(|| defaults?.get(key))
}

fn append(page: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = page.write_str(text);
}

fn prose(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

/// A text as a table's cell: one line, no bars.
fn cell(text: &str) -> String {
    text.replace("\n\n", "<br>").replace('\n', " ").replace('|', "\\|")
}

fn type_cell(schema: &Value) -> String {
    let choices = choice_names(schema);
    if !choices.is_empty() {
        return choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(format) = schema["format"].as_str().and_then(format_named) {
        return format.title.to_owned();
    }
    if let Some(kinds) = schema["type"].as_array() {
        let one = |kind: &Value| {
            let mut alone = schema.clone();
            alone["type"] = kind.clone();
            type_cell(&alone)
        };
        return kinds.iter().map(one).collect::<Vec<_>>().join(" or ");
    }
    match schema["type"].as_str() {
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => whole_number(schema),
        Some("array") => format!("list of {}", plural(&schema["items"])),
        Some("object") if schema["properties"].is_object() => "keys below".to_owned(),
        Some("object") if schema["additionalProperties"]["properties"].is_object() => "mapping, by name".to_owned(),
        Some("object") => format!("mapping of names to {}", type_cell(&schema["additionalProperties"])),
        _ => String::new(),
    }
}

fn plural(schema: &Value) -> String {
    match type_cell(schema) {
        network if network == "network" => "networks".to_owned(),
        _ if schema["properties"].is_object() => "mappings".to_owned(),
        other => other,
    }
}

fn whole_number(schema: &Value) -> String {
    let largest = schema["maximum"].as_u64().filter(|largest| *largest < u64::from(u32::MAX));
    match (schema["minimum"].as_u64(), largest) {
        (least, Some(largest)) => format!("{} to {largest}", least.unwrap_or(0)),
        (Some(least @ 1..), None) => format!("{least} or more"),
        _ => "whole number".to_owned(),
    }
}

fn default_cell(default: Option<&Value>) -> String {
    match default {
        None => "left out".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Object(keys)) if keys.is_empty() => "none".to_owned(),
        Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(Value::Object(_)) => "see below".to_owned(),
        Some(Value::Array(items)) => {
            let items: Vec<_> =
                items.iter().map(|item| item.as_str().map_or(item.to_string(), str::to_owned)).collect();
            format!("`[{}]`", items.join(", "))
        }
        Some(other) => format!("`{other}`"),
    }
}
