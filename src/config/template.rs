//! Placeholders in configured text: `{user}`, `{port}`. The one reading of them, for checking and for filling.
//!
//! A placeholder is a brace, one or more of `a-z _`, and a brace. Any other brace is plain text, so JSON in an
//! argument needs no escape.

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Plain text.
    Text(&'t str),
    /// The name between the braces.
    Placeholder(&'t str),
}

/// The pieces of a template, in order.
pub fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = next_piece(rest);
        rest = after;
        Some(piece)
    })
}

/// The names of the placeholders in a template, in order.
pub fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    pieces(template).filter_map(|piece| match piece {
        Piece::Placeholder(name) => Some(name),
        Piece::Text(_) => None,
    })
}

/// Fills a template. A placeholder that `value_of` does not know stays as it is written.
/// What is filled in is not read again, so a value cannot bring placeholders of its own.
pub fn fill<'v>(template: &str, value_of: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut filled = String::with_capacity(template.len());
    for piece in pieces(template) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Placeholder(name) => match value_of(name) {
                Some(value) => filled.push_str(value),
                None => filled.extend(["{", name, "}"]),
            },
        }
    }
    filled
}

fn next_piece(text: &str) -> (Piece<'_>, &str) {
    if let Some((name, after)) = leading_placeholder(text) {
        return (Piece::Placeholder(name), after);
    }
    let end = text
        .char_indices()
        .skip(1)
        .find(|(at, _)| leading_placeholder(&text[*at..]).is_some())
        .map_or(text.len(), |(at, _)| at);
    let (plain, after) = text.split_at(end);
    (Piece::Text(plain), after)
}

fn leading_placeholder(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('{')?;
    let end = inside.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
    let (name, after) = inside.split_at(end);
    (!name.is_empty()).then_some((name, after.strip_prefix('}')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_words_in_braces_and_other_braces_are_text() {
        let names: Vec<_> = placeholders("{user}@{tenant} {\"a\": {}} {Nope} {{port}}").collect();
        assert_eq!(names, ["user", "tenant", "port"]);
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        let filled = fill("a {user} b {tenant} {other}", |name| match name {
            "user" => Some("{tenant}"),
            "tenant" => Some("acme"),
            _ => None,
        });
        assert_eq!(filled, "a {tenant} b acme {other}");
    }
}
