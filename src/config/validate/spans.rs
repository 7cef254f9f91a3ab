//! Spans that must have a length.

use super::{Checks, Draft, KeyPath};
use crate::config::Span;

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    if let Some(http) = &draft.http {
        let path = KeyPath::of("http");
        has_length(&path.key("handshake_timeout"), http.handshake_timeout, checks);
        has_length(&path.key("proxy_header_timeout"), http.proxy_header_timeout, checks);
        has_length(&path.key("head_timeout"), http.head_timeout, checks);
        has_length(&path.key("idle_timeout"), http.idle_timeout, checks);
        has_length(&path.key("connection_lifetime"), http.connection_lifetime, checks);
        has_length(&path.key("write_stall_timeout"), http.write_stall_timeout, checks);
        has_length(&path.key("upload_stall_timeout"), http.upload_stall_timeout, checks);
    }
    if let Some(upstream) = &draft.upstream {
        let path = KeyPath::of("upstream");
        has_length(&path.key("connect_timeout"), upstream.connect_timeout, checks);
        has_length(&path.key("head_timeout"), upstream.head_timeout, checks);
    }
    if let Some(session) = &draft.session {
        let path = KeyPath::of("session");
        has_length(&path.key("lifetime"), session.lifetime, checks);
        has_length(&path.key("idle"), session.idle, checks);
        has_length(&path.key("refresh"), session.refresh, checks);
        has_length(&path.key("reauthenticate"), session.reauthenticate, checks);
    }
    if let Some(identity) = &draft.identity {
        has_length(&KeyPath::of("identity.throttle.window"), identity.throttle.window, checks);
    }
    if let Some(shutdown) = &draft.shutdown {
        has_length(&KeyPath::of("shutdown.deadline"), shutdown.deadline, checks);
    }
}

/// Reports a span of nothing.
pub(super) fn has_length(path: &KeyPath, span: Span, checks: &mut Checks<'_>) {
    if span.is_zero() {
        checks.error(path, "must be longer than 0s");
    }
}
