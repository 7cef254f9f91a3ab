//! Reads the frames of one direction out of a stream, whatever its cuts.
//!
//! Payload is skipped by arithmetic, so the cost is per frame and not per byte. Of each payload the first few bytes
//! are kept and unmasked if the caller asked for them; memory is taken for that only while a cut goes through them.
//!
//! A direction whose frames make no sense becomes opaque: nothing more is told of it, and no frame of the gateway's
//! own may be put into it.

use super::{Frame, FrameHeader, Opcode};

/// Most bytes of a payload that a parser keeps.
pub const MOST_PAYLOAD: usize = 256;

/// Longest header: two bytes, eight of length, four of mask.
const LONGEST_HEADER: usize = 14;

/// Most bytes in the payload of a control frame.
const MOST_CONTROL_PAYLOAD: u64 = 125;

/// Reads the frames of one direction.
#[derive(Debug)]
pub struct FrameParser {
    /// Bytes of the current payload that have not come yet.
    payload_left: u64,
    /// The beginning of the current payload, while a cut goes through it.
    capture: Option<Box<Capture>>,
    /// The beginning of a header, while a cut goes through it.
    header: [u8; LONGEST_HEADER],
    header_length: u8,
    /// How many bytes of each payload are asked for.
    wanted: u16,
    masked: bool,
    inside_message: bool,
    closed: bool,
    opaque: bool,
}

#[derive(Debug)]
struct Capture {
    header: FrameHeader,
    wanted: usize,
    length: usize,
    bytes: [u8; MOST_PAYLOAD],
}

enum Decoded {
    Incomplete,
    Senseless,
    Header(FrameHeader, usize),
}

impl FrameParser {
    /// A parser for what a client sends, telling the first `wanted` bytes (at most [`MOST_PAYLOAD`]) of each payload.
    #[must_use]
    pub fn from_client(wanted: usize) -> Self {
        Self::new(true, wanted)
    }

    /// A parser for what a server sends, telling the first `wanted` bytes (at most [`MOST_PAYLOAD`]) of each payload.
    #[must_use]
    pub fn from_server(wanted: usize) -> Self {
        Self::new(false, wanted)
    }

    fn new(masked: bool, wanted: usize) -> Self {
        Self {
            payload_left: 0,
            capture: None,
            header: [0; LONGEST_HEADER],
            header_length: 0,
            wanted: u16::try_from(wanted.min(MOST_PAYLOAD)).expect("MOST_PAYLOAD fits into 16 bits"),
            masked,
            inside_message: false,
            closed: false,
            opaque: false,
        }
    }

    /// Reads on. `on_frame` is called once for each frame, in their order, as soon as its header and the wanted
    /// part of its payload are there.
    pub fn feed(&mut self, bytes: &[u8], mut on_frame: impl FnMut(&Frame<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.opaque {
            rest = self.advance(rest, &mut on_frame);
        }
    }

    /// Reads on up to the end of the frame under way, or of the first one if none is. Returns how many bytes that
    /// were: up to there a frame of another's making may be put in, if [`Self::open_to_insertion`].
    pub fn feed_to_boundary(&mut self, bytes: &[u8], mut on_frame: impl FnMut(&Frame<'_>)) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && !self.opaque {
            rest = self.advance(rest, &mut on_frame);
            if self.at_boundary() {
                break;
            }
        }
        if self.opaque { bytes.len() } else { bytes.len() - rest.len() }
    }

    /// Whether the stream stands between two frames. Never so once it is opaque.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.payload_left == 0 && self.header_length == 0 && !self.opaque
    }

    /// Whether a control frame of the gateway's own may be written here.
    #[must_use]
    pub fn open_to_insertion(&self) -> bool {
        self.at_boundary() && !self.closed
    }

    /// Whether a close frame has passed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether its frames made no sense, so that it is no longer read.
    #[must_use]
    pub const fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// Takes one piece (a header or some payload) off the front of `bytes`, which is not empty.
    fn advance<'a>(&mut self, bytes: &'a [u8], on_frame: &mut impl FnMut(&Frame<'_>)) -> &'a [u8] {
        if self.payload_left > 0 {
            self.skip_payload(bytes, on_frame)
        } else if self.header_length > 0 {
            self.complete_header(bytes, on_frame)
        } else {
            match decode(bytes) {
                Decoded::Header(header, length) => self.begin(header, bytes.split_at(length).1, on_frame),
                Decoded::Incomplete => self.keep_header(bytes),
                Decoded::Senseless => self.give_up(),
            }
        }
    }

    fn skip_payload<'a>(&mut self, bytes: &'a [u8], on_frame: &mut impl FnMut(&Frame<'_>)) -> &'a [u8] {
        let here = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at(here);
        self.payload_left -= here as u64;
        if let Some(capture) = &mut self.capture
            && capture.take(payload)
        {
            on_frame(&capture.frame());
            self.capture = None;
        }
        rest
    }

    fn complete_header<'a>(&mut self, bytes: &'a [u8], on_frame: &mut impl FnMut(&Frame<'_>)) -> &'a [u8] {
        let before = usize::from(self.header_length);
        let mut header = self.header;
        let mut length = before;
        for (slot, byte) in header.iter_mut().skip(before).zip(bytes) {
            *slot = *byte;
            length += 1;
        }
        match decode(header.split_at(length).0) {
            Decoded::Header(header, end) => {
                self.header_length = 0;
                self.begin(header, bytes.split_at(end - before).1, on_frame)
            }
            Decoded::Incomplete => self.keep_header(header.split_at(length).0),
            Decoded::Senseless => self.give_up(),
        }
    }

    /// Keeps the beginning of a header that is not complete, so shorter than [`LONGEST_HEADER`].
    fn keep_header<'a>(&mut self, bytes: &[u8]) -> &'a [u8] {
        for (slot, byte) in self.header.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        self.header_length = u8::try_from(bytes.len().min(LONGEST_HEADER)).expect("LONGEST_HEADER fits into 8 bits");
        &[]
    }

    fn give_up<'a>(&mut self) -> &'a [u8] {
        self.opaque = true;
        self.capture = None;
        &[]
    }

    /// Begins the frame of `header`; `bytes` follow it.
    fn begin<'a>(&mut self, header: FrameHeader, bytes: &'a [u8], on_frame: &mut impl FnMut(&Frame<'_>)) -> &'a [u8] {
        if !self.makes_sense(&header) {
            return self.give_up();
        }
        if !header.opcode.is_control() {
            self.inside_message = !header.fin;
        }
        self.closed |= header.opcode == Opcode::Close;
        self.payload_left = header.payload_length;
        let wanted = self.wanted_of(&header);
        match bytes.split_at_checked(wanted) {
            Some((start, _)) => tell(header, start, on_frame),
            None => self.capture = Some(Box::new(Capture::new(header, wanted))),
        }
        bytes
    }

    fn wanted_of(&self, header: &FrameHeader) -> usize {
        let wanted = if header.opcode == Opcode::Close { MOST_PAYLOAD } else { usize::from(self.wanted) };
        usize::try_from(header.payload_length).unwrap_or(usize::MAX).min(wanted)
    }

    /// What RFC 6455 says of every frame whatever its extensions. One that breaks it is more likely no frame at all.
    fn makes_sense(&self, header: &FrameHeader) -> bool {
        let control = header.opcode.is_control();
        let continues = header.opcode == Opcode::Continuation;
        header.mask.is_some() == self.masked
            && header.payload_length <= i64::MAX as u64
            && (!control || (header.fin && header.payload_length <= MOST_CONTROL_PAYLOAD))
            && (control || continues == self.inside_message)
    }
}

impl Capture {
    fn new(header: FrameHeader, wanted: usize) -> Self {
        Self { header, wanted, length: 0, bytes: [0; MOST_PAYLOAD] }
    }

    /// Takes what is still wanted off `payload`. Returns whether that was all.
    fn take(&mut self, payload: &[u8]) -> bool {
        let room = self.bytes.iter_mut().take(self.wanted).skip(self.length);
        self.length += room.zip(payload).map(|(slot, byte)| *slot = *byte).count();
        let complete = self.length == self.wanted;
        if complete {
            self.header.unmask(&mut self.bytes);
        }
        complete
    }

    fn frame(&self) -> Frame<'_> {
        Frame { header: self.header, start: self.bytes.split_at(self.wanted).0 }
    }
}

/// Tells a frame whose wanted payload lies in one piece; `start` has at most [`MOST_PAYLOAD`] bytes.
fn tell(header: FrameHeader, start: &[u8], on_frame: &mut impl FnMut(&Frame<'_>)) {
    if header.mask.is_none() || start.is_empty() {
        on_frame(&Frame { header, start });
        return;
    }
    let mut unmasked = [0; MOST_PAYLOAD];
    let (unmasked, _) = unmasked.split_at_mut(start.len());
    unmasked.copy_from_slice(start);
    header.unmask(unmasked);
    on_frame(&Frame { header, start: unmasked });
}

fn decode(bytes: &[u8]) -> Decoded {
    let [first, second, rest @ ..] = bytes else { return Decoded::Incomplete };
    let Some(opcode) = Opcode::from_bits(first & 0x0f) else { return Decoded::Senseless };
    let Some((payload_length, rest)) = decode_length(second & 0x7f, rest) else { return Decoded::Incomplete };
    let (mask, rest) = if second & 0x80 == 0 {
        (None, rest)
    } else {
        let Some((mask, rest)) = rest.split_first_chunk() else { return Decoded::Incomplete };
        (Some(*mask), rest)
    };
    let header = FrameHeader { opcode, fin: first & 0x80 != 0, compressed: first & 0x40 != 0, mask, payload_length };
    Decoded::Header(header, bytes.len() - rest.len())
}

fn decode_length(short: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short {
        126 => rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest)),
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest)),
        short => Some((u64::from(short), rest)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{NO_CODE, close_frame};
    use super::*;

    /// An event that owns its bytes.
    type Told = (FrameHeader, Vec<u8>);

    const MASK: [u8; 4] = [0x12, 0xfe, 0x00, 0x7b];

    fn encode(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut frame = vec![first];
        match u64::try_from(payload.len()).unwrap() {
            length @ 0..126 => frame.push(bit | u8::try_from(length).unwrap()),
            length @ 126..65_536 => {
                frame.push(bit | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(bit | 127);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend(mask.iter().flatten());
        let mask = mask.unwrap_or_default();
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    fn read(parser: &mut FrameParser, pieces: &[&[u8]]) -> Vec<Told> {
        let mut told = Vec::new();
        for piece in pieces {
            parser.feed(piece, |frame| told.push((frame.header, frame.start.to_vec())));
        }
        told
    }

    fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    #[test]
    fn state_is_small() {
        assert!(size_of::<FrameParser>() <= 40, "{}", size_of::<FrameParser>());
    }

    #[test]
    fn header_and_start_of_payload_are_told() {
        let bytes = encode(0x81, b"hello", Some(MASK));
        let told = read(&mut FrameParser::from_client(256), &[&bytes]);
        let [(header, start)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(header.opcode, Opcode::Text);
        assert!(header.fin && !header.compressed);
        assert_eq!((header.mask, header.payload_length), (Some(MASK), 5));
        assert_eq!(start, b"hello");
    }

    #[test]
    fn lengths_of_16_and_64_bits_are_skipped() {
        for length in [0, 125, 126, 127, 65_535, 65_536, 200_000] {
            let payload: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let mut bytes = encode(0x82, &payload, Some(MASK));
            bytes.extend(encode(0xc1, b"next", Some(MASK)));
            let mut parser = FrameParser::from_client(16);
            let told = read(&mut parser, &[&bytes]);
            assert_eq!(told.len(), 2, "{length}");
            assert_eq!(told[0].0.payload_length, length);
            assert_eq!(told[0].1, payload[..payload.len().min(16)]);
            assert!(told[1].0.compressed);
            assert!(parser.at_boundary());
        }
    }

    #[test]
    fn a_frame_of_exabytes_is_just_a_number() {
        let mut parser = FrameParser::from_server(0);
        let mut head = vec![0x82, 127];
        head.extend(i64::MAX.to_be_bytes());
        assert_eq!(read(&mut parser, &[&head, &[0; 1000]]).len(), 1);
        assert!(!parser.at_boundary() && !parser.is_opaque());
        head[2] = 0x80;
        let mut parser = FrameParser::from_server(0);
        assert_eq!(read(&mut parser, &[&head]).len(), 0);
        assert!(parser.is_opaque());
    }

    #[test]
    fn close_is_told_whole_even_if_nothing_is_asked_for() {
        let mut parser = FrameParser::from_client(0);
        let bytes = close_frame(4401, "signed out", Some(MASK));
        let mut code = None;
        for byte in &bytes {
            parser.feed(std::slice::from_ref(byte), |frame| code = frame.close_code());
        }
        assert_eq!(code, Some(4401));
        assert!(parser.is_closed() && parser.at_boundary() && !parser.open_to_insertion());

        let mut code = None;
        FrameParser::from_server(0).feed(&[0x88, 0], |frame| code = frame.close_code());
        assert_eq!(code, Some(NO_CODE));
    }

    #[test]
    fn frames_without_sense_make_the_direction_opaque() {
        let mut continued = encode(0x01, b"part", Some(MASK));
        continued.extend(encode(0x81, b"not a continuation", Some(MASK)));
        for (what, bytes) in [
            ("reserved opcode", encode(0x83, b"", Some(MASK))),
            ("no frame at all", b"GET / HTTP/1.1\r\n".to_vec()),
            ("not masked", encode(0x81, b"", None)),
            ("ping in parts", encode(0x09, b"", Some(MASK))),
            ("long ping", encode(0x89, &[0; 126], Some(MASK))),
            ("continues nothing", encode(0x80, b"", Some(MASK))),
            ("new message inside another", continued),
        ] {
            let mut parser = FrameParser::from_client(256);
            read(&mut parser, &[&bytes]);
            assert!(parser.is_opaque(), "{what}");
            assert!(!parser.open_to_insertion(), "{what}");
            assert_eq!(read(&mut parser, &[&encode(0x81, b"later", Some(MASK))]), [], "{what}");
            assert_eq!(parser.feed_to_boundary(&[1, 2, 3], |_| {}), 3, "{what}");
        }
    }

    #[test]
    fn control_frames_may_stand_between_parts() {
        let mut bytes = encode(0x01, b"a", None);
        bytes.extend(encode(0x89, b"", None));
        bytes.extend(encode(0x80, b"b", None));
        let mut parser = FrameParser::from_server(0);
        assert_eq!(read(&mut parser, &[&bytes]).len(), 3);
        assert!(parser.open_to_insertion());
    }

    #[test]
    fn feeding_stops_at_the_first_boundary() {
        let first = encode(0x81, b"first", Some(MASK));
        let mut bytes = first.clone();
        bytes.extend(encode(0x81, b"second", Some(MASK)));
        let mut parser = FrameParser::from_client(256);
        let mut seen = 0;
        assert_eq!(parser.feed_to_boundary(&bytes[..3], |_| seen += 1), 3);
        assert!(!parser.at_boundary());
        assert_eq!(parser.feed_to_boundary(&bytes[3..], |_| seen += 1), first.len() - 3);
        assert!(parser.open_to_insertion());
        assert_eq!(seen, 1);
    }

    prop_compose! {
        /// A message of one to three frames, control frames between them.
        fn message()(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..600), any::<bool>()), 1..4),
            first in prop::sample::select(vec![0x01_u8, 0x02, 0x41, 0x42]),
        ) -> Vec<u8> {
            let last = parts.len() - 1;
            parts.iter().enumerate().flat_map(|(at, (payload, ping))| {
                let opcode = if at == 0 { first } else { 0 };
                let fin = if at == last { 0x80 } else { 0 };
                let mut bytes = encode(opcode | fin, payload, Some(MASK));
                if *ping { bytes.extend(encode(0x89, b"beat", Some(MASK))); }
                bytes
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn any_cutting_tells_the_same(
            messages in prop::collection::vec(message(), 1..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            wanted in 0_usize..300,
        ) {
            let bytes = messages.concat();
            let mut whole = FrameParser::from_client(wanted);
            let expected = read(&mut whole, &[&bytes]);
            prop_assert!(whole.at_boundary());
            let mut parser = FrameParser::from_client(wanted);
            prop_assert_eq!(read(&mut parser, &cut(&bytes, &cuts)), expected.clone());
            prop_assert!(parser.at_boundary() && parser.capture.is_none());
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(read(&mut FrameParser::from_client(wanted), &single), expected);
        }

        #[test]
        fn any_bytes_tell_the_same_under_any_cutting(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut whole = FrameParser::from_server(64);
            let expected = read(&mut whole, &[&bytes]);
            let mut parser = FrameParser::from_server(64);
            prop_assert_eq!(read(&mut parser, &cut(&bytes, &cuts)), expected);
            prop_assert_eq!(parser.is_opaque(), whole.is_opaque());
        }
    }
}
