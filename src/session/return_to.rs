//! Where to go after signing in: only to our own paths.

use percent_encoding::percent_decode_str;

/// Longest address that is remembered, in bytes.
const LONGEST: usize = 2048;
/// Pages that nobody wants to come back to: they would only lead here again.
const LOOPS: [&str; 2] = ["/.usher/login", "/.usher/logout"];

/// The address if it is a path of ours, with or without a query, that every browser reads the same way; else `None`.
///
/// It starts with exactly one `/`, is printable ASCII without backslash and dot segments, at most 2 KiB long, and is
/// not the login or logout page.
#[must_use]
pub fn safe(target: &str) -> Option<String> {
    let printable = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if target.len() > LONGEST || !printable || !target.starts_with('/') || target.starts_with("//") {
        return None;
    }
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let lower = decoded.to_lowercase();
    let odd = decoded.contains('\\') || decoded.contains("//") || decoded.chars().any(char::is_control);
    let climbs = decoded.split('/').any(|segment| matches!(segment, "." | ".."));
    let loops = LOOPS.iter().any(|page| lower.starts_with(page));
    (!odd && !climbs && !loops).then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn own_paths_are_kept_as_they_are() {
        for target in ["/", "/ide/", "/ide/?folder=/home/project&x=//y", "/a/b%20c", "/.usher/", "/%E4%B8%AD/", "/a#b"]
        {
            assert_eq!(safe(target).as_deref(), Some(target));
        }
    }

    #[test]
    fn anything_that_may_lead_elsewhere_is_dropped() {
        let nasty = [
            "",
            "ide/",
            "https://evil.example/",
            "//evil.example/",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " /ide/",
            "/ide/ ",
            "javascript:alert(1)",
            "/%2f/evil.example",
            "/%2F%2Fevil.example",
            "/%5cevil.example",
            "/a\r\nSet-Cookie: x",
            "/%0d%0aSet-Cookie:x",
            "/..//evil.example",
            "/a/../../b",
            "/%2e%2e/b",
            "/./b",
            "/a//b",
            "/a\0b",
            "/%00",
            "/\u{2215}evil.example",
            "/中",
            "/%ff",
            "@evil.example",
            "/\u{7f}",
        ];
        for target in nasty {
            assert_eq!(safe(target), None, "{target:?}");
        }
    }

    #[test]
    fn pages_that_lead_back_here_are_dropped() {
        for target in
            ["/.usher/login", "/.usher/login?return_to=/", "/.usher/LOGIN/", "/%2eusher/login", "/.usher/logout"]
        {
            assert_eq!(safe(target), None, "{target:?}");
        }
    }

    #[test]
    fn a_long_address_is_dropped() {
        assert!(safe(&format!("/{}", "a".repeat(2047))).is_some());
        assert!(safe(&format!("/{}", "a".repeat(2048))).is_none());
    }
}
