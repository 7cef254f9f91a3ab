//! Longest-prefix look-up by path segments.
//!
//! A segment of a request is compared as an upstream would read it: decoded, and without `;parameters`. So a route
//! for `/admin/` also covers `/%61dmin;x/`, and its rules cannot be slipped by spelling.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use percent_encoding::percent_decode_str;

use super::Route;

/// The routes of one host.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
    routes: usize,
}

#[derive(Debug, Default)]
struct Node {
    route: Option<Arc<Route>>,
    children: HashMap<Box<str>, Node, RandomState>,
}

/// The longest prefix that covers a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'t> {
    pub(super) route: &'t Arc<Route>,
    /// Where in the path the prefix ends: at its last slash, or at the path's end if that slash is missing.
    pub(super) end: usize,
}

impl Tree {
    /// Adds a route. Returns whether its place was free.
    pub(super) fn insert(&mut self, route: &Arc<Route>) -> bool {
        let segments = route.prefix.split('/').filter(|segment| !segment.is_empty());
        let mut node = &mut self.root;
        for segment in segments {
            node = node.children.entry(Box::from(segment)).or_default();
        }
        self.routes += 1;
        node.route.replace(route.clone()).is_none()
    }

    /// How many routes it has.
    pub(super) const fn len(&self) -> usize {
        self.routes
    }

    /// Finds the longest prefix of a canonical path.
    pub(super) fn find(&self, path: &str) -> Option<Found<'_>> {
        let mut node = &self.root;
        let mut end = 0;
        let mut best = node.route.as_ref().map(|route| Found { route, end });
        for segment in path.split('/').skip(1) {
            let Some(child) = node.children.get(&*as_read(segment)) else { break };
            node = child;
            end += 1 + segment.len();
            if let Some(route) = &node.route {
                best = Some(Found { route, end });
            }
        }
        best
    }
}

/// A segment as an upstream would read it.
pub(super) fn as_read(segment: &str) -> Cow<'_, str> {
    let cut = |text: &str| text.find(';').unwrap_or(text.len());
    if !segment.contains('%') {
        return Cow::Borrowed(segment.get(..cut(segment)).unwrap_or(segment));
    }
    // Decoded to the end before it is cut, so that an encoded `;` cuts too. Each round shortens the text, and
    // admission has bounded how many there are.
    let mut read = segment.to_owned();
    loop {
        let decoded = percent_decode_str(&read).decode_utf8_lossy();
        if decoded == read.as_str() {
            break;
        }
        read = decoded.into_owned();
    }
    read.truncate(cut(&read));
    Cow::Owned(read)
}
