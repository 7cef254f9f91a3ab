//! However a stream of frames is cut, the same frames are seen; no bytes make the parser panic.
//!
//! Input: the first byte says where to cut, the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::websocket::{FrameParser, MOST_PAYLOAD};

type Seen = Vec<(String, Vec<u8>)>;

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Seen, bool) {
    let mut parser = FrameParser::from_client(MOST_PAYLOAD);
    let mut seen = Vec::new();
    for piece in pieces {
        parser.feed(piece, |frame| seen.push((format!("{:?}", frame.header), frame.start.to_vec())));
    }
    (seen, parser.is_opaque())
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, stream)) = data.split_first() else { return };
    let whole = frames(std::iter::once(stream));
    let cut = frames(stream.chunks(usize::from(step).max(1)));
    assert_eq!(whole, cut);
});
