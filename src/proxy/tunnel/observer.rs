//! Who looks at what the client sends.

use crate::model::ActivitySource;
use crate::websocket::Frame;
use crate::workspace::classify::TunnelClassifier;

/// Sees every frame that the client sends. Called in the copy loop, so it must be quick and must not block.
pub trait ClientFrames {
    /// How many bytes of the beginning of each payload it wants to see; at most `websocket::MOST_PAYLOAD`.
    /// Asked once, when the tunnel opens.
    fn wanted_payload(&self) -> usize {
        0
    }

    /// A frame came.
    fn frame(&mut self, frame: &Frame<'_>);

    /// Bytes came that are not readable as frames.
    fn unreadable(&mut self) {}
}

/// Nobody looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl ClientFrames for Unobserved {
    fn frame(&mut self, _: &Frame<'_>) {}
}

/// Tells `on_activity` of every frame in which the classifier sees somebody at work.
#[derive(Debug)]
pub struct Classified<F> {
    classifier: TunnelClassifier,
    on_activity: F,
}

impl<F: FnMut(ActivitySource)> Classified<F> {
    /// Looks with `classifier`, which belongs to one tunnel.
    #[must_use]
    pub const fn new(classifier: TunnelClassifier, on_activity: F) -> Self {
        Self { classifier, on_activity }
    }
}

impl<F: FnMut(ActivitySource)> ClientFrames for Classified<F> {
    fn wanted_payload(&self) -> usize {
        self.classifier.wanted_payload()
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        if let Some(source) = self.classifier.frame(frame) {
            (self.on_activity)(source);
        }
    }

    fn unreadable(&mut self) {
        if let Some(source) = self.classifier.unreadable() {
            (self.on_activity)(source);
        }
    }
}
