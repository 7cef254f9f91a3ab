//! Distinguished names (RFC 4514): read, and written in the one form that patterns are held against.
//!
//! Promises: in [`Dn::normalised`] attribute types are in lower case, no blanks stand around separators, and `,`, `+`
//! and `=` are separators wherever they stand: within values they are `\2c`, `\2b` and `\3d`, like everything else
//! that RFC 4514 escapes or that does not print. So nobody whose name has a comma in it can pass for somebody further
//! up the tree. Values keep their case. A text that is not a distinguished name is refused, never mended.

use std::fmt::Write;

/// Longest text that is read, in bytes; names in real directories have a few hundred.
const LONGEST: usize = 8 * 1024;

/// Why a text is not a distinguished name. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnError {
    /// It has more than 8 KiB.
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    /// Something in it does not follow RFC 4514.
    #[error("is not a distinguished name: {expected} expected at byte {at}")]
    Malformed {
        /// What should stand there.
        expected: &'static str,
        /// Where, from 0.
        at: usize,
    },
}

/// A distinguished name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dn(Vec<Part>);

/// One attribute and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// In lower case.
    attribute: String,
    value: Value,
    /// Belongs to the same level as the one before it (`cn=a+uid=b`).
    joined: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// Without escapes; mostly UTF-8.
    Plain(Vec<u8>),
    /// The hexadecimal digits, in lower case, that stand after `#`.
    Encoded(String),
}

impl Dn {
    /// Reads a distinguished name; an empty text is the root's.
    ///
    /// # Errors
    /// Returns an error if the text is too long or does not follow RFC 4514. Blanks around separators are accepted,
    /// as RFC 2253 asks.
    pub fn parse(text: &str) -> Result<Self, DnError> {
        if text.len() > LONGEST {
            return Err(DnError::TooLong);
        }
        let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
        let mut parts = Vec::new();
        if text.trim_matches(' ').is_empty() {
            return Ok(Self(parts));
        }
        let mut joined = false;
        loop {
            let attribute = reader.attribute()?;
            let value = reader.value()?;
            parts.push(Part { attribute, value, joined });
            joined = match reader.next() {
                None => return Ok(Self(parts)),
                Some(b',') => false,
                Some(b'+') => true,
                Some(_) => return Err(reader.expected_before("a separator")),
            };
        }
    }

    /// The form that patterns are held against: `uid=ada,ou=acme,ou=people,dc=example,dc=com`.
    #[must_use]
    pub fn normalised(&self) -> String {
        let mut text = String::new();
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                text.push(if part.joined { '+' } else { ',' });
            }
            text.push_str(&part.attribute);
            text.push('=');
            match &part.value {
                Value::Plain(bytes) => write_escaped(bytes, &mut text),
                Value::Encoded(digits) => {
                    text.push('#');
                    text.push_str(digits);
                }
            }
        }
        text
    }

    /// Attribute (in lower case) and value, without escapes, of its first part: what an entry is called among its
    /// siblings. `None` for the root, and for a value that is not text.
    #[must_use]
    pub fn first(&self) -> Option<(&str, &str)> {
        let part = self.0.first()?;
        match &part.value {
            Value::Plain(bytes) => Some((&part.attribute, std::str::from_utf8(bytes).ok()?)),
            Value::Encoded(_) => None,
        }
    }
}

/// [`Dn::parse`] and [`Dn::normalised`] in one.
///
/// # Errors
/// Returns an error if the text is not a distinguished name.
pub fn normalised(text: &str) -> Result<String, DnError> {
    Dn::parse(text).map(|dn| dn.normalised())
}

/// The parser's place in a text.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_blanks(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn expected(&self, expected: &'static str) -> DnError {
        DnError::Malformed { expected, at: self.at }
    }

    fn expected_before(&self, expected: &'static str) -> DnError {
        DnError::Malformed { expected, at: self.at.saturating_sub(1) }
    }

    /// A short name or an OID, and the `=` behind it.
    fn attribute(&mut self) -> Result<String, DnError> {
        self.skip_blanks();
        let mut name = String::new();
        while let Some(byte) = self.peek().filter(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte)) {
            name.push(char::from(byte.to_ascii_lowercase()));
            self.at += 1;
        }
        self.skip_blanks();
        if name.is_empty() {
            return Err(self.expected("an attribute type"));
        }
        match self.next() {
            Some(b'=') => Ok(name),
            Some(_) => Err(self.expected_before("=")),
            None => Err(self.expected("=")),
        }
    }

    /// A value, up to the separator or the end.
    fn value(&mut self) -> Result<Value, DnError> {
        self.skip_blanks();
        if self.peek() == Some(b'#') {
            self.at += 1;
            return self.encoded();
        }
        let mut bytes = Vec::new();
        // Up to here the value is kept although it may end with blanks: what was escaped is part of it.
        let mut kept = 0;
        while let Some(byte) = self.peek().filter(|byte| !b",+".contains(byte)) {
            match byte {
                b'\\' => {
                    self.at += 1;
                    bytes.push(self.escaped()?);
                    kept = bytes.len();
                }
                b'"' | b';' | b'<' | b'>' | 0 => return Err(self.expected("a backslash")),
                _ => {
                    self.at += 1;
                    bytes.push(byte);
                    if byte != b' ' {
                        kept = bytes.len();
                    }
                }
            }
        }
        bytes.truncate(kept);
        Ok(Value::Plain(bytes))
    }

    /// What follows a backslash: a special character, or two hexadecimal digits.
    fn escaped(&mut self) -> Result<u8, DnError> {
        let expected = self.expected("a special character or two hexadecimal digits");
        let first = self.next().ok_or(expected)?;
        if b" \"#+,;<=>\\".contains(&first) {
            return Ok(first);
        }
        let second = self.next().ok_or(expected)?;
        let (Some(high), Some(low)) = (digit(first), digit(second)) else { return Err(expected) };
        Ok(high << 4 | low)
    }

    /// What follows `#`: pairs of hexadecimal digits.
    fn encoded(&mut self) -> Result<Value, DnError> {
        let mut digits = String::new();
        while let Some(byte) = self.peek().filter(u8::is_ascii_hexdigit) {
            digits.push(char::from(byte.to_ascii_lowercase()));
            self.at += 1;
        }
        self.skip_blanks();
        let complete = !digits.is_empty() && digits.len().is_multiple_of(2);
        if complete { Ok(Value::Encoded(digits)) } else { Err(self.expected("pairs of hexadecimal digits")) }
    }
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Writes a value so that no character of it can be taken for a separator.
fn write_escaped(bytes: &[u8], text: &mut String) {
    let last = bytes.len().saturating_sub(1);
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let at_edge = at == 0 || at == last;
            if is_special(character) || (character == ' ' && at_edge) || (character == '#' && at == 0) {
                // Of these, all are ASCII but the controls from U+0080 on.
                let mut buffer = [0; 4];
                character.encode_utf8(&mut buffer).bytes().for_each(|byte| write_hex(byte, text));
            } else {
                text.push(character);
            }
            at += character.len_utf8();
        }
        chunk.invalid().iter().for_each(|byte| write_hex(*byte, text));
        at += chunk.invalid().len();
    }
}

fn is_special(character: char) -> bool {
    character.is_control() || "\"+,;<=>\\".contains(character)
}

fn write_hex(byte: u8, text: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\{byte:02x}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_written_in_one_form() {
        let table = [
            ("", ""),
            ("uid=ada,ou=acme,dc=example", "uid=ada,ou=acme,dc=example"),
            ("UID = Ada , OU=Acme,DC=Example", "uid=Ada,ou=Acme,dc=Example"),
            ("CN=Lovelace\\, Ada,OU=x", r"cn=Lovelace\2c Ada,ou=x"),
            (r"cn=a\2Cb", r"cn=a\2cb"),
            (r"cn=ou=evil,ou=people", r"cn=ou\3devil,ou=people"),
            (r"cn=a\+b+uid=c", r"cn=a\2bb+uid=c"),
            (r"cn=\ a\ ", r"cn=\20a\20"),
            (r"cn=\#a", r"cn=\23a"),
            (r"cn=a#b", "cn=a#b"),
            (r"cn=J\C3\BCrgen", "cn=Jürgen"),
            ("cn=张伟,ou=研发", "cn=张伟,ou=研发"),
            (r"cn=\ff", r"cn=\ff"),
            ("cn=a\nb", r"cn=a\0ab"),
            ("2.5.4.3=#0403414141 ,ou=x", "2.5.4.3=#0403414141,ou=x"),
            ("ou=", "ou="),
        ];
        for (text, expected) in table {
            assert_eq!(normalised(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_name_is_refused_with_the_place() {
        let table = [
            ("ada", 3, "="),
            ("=x", 0, "an attribute type"),
            ("cn=a,", 5, "an attribute type"),
            ("cn=a;ou=b", 4, "a backslash"),
            ("cn=\"a\"", 3, "a backslash"),
            ("cn=a\\", 5, "a special character or two hexadecimal digits"),
            ("cn=a\\zz", 5, "a special character or two hexadecimal digits"),
            ("cn=#1", 5, "pairs of hexadecimal digits"),
            ("cn=#12x", 6, "a separator"),
            ("c n=a", 2, "="),
        ];
        for (text, at, expected) in table {
            assert_eq!(normalised(text), Err(DnError::Malformed { expected, at }), "{text}");
        }
        assert_eq!(normalised(&"a".repeat(LONGEST + 1)), Err(DnError::TooLong));
    }

    #[test]
    fn the_first_part_is_told_without_escapes() {
        let first = |text: &str| {
            let dn = Dn::parse(text).expect("a name");
            dn.first().map(|(attribute, value)| (attribute.to_owned(), value.to_owned()))
        };
        assert_eq!(first(r"CN=tenant\2dacme,OU=groups"), Some(("cn".to_owned(), "tenant-acme".to_owned())));
        assert_eq!(first(r"cn=Dev\, Ops,ou=groups"), Some(("cn".to_owned(), "Dev, Ops".to_owned())));
        assert_eq!(first("cn=#0401,ou=groups"), None);
        assert_eq!(first(r"cn=\ff"), None);
        assert_eq!(first(""), None);
    }

    /// Attributes and values, and a spelling of the name that they make.
    fn names() -> impl Strategy<Value = (Vec<(String, String)>, String)> {
        let attribute = "[A-Za-z][A-Za-z0-9-]{0,6}";
        let value = prop_oneof!["[ -~]{0,12}", "\\PC{0,8}", any::<String>()];
        let blanks = || " {0,2}";
        let part = (attribute, value, blanks(), blanks(), any::<bool>());
        proptest::collection::vec(part, 1..6).prop_map(|parts| {
            let mut spelt = Vec::new();
            for (attribute, value, before, after, hex) in &parts {
                let mut text = String::new();
                for byte in value.bytes() {
                    if *hex || !byte.is_ascii_alphanumeric() {
                        write!(text, "\\{byte:02X}").expect("a string takes all");
                    } else {
                        text.push(char::from(byte));
                    }
                }
                spelt.push(format!("{before}{attribute}{after}={before}{text}{after}"));
            }
            let parts = parts.into_iter().map(|(attribute, value, ..)| (attribute.to_lowercase(), value)).collect();
            (parts, spelt.join(","))
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_its_form_is_its_own_form(text in any::<String>()) {
            if let Ok(once) = normalised(&text) {
                prop_assert_eq!(normalised(&once), Ok(once.clone()));
            }
        }

        #[test]
        fn texts_of_special_characters_have_a_form_that_is_its_own_form(text in "[a-c=,+\\\\ #2\"é]{0,20}") {
            if let Ok(once) = normalised(&text) {
                prop_assert_eq!(normalised(&once), Ok(once.clone()));
            }
        }

        #[test]
        fn separators_of_the_form_are_those_of_the_name((parts, spelt) in names()) {
            let form = normalised(&spelt).expect("a spelling of a name");
            prop_assert_eq!(form.matches(',').count() + 1, parts.len(), "{}", form);
            prop_assert_eq!(form.matches('=').count(), parts.len(), "{}", form);
            for (piece, (attribute, value)) in form.split(',').zip(&parts) {
                let alone = Dn::parse(piece).expect("a part is a name");
                prop_assert_eq!(alone.first(), Some((attribute.as_str(), value.as_str())));
            }
        }
    }
}
