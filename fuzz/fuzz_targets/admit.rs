//! Any head that hyper lets through is refused, or admitted in a form that admits to itself and never climbs.
//!
//! Input: lines. The first is the method, the second the target, the others are headers `name: value`.

#![no_main]

use http::Request;
use libfuzzer_sys::fuzz_target;
use usher::proxy::admit::{Admitted, ConnectionFacts, Limits, admit};

const LIMITS: Limits = Limits { target: 8192, headers: 32 * 1024 };

fn request(method: &[u8], target: &[u8], headers: &[(&[u8], &[u8])], http2: bool) -> Option<Request<()>> {
    let version = if http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
    let mut request = Request::builder().method(method).uri(target).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).ok()
}

fn try_admit(method: &[u8], target: &[u8], headers: &[(&[u8], &[u8])], http2: bool) -> Option<Admitted> {
    let parts = request(method, target, headers, http2)?.into_parts().0;
    admit(&parts, &LIMITS, &ConnectionFacts { http2, server_name: None }).ok()
}

fn check(admitted: &Admitted) {
    let path = admitted.path();
    assert!(path.starts_with('/') && !path.contains("//"), "{path}");
    assert!(path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "{path}");
    assert!(!path.split('/').any(|s| matches!(s.split(';').next(), Some("." | ".."))), "{path}");
    let host = [(&b"host"[..], admitted.authority().as_str().as_bytes())];
    let again = try_admit(admitted.method().as_str().as_bytes(), admitted.target().as_str().as_bytes(), &host, false)
        .expect("what was admitted is admissible");
    assert_eq!((again.target(), again.authority()), (admitted.target(), admitted.authority()));
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|b| *b == b'\n');
    let (Some(method), Some(target)) = (lines.next(), lines.next()) else { return };
    let headers: Vec<(&[u8], &[u8])> = lines
        .filter_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            let (name, value) = line.split_at(at);
            Some((name, value.get(1..)?.trim_ascii()))
        })
        .collect();
    for http2 in [false, true] {
        if let Some(admitted) = try_admit(method, target, &headers, http2) {
            check(&admitted);
        }
    }
});
