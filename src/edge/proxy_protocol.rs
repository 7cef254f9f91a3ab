//! The PROXY protocol header, versions 1 and 2: how a load balancer tells the client's address.
//!
//! Sans I/O: bytes in, verdict out. The specification is HAProxy's `proxy-protocol.txt`. Whose header is believed is
//! decided elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header that is read. Version 2 with every extension in use stays under 536 bytes.
pub const MAX_HEADER: usize = 1024;
/// Longest line of version 1, its end included.
const MAX_LINE: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// The client's address. None if the balancer speaks for itself (a health check) or does not know.
    pub source: Option<SocketAddr>,
    /// Bytes of the header; what follows belongs to the connection.
    pub length: usize,
}

/// Bytes that are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// The connection starts with something else.
    #[error("connection does not start with a PROXY header")]
    Missing,
    /// It starts like one and is not.
    #[error("malformed PROXY header")]
    Malformed,
    /// It is longer than [`MAX_HEADER`].
    #[error("PROXY header is too long")]
    TooLong,
}

/// Parses the beginning of a connection. `None` asks for more bytes.
///
/// # Errors
/// Returns an error as soon as the bytes cannot become a header any more.
pub fn parse(bytes: &[u8]) -> Result<Option<Parsed>, ProxyHeaderError> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] == SIGNATURE[..known] {
        return version_2(bytes);
    }
    let known = bytes.len().min(6);
    if bytes[..known] == b"PROXY "[..known] {
        return version_1(bytes);
    }
    Err(ProxyHeaderError::Missing)
}

fn version_1(bytes: &[u8]) -> Result<Option<Parsed>, ProxyHeaderError> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|&byte| byte == b'\n') else {
        return if bytes.len() < MAX_LINE { Ok(None) } else { Err(ProxyHeaderError::TooLong) };
    };
    let line = bytes[..end].strip_suffix(b"\r").ok_or(ProxyHeaderError::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyHeaderError::Malformed)?;
    let source = source_of_line(line).ok_or(ProxyHeaderError::Malformed)?;
    Ok(Some(Parsed { source, length: end + 1 }))
}

/// `PROXY TCP4 SOURCE DESTINATION SOURCE_PORT DESTINATION_PORT`, or `PROXY UNKNOWN` and anything.
fn source_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ');
    let (_, family) = (words.next()?, words.next()?);
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let _destination = SocketAddr::new(address(destination)?, destination_port);
    Some(Some(SocketAddr::new(address(source)?, source_port)))
}

/// Digits only, without the sign and the leading zeros that `parse` would take.
fn port(text: &str) -> Option<u16> {
    let canonical = text == "0" || text.starts_with(|first: char| first.is_ascii_digit() && first != '0');
    text.parse().ok().filter(|_| canonical)
}

fn version_2(bytes: &[u8]) -> Result<Option<Parsed>, ProxyHeaderError> {
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else { return Ok(None) };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER {
        return Err(ProxyHeaderError::TooLong);
    }
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Malformed),
    };
    let Some(addresses) = bytes.get(FIXED..length) else { return Ok(None) };
    let source = if local { None } else { source_of_block(family, addresses)? };
    Ok(Some(Parsed { source, length }))
}

/// The source in a block of addresses. Families other than TCP over IP are not what a listener on TCP is told.
fn source_of_block(family: u8, block: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    match family {
        0x00 => Ok(None),
        0x11 => match *block {
            [a, b, c, d, _, _, _, _, high, low, _, _, ..] => {
                Ok(Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))))
            }
            _ => Err(ProxyHeaderError::Malformed),
        },
        0x21 => {
            let address: [u8; 16] = *block.first_chunk().ok_or(ProxyHeaderError::Malformed)?;
            let ports: [u8; 4] = *block.get(32..36).and_then(<[u8]>::first_chunk).ok_or(ProxyHeaderError::Malformed)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(address).into(), u16::from_be_bytes([ports[0], ports[1]]))))
        }
        _ => Err(ProxyHeaderError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v1(line: &str) -> Result<Option<Parsed>, ProxyHeaderError> {
        parse(line.as_bytes())
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("short");
        [SIGNATURE, &[command, family], &length.to_be_bytes(), block].concat()
    }

    #[test]
    fn lines_of_version_1_are_read() {
        for (line, source) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", Some("192.0.2.1:56324")),
            ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", Some("[2001:db8::1]:1")),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255:65535")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 whatever\r\n", None),
        ] {
            let source = source.map(|source| source.parse().expect("an address"));
            let rest = [line.as_bytes(), b"\x16\x03"].concat();
            assert_eq!(parse(&rest), Ok(Some(Parsed { source, length: line.len() })), "{line}");
        }
    }

    #[test]
    fn lines_that_only_look_like_version_1_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 more\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +5 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 1 443\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 443\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 1 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n",
            "PROXY \r\n",
            "PROXY TCP4 \u{e9} 198.51.100.1 1 443\r\n",
        ] {
            assert_eq!(v1(line), Err(ProxyHeaderError::Malformed), "{line}");
        }
        assert_eq!(v1("PROXY_TCP4"), Err(ProxyHeaderError::Missing));
        assert_eq!(v1("GET / HTTP/1.1\r\n"), Err(ProxyHeaderError::Missing));
        assert_eq!(v1(&format!("PROXY UNKNOWN {}", "x".repeat(MAX_LINE))), Err(ProxyHeaderError::TooLong));
    }

    #[test]
    fn blocks_of_version_2_are_read_with_what_follows_them() {
        let block = [192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 1, 187, /* extension */ 4, 0, 1, 0];
        let header = v2(0x21, 0x11, &block);
        let source = Some("192.0.2.1:56324".parse().expect("an address"));
        assert_eq!(parse(&header), Ok(Some(Parsed { source, length: 32 })));
        assert_eq!(parse(&v2(0x20, 0x11, &block)), Ok(Some(Parsed { source: None, length: 32 })), "a health check");
        assert_eq!(parse(&v2(0x21, 0x00, &[])), Ok(Some(Parsed { source: None, length: 16 })));
    }

    #[test]
    fn blocks_of_version_2_that_cannot_be_are_refused() {
        for header in [
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x12, &[0; 12]),
            v2(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(parse(&header), Err(ProxyHeaderError::Malformed), "{header:02x?}");
        }
        assert_eq!(parse(&v2(0x21, 0x11, &[0; MAX_HEADER])), Err(ProxyHeaderError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_get_a_verdict_and_at_the_limit_a_final_one(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for start in [&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
                let bytes = [start, &bytes].concat();
                if let Ok(Some(parsed)) = parse(&bytes) {
                    prop_assert!(parsed.length <= bytes.len());
                }
                let mut longest = bytes.clone();
                longest.resize(MAX_HEADER, b'x');
                prop_assert_ne!(parse(&longest), Ok(None));
            }
        }

        #[test]
        fn every_cut_of_a_header_asks_for_more_and_the_whole_reads_the_same(
            a in any::<[u8; 16]>(), port in any::<u16>(), extra in proptest::collection::vec(any::<u8>(), 0..32), six in any::<bool>(), text in any::<bool>(),
        ) {
            let four: [u8; 4] = [a[0], a[1], a[2], a[3]];
            let source = if six { SocketAddr::new(Ipv6Addr::from(a).into(), port) } else { SocketAddr::new(Ipv4Addr::from(four).into(), port) };
            let header = match (text, six) {
                (true, true) => format!("PROXY TCP6 {} ::1 {port} 443\r\n", source.ip()).into_bytes(),
                (true, false) => format!("PROXY TCP4 {} 127.0.0.1 {port} 443\r\n", source.ip()).into_bytes(),
                (false, true) => v2(0x21, 0x21, &[&a[..], &[0; 16], &port.to_be_bytes(), &[1, 187], &extra].concat()),
                (false, false) => v2(0x21, 0x11, &[&four[..], &[0; 4], &port.to_be_bytes(), &[1, 187], &extra].concat()),
            };
            for cut in 0..header.len() {
                prop_assert_eq!(parse(&header[..cut]), Ok(None), "cut at {}", cut);
            }
            prop_assert_eq!(parse(&header), Ok(Some(Parsed { source: Some(source), length: header.len() })));
        }
    }
}
