//! One compiled route.

use std::sync::Arc;

use http::{HeaderName, Uri};

use super::{BuildError, HeaderTemplate, HostPattern, PublicUrl, Rules, own::OWN_SEGMENT};
use crate::config;
use crate::model::KindName;

/// One compiled route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Host, if one is configured, and path, as configured: the metric label.
    pub label: Arc<str>,
    /// Which hosts it is on.
    pub host: HostPattern,
    /// Its path prefix; starts and ends with `/`.
    pub prefix: String,
    /// Whether the prefix is taken out before forwarding.
    pub strip_prefix: bool,
    /// What it leads to.
    pub target: Target,
    /// Who may use it.
    pub allow: Rules,
    /// Headers that are set for the upstream.
    pub headers: Vec<HeaderTemplate>,
    /// Whether requests carry a signed statement of who sent them.
    pub assertion: bool,
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Everybody's own workspace of this kind.
    Workspace(KindName),
    /// One service for all.
    Upstream(Arc<SharedUpstream>),
    /// Our own pages.
    Own,
    /// The one address of ours on hosts of other routes: where a session is handed over to them.
    Entrance,
}

/// A service that all users of a route share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SharedUpstream {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its host; an IPv6 address stands in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl SharedUpstream {
    /// Parses `http://` or `https://`, a host and at most a port and a `/`.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let plain = !authority.as_str().contains('@') && uri.path_and_query().is_none_or(|p| p.as_str() == "/");
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if tls => 443,
            None => 80,
        };
        (plain && !authority.host().is_empty() && !authority.as_str().ends_with(':')).then(|| Self {
            tls,
            host: authority.host().to_ascii_lowercase(),
            port,
        })
    }
}

impl Route {
    /// Compiles one route of the configuration.
    pub(super) fn compile(route: &config::Route, public: &PublicUrl) -> Result<Self, BuildError> {
        let prefix = route.path.as_deref().unwrap_or("/").to_owned();
        let label = format!("{}{prefix}", route.host.as_deref().unwrap_or_default());
        let host = match &route.host {
            Some(host) => HostPattern::parse(host).ok_or_else(|| BuildError::Host { route: label.clone() })?,
            None => HostPattern::Exact(public.host().to_owned()),
        };
        check_prefix(&prefix, &label)?;
        let target = target(route, &label)?;
        if matches!(host, HostPattern::PerWorkspace { .. }) && !matches!(target, Target::Workspace(_)) {
            return Err(BuildError::PatternTarget { route: label });
        }
        let headers = headers(route, &label)?;
        Ok(Self {
            label: Arc::from(label),
            host,
            strip_prefix: route.strip_prefix.unwrap_or(true),
            prefix,
            target,
            allow: Rules::from(&route.allow),
            headers,
            assertion: route.assertion,
        })
    }

    /// The route of our own pages.
    pub(super) fn own(public: &PublicUrl) -> Self {
        Self {
            label: Arc::from("usher"),
            host: HostPattern::Exact(public.host().to_owned()),
            prefix: "/".to_owned(),
            strip_prefix: false,
            target: Target::Own,
            allow: Rules::default(),
            headers: Vec::new(),
            assertion: false,
        }
    }

    /// The way into hosts of other routes. It counts as ours, on whatever host.
    pub(super) fn entrance(public: &PublicUrl) -> Self {
        Self { target: Target::Entrance, ..Self::own(public) }
    }

    /// Whether its prefix is taken out of what is forwarded.
    #[must_use]
    pub fn strips(&self) -> bool {
        self.strip_prefix && self.prefix != "/"
    }
}

/// Segments of letters, digits and marks that are the same in every spelling of a path, see `Tree`.
fn check_prefix(prefix: &str, label: &str) -> Result<(), BuildError> {
    let error = || BuildError::Path { route: label.to_owned() };
    let inner = prefix.strip_prefix('/').ok_or_else(error)?;
    if inner.is_empty() {
        return Ok(());
    }
    let segments = inner.strip_suffix('/').ok_or_else(error)?;
    for segment in segments.split('/') {
        let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '%' | ';' | '?' | '#' | '\\');
        if segment.is_empty() || segment == "." || segment == ".." || segment.contains(odd) {
            return Err(error());
        }
    }
    if segments.split('/').next() == Some(OWN_SEGMENT) {
        return Err(BuildError::OwnPath { route: label.to_owned() });
    }
    Ok(())
}

fn target(route: &config::Route, label: &str) -> Result<Target, BuildError> {
    let target = match (&route.workspace, &route.upstream) {
        (Some(kind), None) => KindName::new(kind).ok().map(Target::Workspace),
        (None, Some(url)) => SharedUpstream::parse(url).map(|upstream| Target::Upstream(Arc::new(upstream))),
        _ => None,
    };
    target.ok_or_else(|| BuildError::Target { route: label.to_owned() })
}

fn headers(route: &config::Route, label: &str) -> Result<Vec<HeaderTemplate>, BuildError> {
    let compile = |(name, text): (&String, &String)| {
        HeaderName::from_bytes(name.as_bytes())
            .ok()
            .filter(|name| may_be_set(name.as_str()))
            .and_then(|name| HeaderTemplate::parse(name, text))
            .ok_or_else(|| BuildError::Header { route: label.to_owned(), header: name.clone() })
    };
    route.headers.iter().map(compile).collect()
}

/// Whether a route may set a header: not what frames a message, names its host, says who is there or where
/// it came from, and not in a spelling that upstreams read differently.
fn may_be_set(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let framing = matches!(
        name,
        "connection"
            | "content-length"
            | "cookie"
            | "expect"
            | "forwarded"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "origin"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    );
    let family = ["x-usher-", "x-forwarded", "proxy", "sec-"].iter().any(|prefix| name.starts_with(prefix));
    plain && !framing && !family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_plain_addresses() {
        let upstream = SharedUpstream::parse("http://gpaas.svc:8080").expect("an address");
        assert_eq!((upstream.tls, upstream.host.as_str(), upstream.port), (false, "gpaas.svc", 8080));
        assert_eq!(
            SharedUpstream::parse("https://[::1]/").map(|u| (u.tls, u.host, u.port)),
            Some((true, "[::1]".to_owned(), 443))
        );
        for bad in ["ftp://a", "http://", "http://u@a", "http://a/b", "http://a?x", "a:80", "/a", "http://a:"] {
            assert_eq!(SharedUpstream::parse(bad), None, "{bad}");
        }
    }
}
