//! `routes`: where they stand, what they lead to, and that no two claim the same address.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use http::Uri;

use super::hosts::HostPattern;
use super::{Checks, Draft, KeyPath, headers, quoted};
use crate::config::diagnose::closest;
use crate::config::public_url::{self, PublicUrl};
use crate::config::{Route, Upstream};

/// Where our own pages live, on every host.
const OWN: &str = "/.usher/";

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    let public_host = draft.public_url.as_deref().and_then(|url| PublicUrl::parse(url).ok()).map(|url| url.host);
    let mut claimed = Claims::default();
    for (at, route) in &draft.routes {
        let path = path_of(*at);
        address(&path, route, checks);
        target(&path, route, draft, checks);
        allow(&path, route, draft, checks);
        headers::check(&path, route, checks);
        claimed.claim(*at, route, public_host.as_deref(), checks);
    }
}

fn path_of(at: usize) -> KeyPath {
    KeyPath::of("routes").index(at)
}

fn prefix(route: &Route) -> &str {
    route.path.as_deref().unwrap_or("/")
}

fn address(path: &KeyPath, route: &Route, checks: &mut Checks<'_>) {
    if let Some(Err(rule)) = route.host.as_deref().map(HostPattern::parse) {
        checks.error(&path.key("host"), rule);
    }
    if route.path.is_none() && route.host.is_none() {
        checks.absent(path, "needs a path, a host or both");
    }
    if prefix(route).starts_with(OWN) {
        checks.error(&path.key("path"), format!("lies under {OWN}, where the gateway's own pages are"));
    }
    if prefix(route).split('/').any(|segment| matches!(segment, "." | "..")) {
        checks.error(&path.key("path"), "must not hold the segments . and ..");
    }
}

fn target(path: &KeyPath, route: &Route, draft: &Draft, checks: &mut Checks<'_>) {
    match (&route.workspace, &route.upstream) {
        (None, None) => checks.absent(path, "needs a workspace or an upstream to lead to"),
        (Some(_), Some(_)) => checks.error(path, "leads to a workspace and an upstream; one of them has to go"),
        (Some(kind), None) => known_kind(&path.key("workspace"), kind, draft, checks),
        (None, Some(upstream)) => {
            upstream_address(&path.key("upstream"), upstream, draft.upstream.as_ref(), checks);
            if route.host.as_deref().is_some_and(|host| host.contains("{workspace}")) {
                checks.error(&path.key("host"), "holds {workspace}, but the route leads to an upstream that all share");
            }
        }
    }
}

fn known_kind(path: &KeyPath, kind: &str, draft: &Draft, checks: &mut Checks<'_>) {
    if draft.kind_names.contains(kind) {
        return;
    }
    let known: Vec<&str> = draft.kind_names.iter().map(String::as_str).collect();
    let hint = match (closest(kind, &known), known.as_slice()) {
        (Some(meant), _) => format!("did you mean {meant}?"),
        (None, []) => "none is configured".to_owned(),
        (None, known) => format!("known: {}", known.join(", ")),
    };
    checks.error(path, format!("no such workspace kind {}; {hint}", quoted(kind)));
}

fn upstream_address(path: &KeyPath, text: &str, settings: Option<&Upstream>, checks: &mut Checks<'_>) {
    const FORM: &str = "must be http:// or https://, a host and a port, such as http://service:8080";
    let Ok(uri) = text.parse::<Uri>() else { return checks.error(path, FORM) };
    let scheme = uri.scheme_str().unwrap_or_default();
    let Some(authority) = uri.authority().filter(|_| matches!(scheme, "http" | "https")) else {
        return checks.error(path, FORM);
    };
    if authority.as_str().contains('@') {
        checks.error(path, "must not hold a user name or password");
    } else if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains(['#', '?']) {
        checks.error(path, "must have no path, query or fragment");
    } else if authority.port_u16().is_none_or(|port| port == 0) {
        checks.error(path, FORM);
    } else if !is_upstream_host(authority.host()) {
        checks.error(path, "must name a host of letters, digits, - and _ in labels of at most 63, 253 in all");
    } else if scheme == "https" && settings.is_some_and(|settings| settings.ca_file.is_none()) {
        checks.error(path, "is https, and upstream.ca_file names no authorities to verify it against");
    }
}

/// A name may end with the dot that keeps a resolver from adding to it.
fn is_upstream_host(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || public_url::is_host(host.strip_suffix('.').unwrap_or(&host))
}

fn allow(path: &KeyPath, route: &Route, draft: &Draft, checks: &mut Checks<'_>) {
    let only_listed = draft.tenants.get("defaults").and_then(|defaults| defaults.disabled) == Some(true);
    for (at, tenant) in route.allow.tenants.iter().enumerate() {
        let path = path.key("allow").key("tenants").index(at);
        if tenant == "defaults" {
            checks.error(&path, "\"defaults\" is not a tenant");
        } else if only_listed && !draft.tenants.contains_key(tenant) {
            let message = format!("no such tenant {}, and tenants.defaults.disabled keeps out", quoted(tenant));
            checks.error(&path, message + " those that are not listed");
        }
    }
}

/// The addresses that routes lay claim to.
#[derive(Default)]
struct Claims {
    taken: BTreeMap<(HostPattern, String), usize>,
    patterns: BTreeMap<HostPattern, usize>,
}

impl Claims {
    fn claim(&mut self, at: usize, route: &Route, public_host: Option<&str>, checks: &mut Checks<'_>) {
        let Some(host) = route.host.as_deref().or(public_host) else { return };
        let Ok(host) = HostPattern::parse(host) else { return };
        let own = public_host.is_some_and(|public| host == HostPattern::Exact(public.to_owned()));
        if own && prefix(route) == "/" && (route.path.is_some() || route.host.is_some()) {
            let message = "/ on the host of public_url is the portal's; choose a path such as /ide/";
            let key = if route.path.is_some() { "path" } else { "host" };
            return checks.error(&path_of(at).key(key), message);
        }
        self.claim_address(at, route, &host, checks);
        self.claim_pattern(at, host, checks);
    }

    fn claim_address(&mut self, at: usize, route: &Route, host: &HostPattern, checks: &mut Checks<'_>) {
        let address = (host.clone(), prefix(route).to_owned());
        if let Some(first) = self.taken.get(&address) {
            let line = checks.source.line(&path_of(*first));
            checks.error(&path_of(at), format!("has the same host and path as routes[{first}] in line {line}"));
        } else if route.path.is_some() || route.host.is_some() {
            self.taken.insert(address, at);
        }
    }

    fn claim_pattern(&mut self, at: usize, host: HostPattern, checks: &mut Checks<'_>) {
        if self.patterns.contains_key(&host) {
            return;
        }
        if let Some((_, first)) = self.patterns.iter().find(|(other, _)| other.competes_with(&host)) {
            let line = checks.source.line(&path_of(*first).key("host"));
            let message = format!("can match the same hosts as routes[{first}].host in line {line}");
            checks.error(&path_of(at).key("host"), message);
        }
        self.patterns.insert(host, at);
    }
}
