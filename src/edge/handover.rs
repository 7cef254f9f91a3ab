//! Hand-over of the listening sockets from an old process to a new one on the same machine.
//!
//! pingora-core's transfer of descriptors over a unix socket does the work; the new process listens on that socket
//! for about six seconds, the old one connects to it for as long. pingora makes the socket writable for everybody, so
//! that the folder has to keep strangers out: whoever can connect could plant listening sockets of their own.

use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pingora_core::server::Fds;

/// Longest path of a unix socket.
const MAX_PATH: usize = 107;

/// Sockets could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// `listen.handover_socket` is not set.
    #[error("listen.handover_socket is not configured")]
    NotConfigured,
    /// The path cannot be the name of a unix socket.
    #[error("handover socket {}: path must be UTF-8 and at most {MAX_PATH} bytes", .0.display())]
    Path(PathBuf),
    /// The folder of the socket is missing or open to others.
    #[error("handover socket {}: folder must exist and be closed to group and others (mode 0700)", .0.display())]
    Folder(PathBuf),
    /// The other process did not come.
    #[error("handover socket {}: {reason}", path.display())]
    Transfer {
        /// The socket.
        path: PathBuf,
        /// What pingora says.
        reason: String,
    },
}

/// The old process's side: what it would give, and where.
pub(super) struct Handover {
    pub(super) path: Option<PathBuf>,
    /// Listening sockets by address. They stay open for as long as the accept loops run.
    pub(super) sockets: Vec<(String, RawFd)>,
}

impl Handover {
    /// Sends the sockets to the process that waits for them.
    pub(super) async fn give(&self) -> Result<(), HandoverError> {
        let path = self.path.clone().ok_or(HandoverError::NotConfigured)?;
        let mut table = Fds::new();
        for (address, socket) in &self.sockets {
            table.add(address.clone(), *socket);
        }
        let given = tokio::task::spawn_blocking(move || {
            let name = socket_name(&path)?;
            let sent = table.send_to_sock(name).map(drop);
            sent.map_err(|error| HandoverError::Transfer { path: path.clone(), reason: error.to_string() })
        });
        given.await.unwrap_or_else(|error| {
            Err(HandoverError::Transfer { path: self.path.clone().unwrap_or_default(), reason: error.to_string() })
        })
    }
}

/// The new process's side: waits up to six seconds for the sockets of the old one. Blocks the thread.
pub(super) fn take(path: Option<&Path>) -> Result<Fds, HandoverError> {
    let path = path.ok_or(HandoverError::NotConfigured)?;
    let name = socket_name(path)?;
    let mut table = Fds::new();
    table
        .get_from_sock(name)
        .map_err(|error| HandoverError::Transfer { path: path.to_owned(), reason: error.to_string() })?;
    Ok(table)
}

/// Checks what pingora would panic on, and who could come to the socket.
fn socket_name(path: &Path) -> Result<&str, HandoverError> {
    let folder = path.parent().and_then(|folder| folder.metadata().ok());
    if !folder.is_some_and(|folder| folder.is_dir() && folder.mode() & 0o077 == 0) {
        return Err(HandoverError::Folder(path.to_owned()));
    }
    let name = path.to_str().filter(|name| name.len() <= MAX_PATH && !name.contains('\0'));
    name.ok_or_else(|| HandoverError::Path(path.to_owned()))
}
