//! The gateway's own paths on the public host.

/// Where our own pages live, without the slash at its end.
pub(super) const OWN_SEGMENT: &str = ".usher";

/// Where browsers look for an icon that no page has named.
pub(super) const ICON: &str = "/favicon.ico";

/// Where a browser brings a ticket to on the host of another route.
pub const ENTRANCE: &str = "/.usher/session";

/// Where a browser gets a ticket on the public host.
pub const ENTER: &str = "/.usher/enter";

/// Where the public keys of assertions are.
pub const ASSERTION_KEYS: &str = "/.usher/jwks.json";

/// What kind of own page a path leads to; each is guarded differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnPage {
    /// `/.usher/assets/…`, `/favicon.ico` and [`ASSERTION_KEYS`]: the same for everybody.
    Asset,
    /// `/.usher/login…` and `/.usher/language…`: pages for people who are not signed in.
    Public,
    /// `/.usher/api/…` and `/.usher/events…`: asked for by scripts of our pages, with a token.
    Api,
    /// [`ENTER`]: leads people who are signed in on to the host of another route.
    Enter,
    /// Everything else: pages for people who are signed in.
    Page,
}

impl OwnPage {
    /// What a canonical path of our own leads to.
    #[must_use]
    pub fn of(path: &str) -> Self {
        if path == ICON || path == ASSERTION_KEYS {
            return Self::Asset;
        }
        if path == ENTER {
            return Self::Enter;
        }
        let mut segments = path.split('/').skip(1);
        match (segments.next(), segments.next()) {
            (Some(OWN_SEGMENT), Some("assets")) => Self::Asset,
            (Some(OWN_SEGMENT), Some("login" | "language")) => Self::Public,
            (Some(OWN_SEGMENT), Some("api" | "events")) => Self::Api,
            _ => Self::Page,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths_are_told_apart_by_their_second_segment() {
        for (path, page) in [
            ("/", OwnPage::Page),
            ("/.usher/", OwnPage::Page),
            ("/.usher/page", OwnPage::Page),
            ("/.usher/login", OwnPage::Public),
            ("/.usher/language/zh", OwnPage::Public),
            ("/.usher/assets/style.css", OwnPage::Asset),
            ("/favicon.ico", OwnPage::Asset),
            ("/.usher/jwks.json", OwnPage::Asset),
            ("/.usher/jwks.json/x", OwnPage::Page),
            ("/.usher/api/v1/workspaces", OwnPage::Api),
            ("/.usher/events/ide", OwnPage::Api),
            ("/.usher/apis", OwnPage::Page),
            ("/.usher/enter", OwnPage::Enter),
            ("/.usher/enter/x", OwnPage::Page),
            ("/.usher/x/assets", OwnPage::Page),
        ] {
            assert_eq!(OwnPage::of(path), page, "{path}");
        }
    }
}
