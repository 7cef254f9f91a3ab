//! Files that only we may read: mode 0600 in a folder of mode 0700.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Most bytes that are read of a state file; ours stay well below.
const LONGEST: u64 = 64 << 20;

/// Makes a folder, and those above it, that only we may enter.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a whole text; empty if there is no such file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(LONGEST).read_to_string(&mut text).map(|_| text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(text),
        Err(error) => Err(error),
    }
}

/// Replaces a file's content: the old or the new is there at any time, never a part.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    // Otherwise a power cut may leave the new name with nothing in it.
    file.sync_data()?;
    std::fs::rename(&beside, path)
}

/// The empty file whose lock guards `path`.
pub(super) fn lock_beside(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.with_extension("lock"))
}

/// Gives a file to whom its folder belongs: a command may be run by root, and the gateway has to write to it.
pub(super) fn give_to_owner_of_folder(path: &Path) -> io::Result<()> {
    let folder = std::fs::metadata(path.parent().unwrap_or(path))?;
    let file = std::fs::metadata(path)?;
    if (file.uid(), file.gid()) != (folder.uid(), folder.gid()) {
        std::os::unix::fs::chown(path, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

/// Adds to the end of a file.
pub(super) fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
