//! Frames of the gateway's own: close and ping.

use aws_lc_rs::rand;

/// Most bytes in the payload of a control frame (RFC 6455, section 5.5).
const MOST_CONTROL_PAYLOAD: usize = 125;

/// A close frame. `mask` is set towards a server and left out towards a client.
/// A reason longer than the 123 bytes that fit is cut at a character.
#[must_use]
pub fn close_frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    let fits = reason.floor_char_boundary(MOST_CONTROL_PAYLOAD - payload.len());
    payload.extend(reason.bytes().take(fits));
    control_frame(0x8, &payload, mask)
}

/// A ping frame without payload.
#[must_use]
pub fn ping_frame(mask: Option<[u8; 4]>) -> Vec<u8> {
    control_frame(0x9, &[], mask)
}

/// A fresh masking key. A machine that has no random numbers gives zeroes, which are as valid on the wire.
#[must_use]
pub fn random_mask() -> [u8; 4] {
    let mut mask = [0; 4];
    if rand::fill(&mut mask).is_err() {
        mask = [0; 4];
    }
    mask
}

/// `payload` has at most [`MOST_CONTROL_PAYLOAD`] bytes.
fn control_frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("both callers keep to 125 bytes");
    let mut frame = Vec::with_capacity(2 + 4 + payload.len());
    frame.push(0x80 | opcode);
    frame.push(length | if mask.is_some() { 0x80 } else { 0 });
    match mask {
        None => frame.extend_from_slice(payload),
        Some(mask) => {
            frame.extend_from_slice(&mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_frame_has_code_and_reason() {
        assert_eq!(close_frame(1012, "restart", None), b"\x88\x09\x03\xf4restart");
    }

    #[test]
    fn close_frame_to_a_server_is_masked() {
        let frame = close_frame(1001, "", Some([1, 2, 3, 4]));
        assert_eq!(frame, [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2]);
    }

    #[test]
    fn long_reason_is_cut_at_a_character() {
        let frame = close_frame(1000, &"语".repeat(60), None);
        assert_eq!(frame.len(), 2 + 2 + 123);
        assert_eq!(std::str::from_utf8(&frame[4..]), Ok("语".repeat(41).as_str()));
    }

    #[test]
    fn ping_frame_is_two_bytes() {
        assert_eq!(ping_frame(None), [0x89, 0]);
        assert_eq!(ping_frame(Some([9, 8, 7, 6])), [0x89, 0x80, 9, 8, 7, 6]);
    }
}
