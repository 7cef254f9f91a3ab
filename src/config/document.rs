//! One YAML file as a JSON value, and where in the file each key stands.
//!
//! Strict where YAML is lax: a key that stands twice, a second document, anchors, aliases and tags are problems.
//! So nothing is ever expanded, and a document's value is never larger than its text.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use serde_json::{Map, Value};

use super::key_path::{KeyPath, Step};

/// Deepest nesting; the configuration's own is 8.
const DEEPEST: usize = 16;
/// Most keys and list entries: room for 10,000 tenants and 40,000 users. Each costs the memory of its path, some
/// 300 bytes, while a file is read.
const MOST_VALUES: usize = 500_000;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Counted from 1.
    pub(super) line: usize,
    /// In characters, counted from 1.
    pub(super) column: usize,
}

impl From<&Marker> for Position {
    fn from(marker: &Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// Where a key stands, and where its value does. An entry of a list has its value's place for both.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: Position,
    value: Position,
}

/// Something that keeps a file from being read as plain data.
#[derive(Debug)]
pub(super) struct Defect {
    /// The key that it concerns.
    pub(super) path: KeyPath,
    /// Where.
    pub(super) position: Position,
    /// What. May quote the file.
    pub(super) message: String,
}

/// A file's data with the place of every key.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// The data; an empty mapping for an empty file.
    pub(super) value: Value,
    /// What is wrong with the file as YAML. The value holds what could be read nevertheless.
    pub(super) defects: Vec<Defect>,
    /// Whether reading broke off at the last defect, so that `value` is not the whole file.
    pub(super) broken: bool,
    places: HashMap<KeyPath, Place>,
}

impl Document {
    /// Reads a text.
    pub(super) fn parse(text: &str) -> Self {
        let mut builder = Builder::default();
        let options = granit_parser::options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            flow_nesting_limit: DEEPEST,
            block_nesting_limit: DEEPEST,
        };
        let broken = Parser::new_from_str_with_options(text, options).try_for_each(|next| {
            let (event, span) = next.map_err(|error| syntax_defect(&error))?;
            builder.take(event, Position::from(&span.start))
        });
        if let Err(defect) = broken {
            builder.document.broken = !builder.open.is_empty() || builder.document.value.is_null();
            builder.document.defects.push(defect);
        }
        let mut document = builder.document;
        if document.value.is_null() {
            document.value = Value::Object(Map::new());
        }
        document
    }

    /// Where the value at `path` stands, or the nearest key above it.
    pub(super) fn value_position(&self, path: &KeyPath) -> Position {
        self.places.get(path).map_or_else(|| self.key_position(path), |place| place.value)
    }

    /// Where the key at the end of `path` stands, or the nearest key above it.
    pub(super) fn key_position(&self, path: &KeyPath) -> Position {
        self.nearest(path).map_or(Position { line: 1, column: 1 }, |place| place.key)
    }

    fn nearest(&self, path: &KeyPath) -> Option<Place> {
        std::iter::successors(Some(path.clone()), KeyPath::parent).find_map(|path| self.places.get(&path).copied())
    }
}

fn syntax_defect(error: &ScanError) -> Defect {
    Defect { path: KeyPath::root(), position: error.marker().into(), message: error.kind().to_string() }
}

/// A mapping or list that is not closed yet.
enum Open {
    Mapping { path: KeyPath, entries: Map<String, Value>, key: Option<(KeyPath, Position)> },
    List { path: KeyPath, items: Vec<Value> },
}

/// Takes the parser's events one by one.
#[derive(Default)]
struct Builder {
    document: Document,
    open: Vec<Open>,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), Defect> {
        match event {
            Event::DocumentStart(..) => return self.start_document(position),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_decoration(anchor, tag.is_some(), position);
                return self.scalar(&text, style, position);
            }
            Event::MappingStart(_, anchor, tag) => {
                let path = self.start_value(position)?;
                self.refuse_decoration(anchor, tag.is_some(), position);
                self.open.push(Open::Mapping { path, entries: Map::new(), key: None });
            }
            Event::SequenceStart(_, anchor, tag) => {
                let path = self.start_value(position)?;
                self.refuse_decoration(anchor, tag.is_some(), position);
                self.open.push(Open::List { path, items: Vec::new() });
            }
            Event::MappingEnd | Event::SequenceEnd => self.close(),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let path = self.start_value(position)?;
                self.defect(path, position, "aliases are not supported: write the value out");
                self.put(Value::Null);
            }
            _ => {}
        }
        Ok(())
    }

    fn start_document(&mut self, position: Position) -> Result<(), Defect> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let message = "a second document starts here; a file has one".to_owned();
        Err(Defect { path: KeyPath::root(), position, message })
    }

    fn refuse_decoration(&mut self, anchor: usize, tagged: bool, position: Position) {
        let path = self.here();
        if anchor > 0 {
            self.defect(path.clone(), position, "anchors are not supported");
        }
        if tagged {
            self.defect(path, position, "tags are not supported");
        }
    }

    fn defect(&mut self, path: KeyPath, position: Position, message: &str) {
        self.document.defects.push(Defect { path, position, message: message.to_owned() });
    }

    /// The path of the value that is being read.
    fn here(&self) -> KeyPath {
        match self.open.last() {
            None => KeyPath::root(),
            Some(
                Open::List { path, .. }
                | Open::Mapping { path, key: None, .. }
                | Open::Mapping { key: Some((path, _)), .. },
            ) => path.clone(),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, position: Position) -> Result<(), Defect> {
        if let Some(Open::Mapping { path, key: key @ None, .. }) = self.open.last_mut() {
            *key = Some((path.step(Step::Key(text.to_owned())), position));
            return Ok(());
        }
        self.start_value(position)?;
        let plain = style == ScalarStyle::Plain;
        self.put(if plain { plain_scalar(text) } else { Value::String(text.to_owned()) });
        Ok(())
    }

    /// Notes the place of a value and returns its path. The first of two equal keys keeps its place.
    fn start_value(&mut self, position: Position) -> Result<KeyPath, Defect> {
        let (path, key) = match self.open.last() {
            None => (KeyPath::root(), position),
            Some(Open::List { path, items }) => (path.index(items.len()), position),
            Some(Open::Mapping { key: Some((path, key)), .. }) => (path.clone(), *key),
            Some(Open::Mapping { path, .. }) => {
                let message = "a key must be plain text".to_owned();
                return Err(Defect { path: path.clone(), position, message });
            }
        };
        if self.document.places.len() >= MOST_VALUES {
            let message = format!("the file has more than {MOST_VALUES} values");
            return Err(Defect { path: KeyPath::root(), position, message });
        }
        self.document.places.entry(path.clone()).or_insert(Place { key, value: position });
        Ok(path)
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::Mapping { entries, .. }) => self.put(Value::Object(entries)),
            Some(Open::List { items, .. }) => self.put(Value::Array(items)),
            None => {}
        }
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.document.value = value,
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Mapping { entries, key, .. }) => {
                let Some((path, position)) = key.take() else { return };
                let Some(Step::Key(name)) = path.steps().last() else { return };
                if entries.contains_key(name) {
                    let first = self.document.places.get(&path).map_or(0, |place| place.key.line);
                    let message = format!("stands here for the second time; the first is in line {first}");
                    self.document.defects.push(Defect { path, position, message });
                } else {
                    entries.insert(name.clone(), value);
                }
            }
        }
    }
}

/// What a plain scalar means by YAML 1.2's core schema. Whole numbers are integers, however they are written.
fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Value::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Value::from);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !unsigned.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(Value::from(number));
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(Value::from(number));
    }
    whole_or_fraction(text.parse().ok()?)
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number that f64 holds exactly")]
fn whole_or_fraction(number: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Some(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn position(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    #[test]
    fn every_key_and_value_has_its_place() {
        let document = Document::parse("a: 1\nb:\n  - { c: x }\n  - d:   [ y ]\n");
        assert_eq!(document.value, json!({"a": 1, "b": [{"c": "x"}, {"d": ["y"]}]}));
        assert!(document.defects.is_empty());
        let d = KeyPath::of("b").index(1).key("d");
        assert_eq!(document.key_position(&d), position(4, 5));
        assert_eq!(document.value_position(&d.index(0)), position(4, 12));
        assert_eq!(document.value_position(&KeyPath::of("b").index(0)), position(3, 5));
        assert_eq!(document.key_position(&d.key("missing")), position(4, 5));
    }

    #[test]
    fn scalars_mean_what_yaml_1_2_says() {
        let text = "[yes, no, true, ~, 010, 0x1F, 1.5, 2.0, 1e3, .inf, 1.2.3.4, 12:30, '1', -7, +, .]";
        let expected =
            json!(["yes", "no", true, null, 10, 31, 1.5, 2, 1000, ".inf", "1.2.3.4", "12:30", "1", -7, "+", "."]);
        assert_eq!(Document::parse(text).value, expected);
    }

    #[test]
    fn what_is_lax_in_yaml_is_a_defect_with_a_place() {
        for (text, line, column, path, message) in [
            ("a: 1\nb: 2\na: 3\n", 3, 1, "a", "second time; the first is in line 1"),
            ("a: &x 1\nb: 2\n", 1, 7, "a", "anchors are not supported"),
            ("a: &x 1\nb: *x\n", 2, 4, "b", "aliases are not supported"),
            ("a: !secret 1\n", 1, 12, "a", "tags are not supported"),
            ("a: 1\n---\nb: 2\n", 2, 1, "", "second document"),
            ("? [a]\n: 1\n", 1, 3, "", "a key must be plain text"),
            ("a: [1\nb: 2\n", 2, 2, "", ""),
        ] {
            let document = Document::parse(text);
            let defect = document.defects.last().unwrap_or_else(|| panic!("{text:?} has no defect"));
            assert_eq!((defect.path.to_string().as_str(), defect.position), (path, position(line, column)), "{text:?}");
            assert!(defect.message.contains(message), "{text:?}: {}", defect.message);
        }
    }

    #[test]
    fn a_file_that_nests_too_deeply_or_holds_too_much_is_refused() {
        for text in ["[".repeat(10_000), "- ".repeat(10_000), format!("[{}]", "1,".repeat(MOST_VALUES))] {
            let document = Document::parse(&text);
            assert!(document.broken && !document.defects.is_empty());
        }
    }

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        let document = Document::parse("a: { x: 1 }\na: { x: 2 }\n");
        assert_eq!(document.value, json!({"a": {"x": 1}}));
        assert_eq!(document.value_position(&KeyPath::of("a.x")), position(1, 9));
    }
}
