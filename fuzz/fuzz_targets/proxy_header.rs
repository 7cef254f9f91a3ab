//! A PROXY header is whole, wrong, or wants more; more bytes never change a verdict that was given.

#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::edge::{MAX_PROXY_HEADER, parse_proxy_header};

fuzz_target!(|data: &[u8]| {
    let mut verdict = None;
    for end in 0..=data.len().min(MAX_PROXY_HEADER + 64) {
        let now = parse_proxy_header(&data[..end]);
        match (&verdict, now) {
            (None, Ok(None)) => assert!(end <= MAX_PROXY_HEADER, "wants more than the longest header has"),
            (None, Ok(Some(header))) => {
                assert!(header.length <= end);
                verdict = Some(Ok(header));
            }
            (None, Err(error)) => verdict = Some(Err(error)),
            (Some(before), now) => assert_eq!(*before, now.map(|header| header.expect("was whole before"))),
        }
    }
});
