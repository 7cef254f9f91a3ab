//! A process that is watched: our own child, or one that an earlier gateway started.

use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Child;

use super::record::Record;

/// Time between two looks at a process that is not our child: reading its line in /proc takes some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A process whose end can be waited for.
#[derive(Debug)]
pub(super) enum Process {
    /// Our own child; it is reaped and its status is known.
    Child(Child),
    /// Another gateway's child; its end is seen, its status is not.
    Foreign(Box<Record>),
}

impl Process {
    /// Returns when it has ended, with its status if that can be known. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        match self {
            Self::Child(child) => child.wait().await.ok(),
            Self::Foreign(record) => {
                while record.leader_is_alive() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                None
            }
        }
    }
}
