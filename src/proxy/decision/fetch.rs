//! What a browser wants a request for, by Fetch Metadata.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::proxy::admit::Admitted;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// A tab goes there.
    Navigation,
    /// A frame, an object or an embed goes there.
    Framed,
    /// A script, a style, an image, a worker, a WebSocket or a call of a page.
    Subresource,
    /// There is no Fetch Metadata, and HTML is asked for: an old browser's navigation, most likely.
    LikelyNavigation,
    /// There is no Fetch Metadata, and HTML is not asked for: no browser, most likely.
    Unknown,
}

impl Fetch {
    /// Reads `Sec-Fetch-Mode` and `Sec-Fetch-Dest`, or `Accept` where both are missing.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let field = |name| headers.get(name).map(|value| value.as_bytes().trim_ascii());
        match (field("sec-fetch-mode"), field("sec-fetch-dest")) {
            (None, None) if accepts_html(headers) => Self::LikelyNavigation,
            (None, None) => Self::Unknown,
            (Some(b"navigate"), Some(b"document")) => Self::Navigation,
            (Some(b"navigate"), _) => Self::Framed,
            _ => Self::Subresource,
        }
    }

    /// Whether it can be a tab's navigation. What sends no Fetch Metadata gets the benefit of the doubt: every browser
    /// that is still kept up sends it over HTTPS, and no script can leave it out.
    #[must_use]
    pub const fn is_top_level(self) -> bool {
        matches!(self, Self::Navigation | Self::LikelyNavigation | Self::Unknown)
    }

    /// Whether the answer is best a page for a person.
    #[must_use]
    pub fn wants_page(self, request: &Admitted) -> bool {
        matches!(self, Self::Navigation | Self::LikelyNavigation) && request.is_safe() && !request.is_tunnel()
    }
}

/// Whether `text/html` is named; `*/*` is what scripts and tools ask for.
fn accepts_html(headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(ACCEPT).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    ranges.any(|range| {
        let kind = range.split(|b| *b == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn fetch_metadata_tells_navigations_from_the_rest() {
        for (headers, fetch) in [
            (&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..], Fetch::Navigation),
            (&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], Fetch::Framed),
            (&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "object")], Fetch::Framed),
            (&[("sec-fetch-mode", "navigate")], Fetch::Framed),
            (&[("sec-fetch-dest", "document")], Fetch::Subresource),
            (&[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("accept", "text/html")], Fetch::Subresource),
            (&[("sec-fetch-mode", "websocket"), ("sec-fetch-dest", "empty")], Fetch::Subresource),
            (&[("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")], Fetch::LikelyNavigation),
            (&[("accept", "*/*")], Fetch::Unknown),
            (&[], Fetch::Unknown),
        ] {
            let map = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(Fetch::of(&map), fetch, "{headers:?}");
        }
    }
}
