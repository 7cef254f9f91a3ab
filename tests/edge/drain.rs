//! Leaving in good order, and several servers in one process.

use std::sync::Arc;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use usher::config::{Shutdown, Span};
use usher::edge::{
    Drain, DrainPhase, Limits, Listener, Server, ServerError, ServerSettings, Stop, Transport, install_crypto_provider,
};
use usher::metrics::Metrics;

use crate::support::{Scripted, Setup, eventually, millis, patient, request, request2, rest, text, within};

#[tokio::test]
async fn a_request_under_way_is_finished_and_then_the_server_leaves() {
    let mut server = Setup::default().start();
    for http2 in [false, true] {
        if http2 {
            server = Setup::default().start();
        }
        let mut idle = server.http1().await;
        text(within(idle.sender.send_request(request("/who"))).await.unwrap()).await;
        let (mut one, mut two) = (server.http1().await, server.http2().await);
        let under_way = async {
            if http2 {
                two.sender.send_request(request2("/held")).await
            } else {
                one.sender.send_request(request("/held")).await
            }
        };
        let stop = async {
            server.service.entered.notified().await;
            server.drain.stop(Stop::Drain);
            server.drain.subscribe().wait_for(|&phase| phase == DrainPhase::Draining).await.unwrap();
            idle.closed().await;
            eventually("no connection is taken any more", || std::net::TcpStream::connect(server.address).is_err())
                .await;
            assert_eq!(server.drain.phase(), DrainPhase::Draining);
            server.service.release.notify_one();
        };
        let (answer, ()) = within(async { tokio::join!(under_way, stop) }).await;
        assert_eq!(text(answer.unwrap()).await, "released");
        within(server.drain.subscribe().wait_for(|&phase| phase == DrainPhase::Over)).await.unwrap();
        server.left().await;
    }
}

#[tokio::test]
async fn the_server_goes_on_accepting_while_the_balancer_looks_away() {
    let shutdown = Shutdown { drain_delay: Span::secs(3600), deadline: Span::secs(7200), ..Shutdown::default() };
    let mut server = Setup { shutdown, ..Setup::default() }.start();
    server.drain.stop(Stop::Drain);
    within(server.drain.subscribe().wait_for(|&phase| phase == DrainPhase::Leaving)).await.unwrap();
    assert!(server.counted("usher_draining 1"));
    let mut client = server.http1().await;
    assert_eq!(within(client.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
    // The second order means now.
    server.drain.stop(Stop::Drain);
    client.closed().await;
    server.left().await;
}

#[tokio::test]
async fn a_tunnel_is_waited_for_until_the_deadline() {
    let shutdown = Shutdown { drain_delay: Span::secs(0), deadline: millis(300), ..Shutdown::default() };
    let mut server = Setup { shutdown, ..Setup::default() }.start();
    let mut stream = server.tls(&[b"http/1.1"]).await;
    let head = "GET /tunnel HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nx";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"x") {
        assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0);
    }
    server.drain.stop(Stop::Drain);
    within(server.drain.subscribe().wait_for(|&phase| phase == DrainPhase::Draining)).await.unwrap();
    stream.write_all(b"y").await.unwrap();
    let mut echo = [0; 1];
    within(stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"y", "the tunnel still works");
    server.left().await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_hold_keeps_the_server_until_it_is_released() {
    let mut server = Setup::default().start();
    let hold = server.drain.hold();
    server.drain.stop(Stop::Drain);
    within(server.drain.subscribe().wait_for(|&phase| phase == DrainPhase::Draining)).await.unwrap();
    assert_eq!(server.drain.phase(), DrainPhase::Draining);
    drop(hold);
    server.left().await;
}

#[tokio::test]
async fn two_servers_run_in_one_process_and_one_can_leave() {
    let mut first = Setup::default().start();
    let second = Setup::default().start();
    let mut client = second.http1().await;
    assert_eq!(within(client.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
    first.drain.stop(Stop::Drain);
    first.left().await;
    assert_eq!(within(client.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
}

fn plain(address: &str, stays: bool, service: &Arc<Scripted>) -> Listener<Scripted> {
    Listener {
        name: "plain",
        address: address.to_owned(),
        threads: 1,
        transport: Transport::Plain,
        proxies: Vec::new(),
        stays,
        limits: Limits::new(&patient()),
        service: service.clone(),
    }
}

fn server(drain: &Drain) -> Server {
    install_crypto_provider();
    let metrics = Metrics::new(prometheus::Registry::new(), 1);
    Server::new(ServerSettings::default(), drain.clone(), metrics).unwrap()
}

#[test]
fn an_address_in_use_is_an_error_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut server = server(&Drain::new(&Shutdown::default()));
    let error = server.listen(plain(&address, false, &Arc::default())).unwrap_err();
    assert!(matches!(error, ServerError::Bind { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    let error = server.listen(plain("localhost", false, &Arc::default())).unwrap_err();
    assert!(matches!(error, ServerError::Address(_)), "{error}");
}

#[tokio::test]
async fn a_listener_that_stays_answers_to_the_end_of_the_drain() {
    let drain = Drain::new(&Shutdown { drain_delay: Span::secs(0), ..Shutdown::default() });
    let mut server = server(&drain);
    let service = Arc::new(Scripted::default());
    let _public = server.listen(plain("127.0.0.1:0", false, &service)).unwrap();
    let admin = server.listen(plain("127.0.0.1:0", true, &service)).unwrap();
    let thread = std::thread::spawn(move || server.run());
    let hold = drain.hold();
    drain.stop(Stop::Drain);
    within(drain.subscribe().wait_for(|&phase| phase == DrainPhase::Draining)).await.unwrap();
    let mut stream = within(TcpStream::connect(admin)).await.unwrap();
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    // Its connection is open, and is not waited for.
    drop(hold);
    within(tokio::task::spawn_blocking(move || thread.join())).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hand_over_that_nobody_takes_is_not_the_end() {
    let server = Setup::default().start();
    server.drain.stop(Stop::Handover);
    let mut client = server.http1().await;
    assert_eq!(within(client.sender.send_request(request("/who"))).await.unwrap().status(), StatusCode::OK);
    assert_eq!(server.drain.phase(), DrainPhase::Serving);
}

#[tokio::test]
async fn a_new_server_takes_the_sockets_of_the_old_one_over() {
    let folder = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700)).tempdir();
    let folder = folder.unwrap();
    let path = folder.path().join("handover");
    let settings = |take_over| ServerSettings { handover: Some(path.clone()), take_over, signals: false };
    let metrics = Metrics::new(prometheus::Registry::new(), 1);
    let (old_drain, new_drain) = (Drain::new(&Shutdown::default()), Drain::new(&Shutdown::default()));
    let service = Arc::new(Scripted::default());

    let mut old = Server::new(settings(false), old_drain.clone(), metrics.clone()).unwrap();
    let address = old.listen(plain("127.0.0.1:0", false, &service)).unwrap();
    let old = std::thread::spawn(move || old.run());
    let mut under_way = within(TcpStream::connect(address)).await.unwrap();
    under_way.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    within(service.entered.notified()).await;

    let (drain, successor, ready) = (new_drain.clone(), service.clone(), settings(true));
    let new = std::thread::spawn(move || {
        let mut new = Server::new(ready, drain, metrics).unwrap();
        let taken = new.listen(plain(&address.to_string(), false, &successor)).unwrap();
        assert_eq!(taken, address);
        new.run();
    });
    old_drain.stop(Stop::Handover);
    within(old_drain.subscribe().wait_for(|&phase| phase >= DrainPhase::Draining)).await.unwrap();
    // At no moment is a connection refused.
    let mut stream = within(TcpStream::connect(address)).await.unwrap();
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    service.release.notify_one();
    assert!(rest(&mut under_way).await.ends_with("released"), "the old server finishes what it began");
    within(tokio::task::spawn_blocking(move || old.join())).await.unwrap().unwrap();

    let mut stream = within(TcpStream::connect(address)).await.unwrap();
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 OK"), "the new one serves alone");
    new_drain.stop(Stop::Fast);
    within(tokio::task::spawn_blocking(move || new.join())).await.unwrap().unwrap();
}
