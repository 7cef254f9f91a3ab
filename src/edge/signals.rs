//! The signals that stop a gateway.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Stop;

/// TERM, INT and QUIT of this process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which is to die.
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Drain,
            _ = self.interrupt.recv() => Stop::Fast,
            _ = self.quit.recv() => Stop::Handover,
        }
    }
}
