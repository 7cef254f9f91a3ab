//! The way from the root of a document to one key: `routes[2].workspace`.

use std::fmt;

use serde_json::Value;

/// One step of a [`KeyPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// The way from the root of a document to one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct KeyPath(Vec<Step>);

impl KeyPath {
    /// The path of the document itself.
    pub(super) fn root() -> Self {
        Self::default()
    }

    /// A path of plain keys, written with dots between them.
    pub(super) fn of(keys: &str) -> Self {
        keys.split('.').fold(Self::root(), |path, key| path.key(key))
    }

    /// The path of a key in the mapping that stands here.
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// The path of an entry of the list that stands here.
    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The path one step further.
    pub(super) fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The steps from the root.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path one step back; `None` for the root.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, before) = self.0.split_last()?;
        Some(Self(before.to_vec()))
    }

    /// Whether `other` is this path or lies below it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The value at this path of `root`.
    pub(super) fn find<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    /// Takes the key at the end of this path out of its mapping. Entries of lists stay, so that indexes stay true.
    pub(super) fn take_out(&self, root: &mut Value) {
        let Some((Step::Key(key), before)) = self.0.split_last() else { return };
        let parent = before.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(index),
        });
        if let Some(Value::Object(entries)) = parent {
            entries.remove(key);
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if !is_plain(key) => write!(f, "[{key:?}]")?,
                Step::Key(key) if place == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_the_yaml_and_odd_keys_are_quoted() {
        assert_eq!(KeyPath::of("routes").index(2).key("workspace").to_string(), "routes[2].workspace");
        assert_eq!(KeyPath::of("a").key("b.c").key("d").to_string(), "a[\"b.c\"].d");
        assert_eq!(KeyPath::root().to_string(), "");
    }

    #[test]
    fn a_path_holds_what_lies_below_it_and_not_its_namesakes() {
        let route = KeyPath::of("routes").index(1);
        assert!(route.holds(&route) && route.holds(&route.key("path")));
        assert!(!route.holds(&KeyPath::of("routes").index(10)));
        assert!(!KeyPath::of("http").holds(&KeyPath::of("http_activity")));
    }
}
