//! What the gateway asks the portal to show instead of forwarding; handed over as a request extension.

use super::{ErrorKind, WorkspaceId};

/// A page of our own in answer to a navigation to some other address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageRequest {
    /// The workspace is stopped, starting, stopping or failed: show its start page, and go on to `target` when it is up.
    Start {
        /// Whose it is.
        workspace: WorkspaceId,
        /// Path and query that were asked for; always starts with one `/`.
        target: String,
    },
    /// Something went wrong: show the sentence for it.
    Problem(Problem),
    /// The same on a host that has no pages of ours, so that the answer has to stand alone.
    ProblemElsewhere {
        /// What went wrong.
        problem: Problem,
        /// Where our pages are: `https://host[:port]`.
        home: String,
    },
}

/// An answer of the gateway's own, before it is written as a page or as problem JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is.
    pub kind: ErrorKind,
    /// HTTP status.
    pub status: u16,
    /// Id of the request, as in the access log; shown so that an operator can find it.
    pub request_id: String,
    /// Whole seconds after which to try again, if that may help.
    pub retry_after: Option<u32>,
    /// A detail that the user may read; never anything about other people.
    pub detail: Option<String>,
}

/// Path and query that a browser asked for where a page stands in place of it; a request extension beside a
/// [`PageRequest::Problem`], so that the page can lead back there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked(pub String);
