//! The little of BER that is read here: whole messages off the wire before anything else parses them, and the values
//! of two controls.
//!
//! Pure. Definite lengths and low tag numbers only, as LDAP has them (RFC 4511, section 5.1).

/// Largest message that is taken from a server: a person with 8,000 groups needs one of them.
const LARGEST: usize = 4 << 20;
/// Deepest nesting of constructed elements; LDAP's answers have six. The parser behind this one recurses.
const DEEPEST: usize = 16;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const CONSTRUCTED: u8 = 0x20;
const EXTENDED_RESPONSE: u8 = 0x78;

/// What came is not an LDAP message that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// Not BER as LDAP has it.
    #[error("answered with something that is not LDAP")]
    Ber,
    /// More than 4 MiB.
    #[error("answered with a message of more than {LARGEST} bytes")]
    TooLarge,
    /// Elements within elements without end.
    #[error("answered with elements nested deeper than {DEEPEST}")]
    TooDeep,
}

/// The length of the message that `buffer` begins with; `None` until all of it is there.
///
/// # Errors
/// Returns an error if it cannot become a message, as early as that shows.
pub(super) fn message(buffer: &[u8]) -> Result<Option<usize>, Malformed> {
    if buffer.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Err(Malformed::Ber);
    }
    let Some((header, length)) = header(buffer)? else { return Ok(None) };
    let whole = header.checked_add(length).filter(|whole| *whole <= LARGEST).ok_or(Malformed::TooLarge)?;
    let Some(content) = buffer.get(header..whole) else { return Ok(None) };
    check_nesting(content)?;
    let (id, rest) = element(content).ok_or(Malformed::Ber)?;
    let (operation, _) = element(rest).ok_or(Malformed::Ber)?;
    // Every answer is a constructed element of the application class.
    let sound = id.tag == INTEGER && (1..=4).contains(&id.body.len()) && operation.tag & 0xe0 == 0x60;
    if sound { Ok(Some(whole)) } else { Err(Malformed::Ber) }
}

/// The lengths of the header at the start of `bytes`, and of the content that it announces; `None` if more is needed.
fn header(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let (Some(tag), Some(first)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(Malformed::Ber);
    }
    let more = match *first {
        length @ 0..=0x7f => return Ok(Some((2, usize::from(length)))),
        more @ 0x81..=0x84 => usize::from(more & 0x7f),
        _ => return Err(Malformed::Ber),
    };
    let Some(digits) = bytes.get(2..2 + more) else { return Ok(None) };
    let length = digits.iter().fold(0_u64, |length, digit| (length << 8) | u64::from(*digit));
    Ok(Some((2 + more, usize::try_from(length).map_err(|_| Malformed::TooLarge)?)))
}

/// Walks through all constructed elements without recursion: every one ends within its parent, none is too deep.
fn check_nesting(content: &[u8]) -> Result<(), Malformed> {
    let mut ends = vec![content.len()];
    let mut at = 0;
    while let Some(end) = ends.last().copied() {
        if at == end {
            ends.pop();
            continue;
        }
        let tag = content.get(at).copied().ok_or(Malformed::Ber)?;
        let (header, length) = header(content.get(at..end).ok_or(Malformed::Ber)?)?.ok_or(Malformed::Ber)?;
        let body_end = (at + header).checked_add(length).filter(|stop| *stop <= end).ok_or(Malformed::Ber)?;
        if tag & CONSTRUCTED == 0 {
            at = body_end;
            continue;
        }
        if ends.len() == DEEPEST {
            return Err(Malformed::TooDeep);
        }
        at += header;
        ends.push(body_end);
    }
    Ok(())
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Element<'a> {
    tag: u8,
    body: &'a [u8],
}

/// The first element of `bytes`, and what follows it.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (header, length) = header(bytes).ok()??;
    let body = bytes.get(header..)?.get(..length)?;
    Some((Element { tag: *bytes.first()?, body }, &bytes[header + length..]))
}

/// A whole element of a tag, and nothing behind it.
fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (element, rest) = element(bytes)?;
    (element.tag == tag && rest.is_empty()).then_some(element.body)
}

fn number(body: &[u8]) -> Option<u64> {
    let fits = !body.is_empty() && body.len() <= 8;
    fits.then(|| body.iter().fold(0, |number, digit| (number << 8) | u64::from(*digit)))
}

/// The request that turns a connection into TLS (RFC 4511, section 4.14); its message id is 1.
pub(super) const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// The result code of the answer to [`START_TLS`].
#[must_use]
pub(super) fn start_tls_result(message: &[u8]) -> Option<u64> {
    let (id, rest) = element(only(message, SEQUENCE)?)?;
    let (response, _) = element(rest)?;
    let (code, _) = element(response.body)?;
    let sound = id.tag == INTEGER && number(id.body) == Some(1) && response.tag == EXTENDED_RESPONSE;
    (sound && code.tag == ENUMERATED).then(|| number(code.body)).flatten()
}

/// The cookie of a paged search's control (RFC 2696); empty after the last page.
#[must_use]
pub(super) fn page_cookie(value: &[u8]) -> Option<&[u8]> {
    let (size, rest) = element(only(value, SEQUENCE)?)?;
    let cookie = only(rest, OCTET_STRING)?;
    (size.tag == INTEGER).then_some(cookie)
}

/// The error of a password policy's control (draft-behera-ldap-password-policy), if it has one:
/// `SEQUENCE { warning [0] CHOICE OPTIONAL, error [1] ENUMERATED OPTIONAL }`.
#[must_use]
pub(super) fn password_policy_error(value: &[u8]) -> Option<u64> {
    let mut rest = only(value, SEQUENCE)?;
    while let Some((element, behind)) = element(rest) {
        if element.tag == 0x81 {
            return number(element.body);
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The answer to a bind with result code 0.
    const BIND: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";

    #[test]
    fn a_message_is_taken_once_it_is_whole() {
        for end in 0..BIND.len() {
            assert_eq!(message(&BIND[..end]), Ok(None), "{end}");
        }
        let more = [BIND, BIND].concat();
        assert_eq!(message(&more), Ok(Some(BIND.len())));
    }

    #[test]
    fn what_is_no_message_is_refused_as_early_as_it_shows() {
        let table: &[(&[u8], Malformed)] = &[
            (b"HTTP/1.1 400", Malformed::Ber),
            (b"\x30\x80\x02\x01\x01\x00\x00", Malformed::Ber),
            (b"\x30\x84\x10\x00\x00\x00", Malformed::TooLarge),
            (b"\x30\x85\x01\x00\x00\x00\x00", Malformed::Ber),
            (b"\x30\x03\x02\x01\x01", Malformed::Ber),
            (b"\x30\x05\x02\x01\x01\x04\x00", Malformed::Ber),
            (b"\x30\x07\x02\x01\x01\x61\x05\x0a\x01", Malformed::Ber),
            (b"\x30\x07\x02\x01\x01\x7f\x02\x04\x00", Malformed::Ber),
        ];
        for (bytes, expected) in table {
            assert_eq!(message(bytes), Err(*expected), "{bytes:02x?}");
        }
    }

    #[test]
    fn nesting_that_would_exhaust_a_stack_is_refused() {
        let mut nested = vec![0x04, 0x00];
        for _ in 0..100_000 {
            let mut outer = vec![0x30, 0x84];
            outer.extend(u32::try_from(nested.len()).unwrap().to_be_bytes());
            outer.append(&mut nested);
            nested = outer;
            if nested.len() > 1 << 16 {
                break;
            }
        }
        let mut content = vec![0x02, 0x01, 0x01, 0x64, 0x83];
        content.extend(&u32::try_from(nested.len()).unwrap().to_be_bytes()[1..]);
        content.append(&mut nested);
        let mut bytes = vec![0x30, 0x83];
        bytes.extend(&u32::try_from(content.len()).unwrap().to_be_bytes()[1..]);
        bytes.append(&mut content);
        assert_eq!(message(&bytes), Err(Malformed::TooDeep));
    }

    #[test]
    fn start_tls_is_answered_by_its_own_answer_with_a_code() {
        assert_eq!(START_TLS.len(), 2 + 0x1d);
        assert_eq!(start_tls_result(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"), Some(0));
        assert_eq!(start_tls_result(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00"), Some(52));
        assert_eq!(start_tls_result(b"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00"), None, "another id");
        assert_eq!(start_tls_result(BIND), None);
    }

    #[test]
    fn controls_are_read() {
        assert_eq!(page_cookie(b"\x30\x07\x02\x01\x00\x04\x02ab"), Some(&b"ab"[..]));
        assert_eq!(page_cookie(b"\x30\x05\x02\x01\x00\x04\x00"), Some(&b""[..]));
        assert_eq!(page_cookie(b"\x30\x03\x02\x01\x00"), None);
        assert_eq!(password_policy_error(b"\x30\x00"), None);
        assert_eq!(password_policy_error(b"\x30\x03\x81\x01\x02"), Some(2));
        assert_eq!(password_policy_error(b"\x30\x08\xa0\x03\x80\x01\x05\x81\x01\x00"), Some(0));
        assert_eq!(password_policy_error(b"\x31\x03\x81\x01\x02"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_sends_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let with_head = [&[0x30_u8, 0x81, 0xc8][..], &bytes].concat();
            for input in [&bytes, &with_head] {
                if let Ok(Some(length)) = message(input) {
                    prop_assert!(length <= input.len());
                }
                let _ = (start_tls_result(input), page_cookie(input), password_policy_error(input));
            }
        }
    }
}
