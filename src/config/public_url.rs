//! The one address that developers open, taken apart.

use std::net::Ipv6Addr;

use http::Uri;

use super::Config;

/// The parts of `public_url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicUrl {
    /// Lower case; an IPv6 address stands in brackets.
    pub(super) host: String,
    /// `None` for 443.
    pub(super) port: Option<u16>,
}

impl PublicUrl {
    /// Takes a configured address apart.
    ///
    /// # Errors
    /// Returns the rule that the text breaks.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "must be an address such as https://dev.example.com")?;
        if uri.scheme_str() != Some("https") {
            return Err("must start with https://");
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains(['#', '?']) {
            return Err("must be a host and nothing after it: no path, query or fragment");
        }
        let authority = uri.authority().ok_or("must name a host, such as https://dev.example.com")?;
        if authority.as_str().contains('@') {
            return Err("must not hold a user name or password");
        }
        let host = authority.host().to_ascii_lowercase();
        if !is_host(&host) {
            return Err("must name a host of letters, digits and -, or an IPv6 address in its shortest form, as in \
                        https://[::1]");
        }
        let written_port = authority.as_str().get(host.len()..).unwrap_or_default();
        match (written_port, authority.port_u16()) {
            ("", _) | (_, Some(443)) => Ok(Self { host, port: None }),
            (_, Some(port @ 1..)) => Ok(Self { host, port: Some(port) }),
            _ => Err("must have a port from 1 to 65535, or none"),
        }
    }

    /// Host and port as browsers write them into `Host`.
    pub(super) fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// The address as browsers write it into `Origin`.
    pub(super) fn origin(&self) -> String {
        format!("https://{}", self.authority())
    }
}

/// Whether a text in lower case can be found at all: labels of letters, digits, `-` and `_`, or an IPv6 address in
/// brackets, as browsers write it.
pub(super) fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[') {
        let parsed = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return parsed.is_some_and(|parsed| format!("[{parsed}]") == text);
    }
    let odd = |c: char| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
    text.len() <= 253 && text.split('.').all(|label| (1..=63).contains(&label.len()) && !label.contains(odd))
}

impl Config {
    /// Host and port of `public_url`, as browsers write them into `Host`: `dev.example.com`, `localhost:8443`.
    #[must_use]
    pub fn public_authority(&self) -> &str {
        self.public_url.strip_prefix("https://").unwrap_or(&self.public_url)
    }

    /// Host of `public_url`, without port: `dev.example.com`, `[::1]`.
    #[must_use]
    pub fn public_host(&self) -> &str {
        let authority = self.public_authority();
        let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        port.map_or(authority, |at| &authority[..at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_as_browsers_write_it() {
        for (text, origin) in [
            ("https://Dev.Example.com", "https://dev.example.com"),
            ("https://dev.example.com/", "https://dev.example.com"),
            ("https://dev.example.com:443", "https://dev.example.com"),
            ("https://localhost:8443", "https://localhost:8443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(PublicUrl::parse(text).map(|url| url.origin()), Ok(origin.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_address_with_more_or_less_than_a_host_is_refused() {
        for text in [
            "",
            "dev.example.com",
            "http://dev.example.com",
            "https://",
            "https://dev.example.com/ide/",
            "https://dev.example.com?x",
            "https://dev.example.com#x",
            "https://a@dev.example.com",
            "https://dev..example.com",
            "https://dev.example.com.",
            "https://a,b",
            "https://[::0:1]",
            "https://dev.example.com:0",
            "https://dev.example.com:99999",
            "https://dev.example.com:",
            "ftp://x",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn host_and_port_of_the_configured_address_can_be_asked_for() {
        let mut config = crate::config::tests::smallest();
        for (url, authority, host) in [
            ("https://dev.example.com", "dev.example.com", "dev.example.com"),
            ("https://localhost:8443", "localhost:8443", "localhost"),
            ("https://[::1]", "[::1]", "[::1]"),
            ("https://[::1]:8443", "[::1]:8443", "[::1]"),
        ] {
            config.public_url = url.to_owned();
            assert_eq!((config.public_authority(), config.public_host()), (authority, host));
        }
    }
}
