//! When sessions were last used, kept over a restart: a cookie's own word for it is old where only a tunnel was used.
//!
//! A convenience, not a proof: it can lengthen an idle session's life, never one beyond its lifetime.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::claims::SessionId;
use super::journal::seconds;
use super::private_file;
use crate::model::Timestamp;

/// Last uses from before the restart, and the file for those of now.
pub(super) struct LastUses {
    path: PathBuf,
    before: Mutex<HashMap<SessionId, Timestamp>>,
}

impl LastUses {
    /// Reads the file; what cannot be read is not known.
    pub(super) fn open(path: &Path) -> Self {
        let text = private_file::read(path).unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "cannot read when sessions were last used");
            String::new()
        });
        Self { path: path.to_owned(), before: Mutex::new(text.lines().filter_map(parse).collect()) }
    }

    /// When a session was last used before the restart.
    pub(super) fn of(&self, id: &SessionId) -> Option<Timestamp> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    /// Writes the uses of now, and those from before that are younger than `horizon`. Blocks.
    pub(super) fn save(&self, uses: Vec<(SessionId, Timestamp)>, horizon: Timestamp) {
        let mut all = {
            let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            before.retain(|_, seen| *seen > horizon);
            before.clone()
        };
        all.extend(uses);
        let text: String = all.iter().map(|(id, seen)| format!("{} {}\n", id.to_hex(), seen.as_secs())).collect();
        if let Err(error) = private_file::replace(&self.path, &text) {
            tracing::warn!(file = %self.path.display(), %error, "cannot keep when sessions were last used");
        }
    }
}

fn parse(line: &str) -> Option<(SessionId, Timestamp)> {
    let (id, seen) = line.split_once(' ')?;
    Some((SessionId::from_hex(id)?, seconds(seen)?))
}
