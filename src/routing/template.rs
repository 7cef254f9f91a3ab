//! Headers that a route sets, with placeholders for who is there, and how names become header text.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};

use crate::model::Principal;

/// Longest value that a template may come to; `{groups}` are cut before it.
const MAX_VALUE: usize = 8 * 1024;

/// One header of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderTemplate {
    name: HeaderName,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    User,
    Tenant,
    Groups,
}

impl HeaderTemplate {
    /// Parses a template. `None` if the text holds an unknown placeholder or what no header may hold.
    #[must_use]
    pub fn parse(name: HeaderName, text: &str) -> Option<Self> {
        if text.trim() != text || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return None;
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (placeholder, after) = after.split_once('}')?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match placeholder {
                "user" => Part::User,
                "tenant" => Part::Tenant,
                "groups" => Part::Groups,
                _ => return None,
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Some(Self { name, parts })
    }

    /// The header that it sets.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Its value for `principal`: printable ASCII, names encoded as by [`push_header_text`].
    #[must_use]
    pub fn render(&self, principal: &Principal) -> HeaderValue {
        let mut value = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::User => push_header_text(principal.user.as_str(), &mut value),
                Part::Tenant => push_header_text(principal.tenant.as_str(), &mut value),
                Part::Groups => {
                    push_groups(principal, MAX_VALUE.saturating_sub(value.len()), &mut value);
                }
            }
        }
        HeaderValue::try_from(value).expect("templates and encoded names are printable ASCII")
    }
}

/// Appends the groups that fit into `room` bytes, joined with commas. Returns whether all of them did.
pub fn push_groups(principal: &Principal, room: usize, out: &mut String) -> bool {
    let start = out.len();
    let mut separator = "";
    for group in principal.groups.iter() {
        let before = out.len();
        out.push_str(separator);
        push_header_text(group.as_str(), out);
        if out.len() - start > room {
            out.truncate(before);
            return false;
        }
        separator = ",";
    }
    true
}

/// Appends a name as header text: everything but printable ASCII is percent-encoded as UTF-8, and so are `%`
/// and `,`, so that decoding gives the name back and a comma always separates.
pub fn push_header_text(name: &str, out: &mut String) {
    for byte in name.bytes() {
        match byte {
            b'%' | b',' => push_escape(byte, out),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => push_escape(byte, out),
        }
    }
}

fn push_escape(byte: u8, out: &mut String) {
    write!(out, "%{byte:02X}").expect("writing to a String does not fail");
}
