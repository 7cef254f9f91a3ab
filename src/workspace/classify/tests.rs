//! Frames as they were measured between a tab of Theia 1.74.1 and its server.

use proptest::prelude::*;

use super::*;
use crate::websocket::FrameParser;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// What announces each binary frame: 55 bytes.
const ANNOUNCEMENT: &[u8] = br#"451-/services,["message",{"_placeholder":true,"num":0}]"#;

/// Theia's liveness call: 72 bytes. Type 4 (data), the channel's name and the call, each after its length in 32 bits;
/// the call is a map in MessagePack.
fn liveness_call(id: u8) -> Vec<u8> {
    let mut call = vec![0x84];
    call.extend(b"\xa4type\x01");
    call.extend(b"\xa2id");
    call.push(id);
    call.extend(b"\xa6method\xa8getValue");
    call.extend(b"\xa4args\x91\xafdoes_not_matter");
    data_on(b"/services/envs", &call)
}

fn data_on(channel: &[u8], data: &[u8]) -> Vec<u8> {
    let mut message = vec![4];
    for part in [channel, data] {
        message.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        message.extend(part);
    }
    message
}

/// A frame as a browser sends it: masked, with a key of its own.
fn sent(first: u8, payload: &[u8], key: u32) -> Vec<u8> {
    let mask = key.wrapping_mul(0x9e37_79b9).to_be_bytes();
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Ten minutes of a tab that nobody touches: a pong twice a minute, a liveness call twelve times.
fn ten_idle_minutes() -> Vec<u8> {
    let mut stream = Vec::new();
    for beat in 0..120_u32 {
        stream.extend(sent(TEXT, ANNOUNCEMENT, beat));
        stream.extend(sent(BINARY, &liveness_call(u8::try_from(beat).unwrap()), beat + 1000));
        if beat % 6 == 0 {
            stream.extend(sent(TEXT, b"3", beat + 2000));
        }
    }
    stream
}

/// One key typed in a terminal: two frames of 95 bytes together, as measured; what the second holds is made up.
fn one_key() -> Vec<u8> {
    let call = data_on(b"/services/terminals/10", b"\x82\xa4type\x02\xa1a");
    assert_eq!(call.len(), 40);
    [sent(TEXT, ANNOUNCEMENT, 7), sent(BINARY, &call, 8)].concat()
}

fn classifier(kinds: &[ActivityClassifier]) -> TunnelClassifier {
    Classifier::new(kinds, &HttpActivity::default()).tunnel()
}

/// How many frames of `pieces` show somebody at work.
fn evidence<'a>(kind: ActivityClassifier, pieces: impl IntoIterator<Item = &'a [u8]>) -> usize {
    let mut classifier = classifier(&[kind]);
    let mut parser = FrameParser::from_client(classifier.wanted_payload());
    let mut count = 0;
    for piece in pieces {
        parser.feed(piece, |frame| count += usize::from(classifier.frame(frame).is_some()));
    }
    assert!(parser.at_boundary());
    count
}

use ActivityClassifier::{Connections, Http, Socketio, Theia, Websocket};

#[test]
fn fixtures_have_the_measured_lengths() {
    assert_eq!(ANNOUNCEMENT.len(), 55);
    assert_eq!(liveness_call(0).len(), 72);
}

#[test]
fn an_idle_tab_of_theia_shows_nothing_for_ten_minutes() {
    let stream = ten_idle_minutes();
    assert_eq!(evidence(Theia, [&stream[..]]), 0);
    assert_eq!(evidence(Theia, stream.chunks(1)), 0);
    assert_eq!(evidence(Theia, stream.chunks(1460)), 0);
}

#[test]
fn one_key_typed_shows_somebody_at_work() {
    let key = one_key();
    assert_eq!(evidence(Theia, [&key[..]]), 1);
    assert_eq!(evidence(Theia, key.chunks(1)), 1);
}

#[test]
fn connecting_shows_nothing() {
    let greetings: Vec<u8> = [
        &b"2probe"[..],
        b"5",
        b"40/services,",
        br#"42/services,["initialConnection","6a5f8f1c-0000-4000-8000-000000000000"]"#,
        br#"42/services,["reconnect","6a5f8f1c-0000-4000-8000-000000000000"]"#,
        b"41/services,",
    ]
    .iter()
    .flat_map(|text| sent(TEXT, text, 3))
    .collect();
    assert_eq!(evidence(Theia, [&greetings[..]]), 0);
    assert_eq!(evidence(Socketio, [&greetings[..]]), 2, "events count where they are not known to be Theia's");
}

#[test]
fn texts_that_only_resemble_heartbeats_count() {
    for text in [&b"2x"[..], b"33", b"4", b"42[\"typed\",\"a\"]", b"45[\"x\"]", b"hello", b""] {
        assert_eq!(evidence(Theia, [&sent(TEXT, text, 1)[..]]), 1, "{}", String::from_utf8_lossy(text));
        assert_eq!(evidence(Socketio, [&sent(TEXT, text, 1)[..]]), 1, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn long_messages_count_whatever_they_hold() {
    let mut long = liveness_call(1);
    long.resize(MOST_PAYLOAD + 1, 0);
    assert_eq!(evidence(Theia, [&sent(BINARY, &long, 1)[..]]), 1);
    assert_eq!(evidence(Theia, [&sent(TEXT, &[b'2'; 300], 1)[..]]), 1);
    let mut connect = b"40/services,".to_vec();
    connect.resize(300, b' ');
    assert_eq!(evidence(Theia, [&sent(TEXT, &connect, 1)[..]]), 0);
}

#[test]
fn socketio_does_not_know_theias_calls() {
    assert_eq!(evidence(Socketio, [&sent(BINARY, &liveness_call(1), 1)[..]]), 1);
    assert_eq!(evidence(Socketio, [&sent(TEXT, b"3", 1)[..], &sent(TEXT, ANNOUNCEMENT, 1)]), 0);
}

#[test]
fn parts_are_judged_together() {
    let call = liveness_call(9);
    let (first, rest) = call.split_at(60);
    let (second, third) = rest.split_at(3);
    let idle = [sent(0x02, first, 1), sent(0x89, b"", 2), sent(0x00, second, 3), sent(0x80, third, 4)].concat();
    assert_eq!(evidence(Theia, [&idle[..]]), 0);
    let busy = [sent(0x01, b"4", 1), sent(0x80, b"2[\"typed\"]", 2)].concat();
    assert_eq!(evidence(Theia, [&busy[..]]), 1);
    let long = [sent(0x02, &[0; 300], 1), sent(0x80, &call, 2)].concat();
    assert_eq!(evidence(Theia, [&long[..]]), 1);
}

#[test]
fn compressed_messages_count_unless_as_short_as_a_heartbeat() {
    assert_eq!(evidence(Theia, [&sent(0xc1, &[0x32, 0x06, 0x00], 1)[..]]), 0);
    assert_eq!(evidence(Theia, [&sent(0xc2, &[0; 5], 1)[..]]), 1);
    let parts = [sent(0x42, &[0; 3], 1), sent(0x80, &[0; 3], 2)].concat();
    assert_eq!(evidence(Theia, [&parts[..]]), 1);
}

#[test]
fn websocket_counts_every_data_frame_and_no_other() {
    for (first, expected) in [(TEXT, 1), (BINARY, 1), (0x88, 0), (0x89, 0), (0x8a, 0)] {
        assert_eq!(evidence(Websocket, [&sent(first, b"", 1)[..]]), expected, "{first:x}");
    }
}

#[test]
fn http_and_connections_look_at_no_frame() {
    for kind in [Http, Connections] {
        assert_eq!(evidence(kind, [&one_key()[..]]), 0);
        assert_eq!(classifier(&[kind]).unreadable(), None);
    }
    let counts = |kind| Classifier::new(&[kind], &HttpActivity::default()).counts_open_tunnels();
    assert!(counts(Connections) && !counts(Http));
}

#[test]
fn unreadable_bytes_are_never_idle() {
    for kind in [Theia, Socketio, Websocket] {
        assert_eq!(classifier(&[kind]).unreadable(), Some(ActivitySource::WebSocket), "{kind:?}");
    }
}

#[test]
fn of_several_classifiers_each_counts() {
    let mut both = classifier(&[Theia, Websocket]);
    let mut parser = FrameParser::from_client(both.wanted_payload());
    let mut seen = None;
    parser.feed(&sent(TEXT, b"3", 1), |frame| seen = both.frame(frame));
    assert_eq!(seen, Some(ActivitySource::WebSocket));
}

/// How often a polling body in `pieces` shows somebody at work.
fn polled<'a>(kinds: &[ActivityClassifier], pieces: impl IntoIterator<Item = &'a [u8]>) -> usize {
    let method = http::Method::POST;
    let query = Some("EIO=4&transport=polling&sid=x");
    let facts = RequestFacts { method: &method, path: "/socket.io/", query, navigation: false, upgrade: false };
    let mut classifier = Classifier::new(kinds, &HttpActivity::default()).body(&facts).unwrap();
    let count = pieces.into_iter().filter(|piece| classifier.bytes(piece).is_some()).count();
    count + usize::from(classifier.end().is_some())
}

/// A body of these packets.
fn packets(packets: &[&[u8]]) -> Vec<u8> {
    packets.join(&[0x1e][..])
}

/// What engine.io makes of a binary frame when it polls.
fn in_base64(data: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    format!("b{}", base64::engine::general_purpose::STANDARD.encode(data)).into_bytes()
}

#[test]
fn a_tab_that_polls_and_is_not_touched_shows_nothing() {
    let liveness = in_base64(&liveness_call(1));
    let greeting = br#"42/services,["initialConnection","6a5f8f1c-0000-4000-8000-000000000000"]"#;
    for idle in [
        &[&b"3"[..]][..],
        &[b"40/services,"],
        &[greeting],
        &[ANNOUNCEMENT, &liveness],
        &[b"3", ANNOUNCEMENT, &liveness],
        &[b""],
        &[],
    ] {
        let body = packets(idle);
        assert_eq!(polled(&[Theia], [&body[..]]), 0, "{}", String::from_utf8_lossy(&body));
        assert_eq!(polled(&[Theia], body.chunks(1)), 0, "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_key_typed_in_a_tab_that_polls_shows_somebody_at_work() {
    let key = in_base64(&data_on(b"/services/terminals/10", b"\x82\xa4type\x02\xa1a"));
    let liveness = in_base64(&liveness_call(1));
    for busy in [
        &[ANNOUNCEMENT, &key][..],
        &[b"3", ANNOUNCEMENT, &liveness, ANNOUNCEMENT, &key, b"3"],
        &[br#"42["typed","a"]"#],
    ] {
        let body = packets(busy);
        assert_eq!(polled(&[Theia], [&body[..]]), 1, "{}", String::from_utf8_lossy(&body));
        assert_eq!(polled(&[Theia], body.chunks(1)), 1, "{}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn packets_that_cannot_be_read_count_and_long_ones_cost_no_memory() {
    let long = in_base64(&[liveness_call(1), vec![0; 1 << 20]].concat());
    for packet in [&b"bnot base64"[..], b"d=3", b"2x", &long] {
        assert_eq!(polled(&[Theia], packet.chunks(4096)), 1);
    }
    assert_eq!(polled(&[Theia, Websocket], [&b"3"[..]]), 0, "a heartbeat is none, whatever counts over WebSockets");
    assert_eq!(polled(&[Socketio], [&in_base64(&liveness_call(1))[..]]), 1);
}

proptest! {
    #[test]
    fn a_key_is_found_wherever_it_stands_and_however_the_stream_is_cut(
        place in 0_usize..=240,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut frames = Vec::new();
        for beat in 0..120_u32 {
            frames.push(sent(TEXT, ANNOUNCEMENT, beat));
            frames.push(sent(BINARY, &liveness_call(u8::try_from(beat).unwrap()), beat + 1000));
        }
        frames.insert(place, one_key());
        let stream = frames.concat();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        prop_assert_eq!(evidence(Theia, places.windows(2).map(|pair| &stream[pair[0]..pair[1]])), 1);
    }
}
