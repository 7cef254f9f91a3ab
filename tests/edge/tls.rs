//! Certificates, tickets and PROXY headers.

use std::net::{IpAddr, Ipv4Addr};

use http::StatusCode;
use http_body_util::BodyExt;
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use usher::config::{Certificate, Cidr};
use usher::edge::{CertificateError, CertificateStore};

use crate::support::{Authority, Running, Setup, eventually, request, rest, text, within};

fn leaf(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_reload_serves_the_next_handshake_and_drops_no_connection() {
    let server = Setup::default().start();
    let mut open = server.http1().await;
    let before = leaf(&server.tls(&[]).await);
    server.authority.issue("default", &["localhost"]);
    server.certificates.as_ref().unwrap().reload(&server.tls).unwrap();
    let after = leaf(&server.tls(&[]).await);
    assert_ne!(before, after);
    assert_eq!(within(open.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_reload_that_fails_leaves_the_old_certificate_in_force() {
    let server = Setup::default().start();
    let before = leaf(&server.tls(&[]).await);
    let (_, foreign_key) = server.authority.issue("other", &["localhost"]);
    let mut broken = server.tls.clone();
    broken.key = foreign_key;
    let error = server.certificates.as_ref().unwrap().reload(&broken).unwrap_err();
    assert!(matches!(error, CertificateError::Key { .. }), "{error}");
    assert!(error.to_string().contains("other.key"), "{error}");
    std::fs::write(&server.tls.certificate, "no certificate").unwrap();
    let error = server.certificates.as_ref().unwrap().reload(&server.tls).unwrap_err();
    assert!(error.to_string().contains("default.crt"), "{error}");
    assert_eq!(before, leaf(&server.tls(&[]).await));
}

#[tokio::test]
async fn the_certificate_follows_the_name_that_is_asked_for() {
    let server = Setup::default().start();
    let mut tls = server.tls.clone();
    for (file, name) in [("wild", "*.ide.example.com"), ("one", "one.ide.example.com")] {
        let (certificate, key) = server.authority.issue(file, &[name]);
        tls.additional.push(Certificate { certificate, key });
    }
    server.certificates.as_ref().unwrap().reload(&tls).unwrap();
    let client = server.authority.client(&[]);
    // The client checks that the certificate is for the name.
    let one = leaf(&server.tls_as("one.ide.example.com", client.clone()).await);
    let wild = leaf(&server.tls_as("two.IDE.example.com", client.clone()).await);
    let default = leaf(&server.tls_as("dev.example.com", client).await);
    assert!(one != wild && wild != default && one != default);
}

#[test]
fn a_store_names_the_file_that_it_cannot_use() {
    let authority = Authority::new();
    let mut tls = authority.tls("default", &["localhost"]);
    tls.certificate = authority.folder().join("missing.crt").display().to_string();
    let error = CertificateStore::load(&tls).unwrap_err();
    assert!(error.to_string().contains("missing.crt"), "{error}");
}

/// Makes a connection, has a request answered so that the tickets arrive, and tells how the handshake went.
async fn handshake(server: &Running, client: std::sync::Arc<rustls::ClientConfig>) -> HandshakeKind {
    let mut stream = server.tls_as("localhost", client).await;
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 "));
    stream.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test]
async fn sessions_resume_by_ticket_in_both_versions_of_tls() {
    let server = Setup::default().start();
    let client = server.authority.client(&[b"http/1.1"]);
    assert_eq!(handshake(&server, client.clone()).await, HandshakeKind::Full);
    assert_eq!(handshake(&server, client).await, HandshakeKind::Resumed);

    let client = server.authority.client_of(&[&rustls::version::TLS12]);
    assert_eq!(handshake(&server, client.clone()).await, HandshakeKind::Full);
    assert_eq!(handshake(&server, client).await, HandshakeKind::Resumed);
}

fn behind_a_balancer(trusted: &str) -> Running {
    Setup { proxies: vec![Cidr::parse(trusted).unwrap()], ..Setup::default() }.start()
}

/// Sends `header`, then TLS, then asks who we are.
async fn who(server: &Running, header: &[u8]) -> String {
    let mut stream = server.connect().await;
    stream.write_all(header).await.unwrap();
    let connector = TlsConnector::from(server.authority.client(&[b"http/1.1"]));
    let stream = within(connector.connect("localhost".try_into().unwrap(), stream)).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let answer = async { text(sender.send_request(request("/who").map(BodyExt::boxed)).await.unwrap()).await };
    tokio::select! {
        answer = within(answer) => answer,
        end = connection => panic!("{end:?}"),
    }
}

#[tokio::test]
async fn a_trusted_balancer_tells_the_address() {
    let server = behind_a_balancer("127.0.0.0/8");
    let answer = who(&server, b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n").await;
    assert_eq!(answer, "HTTP/1.1 192.0.2.7:4711 localhost");
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x27".to_vec();
    header.extend("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    header.extend([0; 16]);
    header.extend(4712_u16.to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header.extend([4, 0, 0]);
    assert_eq!(who(&server, &header).await, "HTTP/1.1 [2001:db8::7]:4712 localhost");
    let local = who(&server, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").await;
    assert!(local.starts_with("HTTP/1.1 127.0.0.1:"), "{local}");
}

#[tokio::test]
async fn a_trusted_balancer_has_to_send_a_header_and_in_time() {
    let mut setup = Setup { proxies: vec![Cidr::parse("127.0.0.1").unwrap()], ..Setup::default() };
    setup.http.proxy_header_timeout = crate::support::millis(100);
    let server = setup.start();
    let mut stream = server.connect().await;
    assert_eq!(rest(&mut stream).await, "");
    eventually("counted", || server.counted("usher_connections_refused_total{reason=\"proxy-timeout\"} 1")).await;
    let mut stream = server.connect().await;
    stream.write_all(b"\x16\x03\x01 a TLS hello").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    eventually("counted", || server.counted("usher_connections_refused_total{reason=\"proxy-malformed\"} 1")).await;
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let server = behind_a_balancer("192.0.2.0/24");
    let answer = who(&server, b"").await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {}:", IpAddr::from(Ipv4Addr::LOCALHOST))), "{answer}");
    let mut stream = server.connect().await;
    stream.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n").await.unwrap();
    let mut byte = [0; 64];
    // At most an alert comes back; HTTP is never spoken.
    let read = within(stream.read(&mut byte)).await.unwrap_or(0);
    assert!(read == 0 || byte[0] == 0x15, "{:?}", &byte[..read]);
    eventually("counted", || server.counted("usher_tls_handshakes_total{result=\"failed\"} 1")).await;
}

#[tokio::test]
async fn failed_handshakes_are_told_apart() {
    let server = Setup::default().start();
    let stranger = Authority::new().client(&[]);
    let refused = TlsConnector::from(stranger).connect("localhost".try_into().unwrap(), server.connect().await);
    assert!(within(refused).await.is_err(), "the client does not know the authority");
    let counted = |result: &str| server.counted(&format!("usher_tls_handshakes_total{{result=\"{result}\"}} 1"));
    eventually("an alert is counted", || counted("refused-by-client")).await;
    drop(server.connect().await);
    eventually("a client that leaves is counted", || counted("client-gone")).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    eventually("what is not TLS is counted", || counted("failed")).await;
}
