//! Which language a page is in: the user's choice (a cookie), or else what the browser asks for.

use http::HeaderMap;
use http::header::{ACCEPT_LANGUAGE, COOKIE};

use super::texts::{CHINESE, ENGLISH, Texts};

/// The cookie that keeps the choice. Not a secret; scripts of workspaces may not read it all the same.
const COOKIE_NAME: &str = "__Host-usher-lang";
/// A year in seconds.
const COOKIE_LIFETIME: u32 = 31_536_000;

/// A language that our pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// English.
    English,
    /// Chinese in simplified characters.
    Chinese,
}

impl Language {
    /// Both, in the order of the switch.
    pub(super) const ALL: [Self; 2] = [Self::Chinese, Self::English];

    /// The language for a request: its cookie, its `Accept-Language`, English.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        chosen(headers).or_else(|| accepted(headers)).unwrap_or(Self::English)
    }

    /// The language with this code, as [`Self::code`] gives it.
    pub(super) fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// Short code: in the cookie and the switch.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// BCP 47 tag for `<html lang>`.
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// Its own name for itself.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    /// Its sentences.
    pub(super) const fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }

    /// The `Set-Cookie` value that keeps this choice.
    pub(super) fn set_cookie(self) -> String {
        let code = self.code();
        format!("{COOKIE_NAME}={code}; Path=/; Max-Age={COOKIE_LIFETIME}; Secure; HttpOnly; SameSite=Lax")
    }
}

fn chosen(headers: &HeaderMap) -> Option<Language> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .and_then(|(_, code)| Language::from_code(code))
}

/// The language of ours with the highest weight (RFC 9110 §12.5.4); the earlier one among equals.
fn accepted(headers: &HeaderMap) -> Option<Language> {
    let mut best: Option<(Language, f32)> = None;
    for range in headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')) {
        let (tag, weight) = weighted(range);
        let Some(language) = primary(tag) else { continue };
        if weight > best.map_or(0.0, |(_, w)| w) {
            best = Some((language, weight));
        }
    }
    best.map(|(language, _)| language)
}

/// A language range and its weight from 0 to 1; what cannot be read weighs nothing.
fn weighted(range: &str) -> (&str, f32) {
    let Some((tag, parameters)) = range.split_once(';') else { return (range.trim(), 1.0) };
    let weight = parameters.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
    (tag.trim(), weight.filter(|w| (0.0..=1.0).contains(w)).unwrap_or(0.0))
}

fn primary(tag: &str) -> Option<Language> {
    let primary = tag.split('-').next().unwrap_or_default();
    Language::ALL.into_iter().find(|language| language.code().eq_ignore_ascii_case(primary))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn language(accept: &str, cookie: Option<&'static str>) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_str(accept).expect("test header"));
        if let Some(cookie) = cookie {
            headers.insert(COOKIE, HeaderValue::from_static(cookie));
        }
        Language::of(&headers)
    }

    #[test]
    fn the_browser_s_first_language_of_ours_is_taken() {
        for (accept, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-US,en;q=0.9,zh-CN;q=0.8", Language::English),
            ("fr,zh;q=0.3,en;q=0.2", Language::Chinese),
            ("en;q=0.1, ZH-hant;q=0.5", Language::Chinese),
            ("zh;q=0,en;q=0.1", Language::English),
            ("zh;q=nonsense", Language::English),
            ("fr,de", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(language(accept, None), expected, "{accept}");
        }
    }

    #[test]
    fn a_choice_wins_over_the_browser() {
        assert_eq!(language("en", Some("a=b; __Host-usher-lang=zh")), Language::Chinese);
        assert_eq!(language("zh", Some("__Host-usher-lang=en; __Host-usher=x")), Language::English);
        assert_eq!(language("zh", Some("__Host-usher-lang=xx")), Language::Chinese);
    }
}
