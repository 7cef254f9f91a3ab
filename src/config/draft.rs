//! What of a configuration can be understood although some of it is wrong, so that a misspelt key in one section
//! does not hide a dangling reference in another.
//!
//! Keys that do not fit the schema are taken out, and each section is read by itself. What then still cannot be
//! read is `None`, and no check looks at it.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::source::Source;
use super::{Assertion, Http, Identity, Listen, Log, Route, Session, Shutdown, Tenant, Upstream, WorkspaceKind};

/// The sections of a configuration that can be understood.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) public_url: Option<String>,
    pub(super) state_dir: Option<String>,
    pub(super) listen: Option<Listen>,
    pub(super) http: Option<Http>,
    pub(super) upstream: Option<Upstream>,
    pub(super) session: Option<Session>,
    pub(super) identity: Option<Identity>,
    pub(super) assertion: Option<Assertion>,
    pub(super) tenants: BTreeMap<String, Tenant>,
    pub(super) workspaces: BTreeMap<String, WorkspaceKind>,
    /// The names of all workspace kinds, those among them that cannot be understood.
    pub(super) kind_names: BTreeSet<String>,
    /// The routes that can be understood, each with its index.
    pub(super) routes: Vec<(usize, Route)>,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) log: Option<Log>,
}

impl Draft {
    /// Reads what can be read of a document whose misfits are known.
    pub(super) fn of(source: &Source) -> Self {
        let mut value = source.document.value.clone();
        for path in &source.misfits {
            path.take_out(&mut value);
        }
        Self {
            public_url: section(&value, "public_url"),
            state_dir: section(&value, "state_dir"),
            listen: section(&value, "listen"),
            http: section_or_default(&value, "http"),
            upstream: section_or_default(&value, "upstream"),
            session: section(&value, "session"),
            identity: section(&value, "identity"),
            assertion: section_or_default(&value, "assertion"),
            tenants: entries(&value, "tenants"),
            workspaces: entries(&value, "workspaces"),
            kind_names: names(&source.document.value, "workspaces"),
            routes: routes(&value),
            shutdown: section_or_default(&value, "shutdown"),
            log: section_or_default(&value, "log"),
        }
    }
}

fn section<T: DeserializeOwned>(root: &Value, key: &str) -> Option<T> {
    serde_json::from_value(root.get(key)?.clone()).ok()
}

fn section_or_default<T: DeserializeOwned + Default>(root: &Value, key: &str) -> Option<T> {
    if root.get(key).is_none() { Some(T::default()) } else { section(root, key) }
}

fn entries<T: DeserializeOwned>(root: &Value, key: &str) -> BTreeMap<String, T> {
    let entries = root.get(key).and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), serde_json::from_value(value.clone()).ok()?))).collect()
}

fn names(root: &Value, key: &str) -> BTreeSet<String> {
    root.get(key).and_then(Value::as_object).map(|entries| entries.keys().cloned().collect()).unwrap_or_default()
}

fn routes(root: &Value) -> Vec<(usize, Route)> {
    let items = root.get("routes").and_then(Value::as_array).into_iter().flatten();
    items.enumerate().filter_map(|(at, item)| Some((at, serde_json::from_value(item.clone()).ok()?))).collect()
}
