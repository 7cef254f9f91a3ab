//! What the files of a configuration held when they were read, for noticing that one of them has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::source::read_capped;

/// Larger files count as unreadable; the checks refuse them anyway.
const LARGEST: u64 = 8 << 20;

/// Which files were read, and a hash of what each held; `None` for one that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint(BTreeMap<PathBuf, Option<Hash>>);

/// SHA-256 of a file's content.
pub(super) type Hash = [u8; 32];

impl Fingerprint {
    /// The same files as they are now. Reads them: not for an async thread.
    #[must_use]
    pub fn now(&self) -> Self {
        let mut now = Self::default();
        self.files().for_each(|file| now.look_at(file));
        now
    }

    /// The files, the configuration itself among them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Notes what was read. What was read first counts, so that a change in between is one.
    pub(super) fn note(&mut self, file: &Path, content: Hash) {
        self.0.entry(file.to_owned()).or_insert(Some(content));
    }

    /// Notes a file that was no use as it is.
    pub(super) fn look_at(&mut self, file: &Path) {
        let content = || read_capped(file, LARGEST).ok().map(|content| hash(&content));
        self.0.entry(file.to_owned()).or_insert_with(content);
    }
}

/// What a content is recognised by.
pub(super) fn hash(content: &[u8]) -> Hash {
    let mut hash = [0; 32];
    // SHA-256 has 32 bytes.
    hash.copy_from_slice(digest::digest(&digest::SHA256, content).as_ref());
    hash
}
