//! Hosts of routes, and the one public address.

use std::net::Ipv6Addr;

/// The address that developers open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    host_length: usize,
}

/// What an origin starts with.
const HTTPS: &str = "https://";

impl PublicUrl {
    /// Parses `https://host` or `https://host:port`, with at most a `/` after it. A port of 443 is left out,
    /// as browsers do in `Origin`.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let url = url.to_ascii_lowercase();
        let rest = url.strip_prefix(HTTPS)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let host_length = host_length(authority)?;
        let (host, port) = authority.split_at(host_length);
        let port: Option<u16> = match port.strip_prefix(':') {
            Some(digits) => Some(digits.parse().ok()?),
            None if port.is_empty() => None,
            None => return None,
        };
        if !is_host(host) && !is_literal(host) {
            return None;
        }
        let origin = match port.filter(|port| *port != 443) {
            Some(port) => format!("{HTTPS}{host}:{port}"),
            None => format!("{HTTPS}{host}"),
        };
        Some(Self { origin, host_length })
    }

    /// The origin as browsers write it: scheme, host, and port if it is not 443.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The host in lower case, without port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.origin.get(HTTPS.len()..HTTPS.len() + self.host_length).unwrap_or_default()
    }

    /// `:port`, or nothing if it is 443. Hosts of other routes are served on the same port.
    #[must_use]
    pub fn port_suffix(&self) -> &str {
        self.origin.get(HTTPS.len() + self.host_length..).unwrap_or_default()
    }
}

fn host_length(authority: &str) -> Option<usize> {
    if authority.starts_with('[') {
        Some(authority.find(']')? + 1)
    } else {
        Some(authority.find(':').unwrap_or(authority.len()))
    }
}

/// An IPv6 address in brackets, as browsers write it.
fn is_literal(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok());
    address.is_some_and(|address| format!("[{address}]") == host)
}

/// Lower-case labels of letters, digits, `-` and `_`.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// What stands for a workspace's label.
const PLACEHOLDER: &str = "{workspace}";

/// The host of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// One host.
    Exact(String),
    /// One host for each workspace: `{workspace}` with something round it in the first label.
    PerWorkspace {
        /// What stands before the workspace's label.
        before: String,
        /// What stands after it in the first label.
        after: String,
        /// Everything after the first label, without the dot.
        domain: String,
    },
}

impl HostPattern {
    /// Parses a host as it is configured; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((before, rest)) = text.split_once(PLACEHOLDER) else {
            return (is_host(text) || is_literal(text)).then(|| Self::Exact(text.to_owned()));
        };
        let (after, domain) = rest.split_once('.')?;
        // A sample label in the placeholder's place makes it a host like any other.
        let sample = format!("{before}w{after}.{domain}");
        let valid = is_host(&sample) && !before.contains('.');
        valid.then(|| Self::PerWorkspace {
            before: before.to_owned(),
            after: after.to_owned(),
            domain: domain.to_owned(),
        })
    }

    /// The workspace's label in `first_label`, if this is a pattern and fits.
    #[must_use]
    pub(super) fn capture<'h>(&self, first_label: &'h str) -> Option<&'h str> {
        match self {
            Self::Exact(_) => None,
            Self::PerWorkspace { before, after, .. } => first_label
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .filter(|label| !label.is_empty()),
        }
    }

    /// The host of the workspace with this label; the host itself if it is one for all.
    #[must_use]
    pub fn for_label(&self, label: &str) -> String {
        match self {
            Self::Exact(host) => host.clone(),
            Self::PerWorkspace { before, after, domain } => format!("{before}{label}{after}.{domain}"),
        }
    }

    /// How much of the first label is fixed; the pattern with more is the more specific one.
    pub(super) const fn fixed_length(&self) -> usize {
        match self {
            Self::Exact(host) => host.len(),
            Self::PerWorkspace { before, after, .. } => before.len() + after.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_url_is_an_origin() {
        for (url, origin, host, port) in [
            ("https://dev.example.com", "https://dev.example.com", "dev.example.com", ""),
            ("https://Dev.example.com:443/", "https://dev.example.com", "dev.example.com", ""),
            ("https://localhost:8443", "https://localhost:8443", "localhost", ":8443"),
            ("https://[::1]:8443", "https://[::1]:8443", "[::1]", ":8443"),
        ] {
            let public = PublicUrl::parse(url).expect(url);
            assert_eq!((public.origin(), public.host(), public.port_suffix()), (origin, host, port), "{url}");
        }
        for url in
            ["http://a", "https://", "https://a/b", "https://u@a", "https://a:b", "a", "https://a?x", "https://a//"]
        {
            assert_eq!(PublicUrl::parse(url), None, "{url}");
        }
    }

    #[test]
    fn a_pattern_captures_what_stands_for_the_workspace() {
        let pattern = HostPattern::parse("ws-{workspace}-ide.example.com").expect("a pattern");
        assert_eq!(pattern.capture("ws-ada-x-ide"), Some("ada-x"));
        assert_eq!(pattern.capture("ws--ide"), None);
        assert_eq!(pattern.capture("ada"), None);
        for bad in
            ["{workspace}", "a.{workspace}.b", "{workspace}.{workspace}.c", "{user}.a", "A.b", "a..b", "{workspace}x"]
        {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }
}
