//! A tunnel whose client speaks TLS: what rustls holds back must be flushed, and the end must be said.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use usher::metrics::Metrics;
use usher::model::TenantId;
use usher::proxy::tunnel::{Cause, Closing, Side, Terms, TunnelSettings, TunnelTag, Tunnels, Unobserved};
use usher::websocket::close_frame;

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connects"), far.expect("accepts").0)
}

async fn tls_pair() -> (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("makes one");
    let provider = Arc::new(default_provider());
    let key = rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("is a key");
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let server = server.expect("supported").with_no_client_auth().with_single_cert(vec![cert.der().clone()], key);
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("is a certificate");
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.expect("supported").with_root_certificates(roots).with_no_client_auth();
    let (near, far) = tcp_pair().await;
    let name = "localhost".try_into().expect("is a name");
    let connect = TlsConnector::from(Arc::new(client)).connect(name, near);
    let accept = TlsAcceptor::from(Arc::new(server.expect("fits"))).accept(far);
    let (near, far) = tokio::join!(connect, accept);
    (near.expect("connects"), far.expect("accepts"))
}

#[tokio::test]
async fn bytes_and_the_end_reach_a_client_over_tls() {
    const LENGTH: usize = 4 << 20;
    let ((client, client_inner), (mut upstream, upstream_inner)) = (tls_pair().await, tcp_pair().await);
    let tenant = TenantId::new("acme").expect("valid");
    let terms = Terms {
        series: Metrics::new(Registry::new(), 10).tenant(&tenant),
        tag: TunnelTag { tenant, workspace: None, instance: None, session: None, bearer: None, route: Arc::from("/") },
        settings: Arc::new(TunnelSettings::default()),
        endings: Vec::new(),
    };
    let side = |stream| Side { stream, early: Bytes::new() };
    let tunnel = Tunnels::new().open(
        Side { stream: client_inner, early: Bytes::new() },
        side(upstream_inner),
        terms,
        Unobserved,
    );
    let handle = tunnel.handle();
    let end = Handle::current().spawn(tunnel);

    let mut message = vec![0x82, 127];
    message.extend((LENGTH as u64).to_be_bytes());
    message.resize(10 + LENGTH, 0x5a);
    let (mut read, mut write) = split(client);
    let mut got = vec![0; message.len()];
    let down = async { tokio::try_join!(upstream.write_all(&message), read.read_exact(&mut got)) };
    tokio::time::timeout(Duration::from_secs(30), down).await.expect("happens soon").expect("moves");
    assert!(got == message);

    write.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'a']).await.expect("writes");
    write.flush().await.expect("flushes");
    let mut small = [0; 7];
    upstream.read_exact(&mut small).await.expect("reads");
    assert_eq!(small, [0x81, 0x81, 0, 0, 0, 0, b'a']);

    handle.close(Closing::RESTART);
    let mut rest = Vec::new();
    // An end that TLS does not announce would be an error here.
    tokio::time::timeout(Duration::from_secs(30), read.read_to_end(&mut rest)).await.expect("ends").expect("in order");
    assert_eq!(rest, close_frame(1012, "service restart", None));
    assert_eq!(end.await.expect("does not panic").cause, Cause::Closed(Closing::RESTART));
}
