//! `public_url`, `state_dir`, `upstream`, `shutdown`, `log`, `http`.

use tracing_subscriber::EnvFilter;

use super::{Checks, Draft, KeyPath, files};
use crate::config::public_url::PublicUrl;
use crate::config::{AuditOutput, ByteSize, Http, Log, Shutdown, Upstream};

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    if let Some(Err(rule)) = draft.public_url.as_deref().map(PublicUrl::parse) {
        checks.error(&KeyPath::of("public_url"), rule);
    }
    if let Some(folder) = &draft.state_dir {
        state_dir(folder, checks);
    }
    if let Some(http) = &draft.http {
        header_sizes(http, checks);
    }
    if let Some(Upstream { ca_file: Some(file), .. }) = &draft.upstream {
        files::authorities(&KeyPath::of("upstream.ca_file"), file, checks);
    }
    if let Some(shutdown) = &draft.shutdown {
        leaves_in_time(shutdown, checks);
    }
    if let Some(log) = &draft.log {
        filter(log, checks);
        audit_file(log, checks);
    }
}

fn state_dir(folder: &str, checks: &mut Checks<'_>) {
    let path = KeyPath::of("state_dir");
    let is_file = |path: &std::path::Path| path.exists() && !path.is_dir();
    if folder.is_empty() {
        checks.error(&path, "must name a folder");
    } else if is_file(&crate::config::paths::absolute(checks.folder, folder)) {
        checks.error(&path, "must be a folder, but a file stands there");
    }
}

fn header_sizes(http: &Http, checks: &mut Checks<'_>) {
    let path = KeyPath::of("http");
    if !(ByteSize::kib(4)..=ByteSize::mib(1)).contains(&http.max_header_size) {
        checks.error(&path.key("max_header_size"), "must be from 4KiB to 1MiB");
    }
    if !(ByteSize::kib(1)..=ByteSize::kib(64)).contains(&http.max_target_size) {
        checks.error(&path.key("max_target_size"), "must be from 1KiB to 64KiB");
    }
}

fn leaves_in_time(shutdown: &Shutdown, checks: &mut Checks<'_>) {
    let needed = shutdown.drain_delay.0.saturating_add(shutdown.nudge_window.0);
    if needed > shutdown.deadline.0 {
        let message = "is shorter than drain_delay and nudge_window together, so WebSockets will be cut off";
        checks.warning(&KeyPath::of("shutdown.deadline"), message);
    }
}

fn filter(log: &Log, checks: &mut Checks<'_>) {
    if EnvFilter::try_new(&log.filter).is_err() {
        let message = "must be a level (error, warn, info, debug, trace) or a filter such as info,usher::proxy=debug";
        checks.error(&KeyPath::of("log.filter"), message);
    }
}

fn audit_file(log: &Log, checks: &mut Checks<'_>) {
    let Some(file) = &log.audit_file else { return };
    let path = KeyPath::of("log.audit_file");
    let Some(absolute) = files::name(&path, file, checks) else { return };
    if absolute.is_dir() {
        checks.error(&path, "must be a file, but a folder stands there");
    } else if !absolute.parent().is_some_and(std::path::Path::is_dir) {
        checks.error(&path, "stands in a folder that is not there");
    } else if files::is_world_readable(&absolute) {
        checks.warning(&path, "can be read by everybody on this machine; take the permission away (chmod o-r)");
    }
    if log.audit == AuditOutput::Off {
        checks.error(&path, "is given while log.audit is off; leave one of them out");
    }
}
