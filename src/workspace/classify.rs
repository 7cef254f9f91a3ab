//! What counts as somebody at work in a workspace, as its kind's `activity` list says.
//!
//! Pure: reads what the client sends (frames, heads of requests) and tells the source of the evidence, or nothing.
//! In doubt it says that somebody is at work: what cannot be read is unknown, and unknown is never idle. Only what
//! is known to come from an application by itself is left out: heartbeats, pollers, Theia's liveness call.
//!
//! Who keeps the evidence, and what follows from it, is the business of `activity` and `autostop`.

mod engine_io;
mod request;

use std::sync::Arc;

use crate::config::{ActivityClassifier, HttpActivity};
use crate::model::ActivitySource;
use crate::websocket::{Frame, MOST_PAYLOAD};

use engine_io::{Messages, Packets};
pub use request::RequestFacts;
use request::Requests;

/// The classifiers of one kind of workspace. A cheap handle.
#[derive(Debug, Clone)]
pub struct Classifier(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    requests: Requests,
    frames: FrameRule,
    socketio: bool,
    connections: bool,
}

/// The widest of the configured rules for frames; each counts all that those before it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FrameRule {
    Nothing,
    Theia,
    Socketio,
    AnyData,
}

impl Classifier {
    /// The classifiers in `kinds`; what one of them counts, counts.
    #[must_use]
    pub fn new(kinds: &[ActivityClassifier], http: &HttpActivity) -> Self {
        let frames = kinds.iter().map(|kind| match kind {
            ActivityClassifier::Theia => FrameRule::Theia,
            ActivityClassifier::Socketio => FrameRule::Socketio,
            ActivityClassifier::Websocket => FrameRule::AnyData,
            ActivityClassifier::Http | ActivityClassifier::Connections => FrameRule::Nothing,
        });
        Self(Arc::new(Rules {
            requests: Requests::new(kinds, http),
            frames: frames.max().unwrap_or(FrameRule::Nothing),
            socketio: kinds.contains(&ActivityClassifier::Socketio),
            connections: kinds.contains(&ActivityClassifier::Connections),
        }))
    }

    /// Whether a request over HTTP, a WebSocket's own included, shows somebody at work.
    #[must_use]
    pub fn request(&self, request: &RequestFacts<'_>) -> Option<ActivitySource> {
        self.0.requests.count(request).then_some(ActivitySource::Http)
    }

    /// The classifier of the body of a request whose head does not tell: socket.io by polling.
    #[must_use]
    pub fn body(&self, request: &RequestFacts<'_>) -> Option<BodyClassifier> {
        let messages = || if self.0.socketio { Messages::socket_io() } else { Messages::theia() };
        self.0.requests.carries_packets(request).then(|| BodyClassifier(Packets::of(messages())))
    }

    /// Whether a WebSocket is evidence for as long as it is open.
    #[must_use]
    pub fn counts_open_tunnels(&self) -> bool {
        self.0.connections
    }

    /// The classifier of the frames of one WebSocket.
    #[must_use]
    pub fn tunnel(&self) -> TunnelClassifier {
        TunnelClassifier(match self.0.frames {
            FrameRule::Nothing => Rule::Nothing,
            FrameRule::AnyData => Rule::AnyData,
            FrameRule::Theia => Rule::Messages(Messages::theia()),
            FrameRule::Socketio => Rule::Messages(Messages::socket_io()),
        })
    }
}

/// Looks at the body of one request as it passes, and keeps some hundred bytes of it at most.
#[derive(Debug)]
pub struct BodyClassifier(Packets);

impl BodyClassifier {
    /// Whether the next bytes of it show somebody at work.
    #[must_use]
    pub fn bytes(&mut self, bytes: &[u8]) -> Option<ActivitySource> {
        self.0.show_work(bytes).then_some(ActivitySource::Http)
    }

    /// Whether what came last shows it, now that the body has ended.
    #[must_use]
    pub fn end(&mut self) -> Option<ActivitySource> {
        self.0.end().then_some(ActivitySource::Http)
    }
}

/// Looks at what the client sends over one WebSocket.
#[derive(Debug)]
pub struct TunnelClassifier(Rule);

#[derive(Debug)]
enum Rule {
    Nothing,
    AnyData,
    Messages(Messages),
}

impl TunnelClassifier {
    /// How many bytes of the beginning of each payload it has to see.
    #[must_use]
    pub fn wanted_payload(&self) -> usize {
        match self.0 {
            Rule::Nothing | Rule::AnyData => 0,
            Rule::Messages(_) => MOST_PAYLOAD,
        }
    }

    /// Whether the next frame of the client's shows somebody at work. Ping, pong and close never do.
    #[must_use]
    pub fn frame(&mut self, frame: &Frame<'_>) -> Option<ActivitySource> {
        if frame.header.opcode.is_control() {
            return None;
        }
        let counts = match &mut self.0 {
            Rule::Nothing => false,
            Rule::AnyData => true,
            Rule::Messages(messages) => messages.show_work(frame),
        };
        counts.then_some(ActivitySource::WebSocket)
    }

    /// What bytes show that are not frames: nothing is known of them, so that somebody is at work.
    #[must_use]
    pub fn unreadable(&self) -> Option<ActivitySource> {
        (!matches!(self.0, Rule::Nothing)).then_some(ActivitySource::WebSocket)
    }
}

#[cfg(test)]
mod tests;
