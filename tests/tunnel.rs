//! Drives tunnels: over real sockets where bytes and pace matter, over in-memory pipes with paused time where
//! deadlines do.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use prometheus::Registry;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_util::sync::CancellationToken;
use usher::config::{ActivityClassifier, HttpActivity};
use usher::metrics::{Metrics, TenantSeries};
use usher::model::{InstanceId, TenantId};
use usher::proxy::tunnel::{
    Cause, Classified, ClientFrames, Closing, Ending, Side, Terms, TunnelEnd, TunnelHandle, TunnelSettings, TunnelTag,
    Tunnels, Unobserved,
};
use usher::websocket::close_frame;
use usher::workspace::classify::Classifier;

/// Longer than anything that should happen at once takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A tunnel at work between two peers that the test plays.
struct Joined<S> {
    client: S,
    upstream: S,
    handle: TunnelHandle,
    end: JoinHandle<TunnelEnd>,
    tunnels: Tunnels,
    series: Arc<TenantSeries>,
    session: CancellationToken,
}

#[derive(Default)]
struct Setup {
    settings: TunnelSettings,
    client_early: Bytes,
    upstream_early: Bytes,
}

fn terms(setup: &Setup, series: &Arc<TenantSeries>, session: &CancellationToken) -> Terms {
    let tag = TunnelTag {
        tenant: TenantId::new("acme").expect("valid"),
        workspace: None,
        instance: Some(InstanceId::new("run-1").expect("valid")),
        session: None,
        bearer: None,
        route: Arc::from("/"),
    };
    let endings = vec![Ending { token: session.clone(), closing: Closing::SIGNED_OUT }];
    Terms { tag, settings: Arc::new(setup.settings.clone()), endings, series: series.clone() }
}

fn series() -> Arc<TenantSeries> {
    Metrics::new(Registry::new(), 10).tenant(&TenantId::new("acme").expect("valid"))
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Joined<S> {
    fn new(
        (client, client_inner): (S, S),
        (upstream, upstream_inner): (S, S),
        setup: Setup,
        observer: impl ClientFrames + Unpin + Send + 'static,
    ) -> Self {
        let (tunnels, series, session) = (Tunnels::new(), series(), CancellationToken::new());
        let terms = terms(&setup, &series, &session);
        let client_side = Side { stream: client_inner, early: setup.client_early };
        let upstream_side = Side { stream: upstream_inner, early: setup.upstream_early };
        let tunnel = tunnels.open(client_side, upstream_side, terms, observer);
        let handle = tunnel.handle();
        let end = Handle::current().spawn(tunnel);
        Self { client, upstream, handle, end, tunnels, series, session }
    }

    async fn end(self) -> TunnelEnd {
        drop((self.client, self.upstream));
        soon(self.end).await.expect("the tunnel does not panic")
    }
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (near, (far, _)) = (near.expect("connects"), far.expect("accepts"));
    near.set_nodelay(true).expect("TCP");
    far.set_nodelay(true).expect("TCP");
    (near, far)
}

async fn over_tcp(setup: Setup) -> Joined<TcpStream> {
    Joined::new(tcp_pair().await, tcp_pair().await, setup, Unobserved)
}

fn over_pipes(setup: Setup) -> Joined<DuplexStream> {
    Joined::new(duplex(4096), duplex(4096), setup, Unobserved)
}

fn settings(change: impl FnOnce(&mut TunnelSettings)) -> Setup {
    let mut setup = Setup::default();
    change(&mut setup.settings);
    setup
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("happens soon")
}

async fn read_exactly(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    soon(stream.read_exact(&mut bytes)).await.expect("reads");
    bytes
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.expect("reads");
    bytes
}

/// A frame; `masked` as a client sends it, with a key of zeroes, so that the payload stands as it is.
fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut bytes = head(first, payload.len(), masked);
    bytes.extend(payload);
    bytes
}

fn head(first: u8, length: usize, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(bit | u8::try_from(length).expect("short")),
        126..65_536 => {
            bytes.push(bit | 126);
            bytes.extend(u16::try_from(length).expect("16 bits").to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    if masked {
        bytes.extend([0; 4]);
    }
    bytes
}

async fn web_socket(stream: TcpStream, role: Role) -> WebSocketStream<TcpStream> {
    WebSocketStream::from_raw_socket(stream, role, None).await
}

#[tokio::test]
async fn every_byte_passes_both_ways_under_cuts_of_one_byte() {
    let mut joined = over_tcp(Setup::default()).await;
    for masked in [true, false] {
        let stream = [
            frame(0x81, b"text", masked),
            frame(0xc1, &[7; 300], masked),
            frame(0x02, b"part", masked),
            frame(0x89, b"ping", masked),
            frame(0x80, &[], masked),
            frame(0x82, &[9; 2000], masked),
        ]
        .concat();
        let (from, to) = match masked {
            true => (&mut joined.client, &mut joined.upstream),
            false => (&mut joined.upstream, &mut joined.client),
        };
        let write = async {
            for byte in &stream {
                from.write_all(std::slice::from_ref(byte)).await.expect("writes");
            }
        };
        let ((), read) = tokio::join!(write, read_exactly(to, stream.len()));
        assert_eq!(read, stream);
    }
    let end = joined.end().await;
    assert_eq!(end.bytes_in, end.bytes_out + 6 * 4, "the masks are the difference");
}

#[tokio::test]
async fn early_bytes_of_both_sides_come_first() {
    // A frame that is cut between what was read early and what comes later.
    let (question, answer) = (frame(0x81, b"question", true), frame(0x81, b"answer", false));
    let setup = Setup {
        client_early: Bytes::copy_from_slice(&question[..5]),
        upstream_early: Bytes::copy_from_slice(&answer[..5]),
        ..Setup::default()
    };
    let mut joined = over_tcp(setup).await;
    assert_eq!(read_exactly(&mut joined.upstream, 5).await, question[..5]);
    assert_eq!(read_exactly(&mut joined.client, 5).await, answer[..5]);
    joined.client.write_all(&question[5..]).await.expect("writes");
    joined.upstream.write_all(&answer[5..]).await.expect("writes");
    assert_eq!(read_exactly(&mut joined.upstream, question.len() - 5).await, question[5..]);
    assert_eq!(read_exactly(&mut joined.client, answer.len() - 5).await, answer[5..]);
    // The parser has seen the early bytes too: it knows that this is a boundary.
    joined.handle.close(Closing::RESTART);
    assert_eq!(read_to_end(&mut joined.client).await, close_frame(1012, "service restart", None));
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

#[tokio::test]
async fn a_hundred_megabytes_each_way_need_no_memory() {
    const FRAMES: usize = 1600;
    const PAYLOAD: usize = 65_536;
    let Joined { client, upstream, end, .. } = over_tcp(Setup::default()).await;
    let before = resident();
    let (mut client_read, mut client_write) = client.into_split();
    let (mut upstream_read, mut upstream_write) = upstream.into_split();
    let send = async |stream: &mut tokio::net::tcp::OwnedWriteHalf, masked| {
        let bytes = frame(0x82, &[0x5a; PAYLOAD], masked);
        for _ in 0..FRAMES {
            stream.write_all(&bytes).await.expect("writes");
        }
        stream.shutdown().await.expect("shuts down");
    };
    let receive = async |stream: &mut tokio::net::tcp::OwnedReadHalf| {
        // Small reads against large writes, so that the senders have to wait.
        let (mut total, mut most, mut buffer) = (0_u64, 0, vec![0; 4096]);
        for turn in 0_u64.. {
            match stream.read(&mut buffer).await.expect("reads") {
                0 => break,
                length => total += length as u64,
            }
            if turn % 256 == 0 {
                most = most.max(resident());
            }
        }
        (total, most)
    };
    let all = async {
        tokio::join!(
            send(&mut client_write, true),
            send(&mut upstream_write, false),
            receive(&mut client_read),
            receive(&mut upstream_read),
        )
    };
    let ((), (), (to_client, most), (to_upstream, _)) =
        tokio::time::timeout(3 * SOON, all).await.expect("moves 200 MB in a minute");
    assert_eq!(to_client, (FRAMES * (PAYLOAD + 10)) as u64);
    assert_eq!(to_upstream, (FRAMES * (PAYLOAD + 14)) as u64);
    // Other tests run beside this one; 200 MB would be seen all the same.
    assert!(most.saturating_sub(before) < 48 << 20, "grew by {} KiB", most.saturating_sub(before) >> 10);
    let end = soon(end).await.expect("the tunnel does not panic");
    assert_eq!((end.bytes_in, end.bytes_out), (to_upstream, to_client));
}

#[tokio::test]
async fn a_sender_feels_that_the_receiver_does_not_read() {
    let joined = over_tcp(Setup::default()).await;
    let (upstream, bytes) = (joined.upstream, frame(0x82, &[0; 65_536], false));
    let mut accepted = 0_usize;
    loop {
        match tokio::time::timeout(Duration::from_secs(1), upstream.writable()).await {
            Err(_) => break,
            Ok(ready) => ready.expect("stays open"),
        }
        accepted += upstream.try_write(&bytes).unwrap_or(0);
        assert!(accepted < 64 << 20, "64 MB went nowhere");
    }
    joined.handle.kill();
}

#[tokio::test]
async fn close_codes_of_either_side_pass_untouched() {
    for from_client in [false, true] {
        let joined = over_tcp(Setup::default()).await;
        let client = web_socket(joined.client, Role::Client).await;
        let upstream = web_socket(joined.upstream, Role::Server).await;
        let (mut sender, mut receiver) = if from_client { (client, upstream) } else { (upstream, client) };
        let sent = CloseFrame { code: 4123.into(), reason: "own reason".into() };
        soon(sender.close(Some(sent.clone()))).await.expect("sends");
        let Some(Ok(Message::Close(Some(got)))) = soon(receiver.next()).await else { panic!("a close frame") };
        assert_eq!(got, sent);
        // The answer goes back, and both ends are let go.
        assert!(soon(receiver.next()).await.is_none_or(|last| last.is_err()));
        let Some(Ok(Message::Close(Some(got)))) = soon(sender.next()).await else { panic!("an answer") };
        assert_eq!(got.code, sent.code);
        drop((sender, receiver));
        let end = soon(joined.end).await.expect("the tunnel does not panic");
        assert_eq!(end.close_code, Some(4123));
        assert!(matches!(end.cause, Cause::Client | Cause::Upstream), "{end:?}");
    }
}

#[tokio::test]
async fn what_is_under_way_arrives_after_the_other_half_has_ended() {
    let mut joined = over_tcp(Setup::default()).await;
    let last = frame(0x81, b"last words", true);
    joined.client.write_all(&last).await.expect("writes");
    joined.client.shutdown().await.expect("shuts down");
    assert_eq!(read_to_end(&mut joined.upstream).await, last);
    let answer = frame(0x82, &vec![3; 1 << 20], false);
    let (wrote, read) = tokio::join!(
        async {
            joined.upstream.write_all(&answer).await.expect("writes");
            joined.upstream.shutdown().await
        },
        read_to_end(&mut joined.client)
    );
    wrote.expect("shuts down");
    assert!(read == answer);
    let end = joined.end().await;
    assert_eq!((end.cause, end.close_code), (Cause::Client, None));
}

#[tokio::test]
async fn a_reset_by_one_side_ends_the_other() {
    let mut joined = over_tcp(Setup::default()).await;
    joined.client.set_zero_linger().expect("TCP");
    drop(joined.client);
    assert_eq!(read_to_end(&mut joined.upstream).await, b"");
    let end = soon(joined.end).await.expect("the tunnel does not panic");
    assert_eq!(end.cause, Cause::ClientFailed(std::io::ErrorKind::ConnectionReset));
    assert!(end.lasted < Duration::from_secs(8), "it does not wait for the other half: {end:?}");
}

#[tokio::test]
async fn an_end_without_a_close_frame_stays_one() {
    let message = frame(0x81, b"the last whole one", false);
    for (reset, cause) in [(false, Cause::Upstream), (true, Cause::UpstreamFailed(std::io::ErrorKind::ConnectionReset))]
    {
        let mut joined = over_tcp(Setup::default()).await;
        joined.upstream.write_all(&message).await.expect("writes");
        assert_eq!(read_exactly(&mut joined.client, message.len()).await, message);
        if reset {
            joined.upstream.set_zero_linger().expect("TCP");
        }
        drop(joined.upstream);
        // Not a byte of the gateway's own, so that the page sees 1006 and knows that nobody meant to leave.
        assert_eq!(read_to_end(&mut joined.client).await, b"");
        drop(joined.client);
        let end = soon(joined.end).await.expect("the tunnel does not panic");
        assert_eq!((end.cause, end.close_code), (cause, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_left_alone_is_bounded() {
    let mut joined = over_pipes(Setup::default());
    joined.client.shutdown().await.expect("shuts down");
    let begin = tokio::time::Instant::now();
    let end = joined.end.await.expect("the tunnel does not panic");
    assert_eq!(end.cause, Cause::Client);
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_tunnel_is_never_cut() {
    let mut joined = over_pipes(Setup::default());
    tokio::time::advance(Duration::from_secs(7 * 24 * 3600)).await;
    let hello = frame(0x81, b"still here", true);
    joined.client.write_all(&hello).await.expect("writes");
    assert_eq!(read_exactly(&mut joined.upstream, hello.len()).await, hello);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_ends_the_tunnel() {
    for client_stalls in [true, false] {
        let mut joined = over_pipes(Setup::default());
        let sender = if client_stalls { &mut joined.upstream } else { &mut joined.client };
        // More than the pipe holds, less than pipe and tunnel together.
        sender.write_all(&frame(0x82, &[0; 6000], !client_stalls)).await.expect("writes");
        let begin = tokio::time::Instant::now();
        let end = joined.end.await.expect("the tunnel does not panic");
        assert_eq!(end.cause, if client_stalls { Cause::ClientStalled } else { Cause::UpstreamStalled });
        assert_eq!(begin.elapsed().as_secs(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_end_the_tunnel() {
    let mut joined = over_pipes(Setup::default());
    let bytes = frame(0x82, &[0; 20_000], false);
    let slow = async {
        let mut left = bytes.len();
        while left > 0 {
            tokio::time::sleep(Duration::from_secs(25)).await;
            left -= read_exactly(&mut joined.client, left.min(2000)).await.len();
        }
    };
    let (wrote, ()) = tokio::join!(joined.upstream.write_all(&bytes), slow);
    wrote.expect("writes");
    assert!(!joined.end.is_finished());
}

#[tokio::test]
async fn closing_tells_both_sides_and_waits_for_their_answers() {
    let joined = over_tcp(Setup::default()).await;
    let mut client = web_socket(joined.client, Role::Client).await;
    let mut upstream = web_socket(joined.upstream, Role::Server).await;
    joined.handle.close(Closing::WORKSPACE_STOPPED);
    for side in [&mut client, &mut upstream] {
        // A server refuses a frame that is not masked, so this also shows that ours is.
        let Some(Ok(Message::Close(Some(got)))) = soon(side.next()).await else { panic!("a close frame") };
        assert_eq!((u16::from(got.code), got.reason.as_str()), (1001, "workspace stopped"));
        let _ = soon(side.flush()).await;
    }
    let end = soon(joined.end).await.expect("the tunnel does not panic");
    assert_eq!((end.cause, end.close_code), (Cause::Closed(Closing::WORKSPACE_STOPPED), Some(1001)));
    assert!(end.lasted < Duration::from_secs(5), "{end:?}");
    assert!(joined.tunnels.is_empty());
}

#[tokio::test]
async fn closing_waits_for_the_end_of_a_large_message() {
    let mut joined = over_tcp(Setup::default()).await;
    let message = frame(0x82, &vec![1; 300_000], false);
    let (begun, rest) = message.split_at(100_000);
    joined.upstream.write_all(begun).await.expect("writes");
    assert!(read_exactly(&mut joined.client, begun.len()).await == begun);
    joined.handle.close(Closing::RESTART);
    // The client's half stands between two frames, so the upstream is told at once.
    let told = close_frame(1012, "service restart", Some([0; 4])).len();
    read_exactly(&mut joined.upstream, told).await;
    joined.upstream.write_all(rest).await.expect("writes");
    joined.upstream.write_all(&frame(0x81, b"too late", false)).await.expect("writes");
    let read = read_to_end(&mut joined.client).await;
    let (message_end, close) = read.split_at(rest.len());
    assert!(message_end == rest);
    assert_eq!(close, close_frame(1012, "service restart", None));
    assert_eq!(joined.end().await.cause, Cause::Closed(Closing::RESTART));
}

#[tokio::test(start_paused = true)]
async fn closing_cuts_a_message_that_does_not_end() {
    let mut joined = over_pipes(Setup::default());
    let begun = head(0x82, 1 << 30, true);
    joined.client.write_all(&begun).await.expect("writes");
    assert_eq!(read_exactly(&mut joined.upstream, begun.len()).await, begun);
    joined.handle.close(Closing::RESTART);
    let begin = tokio::time::Instant::now();
    assert_eq!(read_to_end(&mut joined.client).await, close_frame(1012, "service restart", None));
    assert_eq!(read_to_end(&mut joined.upstream).await, b"", "nothing is put into a frame");
    assert_eq!(begin.elapsed().as_secs(), 2);
    assert_eq!(joined.end().await.cause, Cause::Cut(Closing::RESTART));
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_long_for_an_answer() {
    let mut joined = over_pipes(Setup::default());
    joined.handle.close(Closing::RESTART);
    let begin = tokio::time::Instant::now();
    assert_eq!(read_to_end(&mut joined.client).await, close_frame(1012, "service restart", None));
    assert_eq!(begin.elapsed().as_secs(), 1);
    assert_eq!(joined.end().await.cause, Cause::Closed(Closing::RESTART));
}

#[tokio::test(start_paused = true)]
async fn closing_adds_nothing_after_a_side_closed_by_itself() {
    let mut joined = over_pipes(Setup::default());
    let own = close_frame(1000, "bye", None);
    joined.upstream.write_all(&own).await.expect("writes");
    assert_eq!(read_exactly(&mut joined.client, own.len()).await, own);
    joined.handle.close(Closing::RESTART);
    assert_eq!(read_to_end(&mut joined.client).await, b"");
    assert_eq!(joined.end().await.close_code, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_frames_passes_and_is_ended_without_one() {
    let mut joined = over_pipes(Setup::default());
    let strange = b"GET / HTTP/1.1\r\n\r\n";
    joined.client.write_all(strange).await.expect("writes");
    assert_eq!(read_exactly(&mut joined.upstream, strange.len()).await, strange);
    joined.handle.close(Closing::RESTART);
    assert_eq!(read_to_end(&mut joined.client).await, close_frame(1012, "service restart", None));
    assert_eq!(read_to_end(&mut joined.upstream).await, b"");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_session_closes_its_tunnels() {
    let mut joined = over_pipes(Setup::default());
    joined.session.cancel();
    assert_eq!(read_to_end(&mut joined.client).await, close_frame(4401, "signed out", None));
    assert_eq!(joined.end().await.cause, Cause::Closed(Closing::SIGNED_OUT));
}

#[tokio::test(start_paused = true)]
async fn the_stop_of_a_run_closes_its_tunnels() {
    let mut joined = over_pipes(Setup::default());
    let is_other = |tag: &TunnelTag| tag.instance.as_ref().is_some_and(|run| run.as_str() == "run-2");
    assert_eq!(joined.tunnels.close_where(is_other, Closing::WORKSPACE_STOPPED), 0);
    assert_eq!(joined.tunnels.close_where(|tag| !is_other(tag), Closing::WORKSPACE_STOPPED), 1);
    assert_eq!(read_to_end(&mut joined.client).await, close_frame(1001, "workspace stopped", None));
    soon(joined.tunnels.emptied()).await;
}

#[tokio::test(start_paused = true)]
async fn a_life_that_is_over_is_closed() {
    let hour = Duration::from_secs(3600);
    let mut joined = over_pipes(settings(|settings| settings.lifetime = Some(hour)));
    let begin = tokio::time::Instant::now();
    let expected = close_frame(1012, "connection lifetime is over", None);
    let mut read = Vec::new();
    joined.client.read_to_end(&mut read).await.expect("reads");
    assert_eq!(read, expected);
    assert_eq!(begin.elapsed().as_secs(), 3601);
}

#[tokio::test(start_paused = true)]
async fn pings_come_between_frames_only() {
    let mut joined = over_pipes(settings(|settings| settings.ping_every = Some(Duration::from_secs(10))));
    assert_eq!(read_exactly(&mut joined.client, 2).await, [0x89, 0]);
    let message = frame(0x81, b"a message that takes its time", false);
    let (begun, rest) = message.split_at(9);
    joined.upstream.write_all(begun).await.expect("writes");
    assert_eq!(read_exactly(&mut joined.client, begun.len()).await, begun);
    tokio::time::sleep(Duration::from_secs(25)).await;
    let next = frame(0x81, b"next", false);
    joined.upstream.write_all(&[rest, &next].concat()).await.expect("writes");
    let expected = [rest, &[0x89, 0], &next].concat();
    assert_eq!(read_exactly(&mut joined.client, expected.len()).await, expected);
    drop(joined.client);
}

#[tokio::test]
async fn kill_ends_it_without_a_word() {
    let mut joined = over_tcp(Setup::default()).await;
    joined.handle.kill();
    assert_eq!(read_to_end(&mut joined.client).await, b"");
    assert_eq!(read_to_end(&mut joined.upstream).await, b"");
    assert_eq!(joined.end().await.cause, Cause::Killed);
}

#[tokio::test]
async fn open_tunnels_and_their_bytes_are_counted_while_they_are_open() {
    let mut joined = over_tcp(Setup::default()).await;
    assert_eq!((joined.series.tunnels.get(), joined.tunnels.len()), (1, 1));
    let hello = frame(0x81, b"hello", true);
    joined.client.write_all(&hello).await.expect("writes");
    read_exactly(&mut joined.upstream, hello.len()).await;
    let answer = frame(0x81, b"answer", false);
    joined.upstream.write_all(&answer).await.expect("writes");
    read_exactly(&mut joined.client, answer.len()).await;
    assert_eq!(joined.series.bytes_in.get(), hello.len() as u64);
    let (series, tunnels) = (joined.series.clone(), joined.tunnels.clone());
    joined.end().await;
    assert_eq!(series.bytes_out.get(), answer.len() as u64);
    assert_eq!((series.tunnels.get(), tunnels.len()), (0, 0));
}

#[tokio::test]
async fn the_classifier_sees_what_the_client_sends() {
    let (seen, mut evidence) = tokio::sync::mpsc::unbounded_channel();
    let classifier = Classifier::new(&[ActivityClassifier::Theia], &HttpActivity::default()).tunnel();
    let observer = Classified::new(classifier, move |source| seen.send(source).expect("the test listens"));
    let mut joined = Joined::new(tcp_pair().await, tcp_pair().await, Setup::default(), observer);
    let bytes = [frame(0x81, b"3", true), frame(0x89, b"", true), frame(0x81, br#"42["key","a"]"#, true)].concat();
    joined.client.write_all(&bytes).await.expect("writes");
    joined.upstream.write_all(&frame(0x81, br#"42["output","a"]"#, false)).await.expect("writes");
    read_exactly(&mut joined.upstream, bytes.len()).await;
    joined.end().await;
    assert!(soon(evidence.recv()).await.is_some());
    assert!(soon(evidence.recv()).await.is_none(), "one of four frames shows somebody at work");
}

#[tokio::test]
async fn five_thousand_in_a_row_lose_nothing() {
    let (front, back) = tokio::join!(TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    let (front, back) = (front.expect("binds"), back.expect("binds"));
    let pair = async |listener: &TcpListener| {
        let near = TcpStream::connect(listener.local_addr().expect("bound"));
        let (near, far) = tokio::join!(near, listener.accept());
        (near.expect("connects"), far.expect("accepts").0)
    };
    let (tunnels, series, session) = (Tunnels::new(), series(), CancellationToken::new());
    let (hello, answer) = (frame(0x81, b"hello", true), frame(0x81, b"answer", false));
    for _ in 0..5000 {
        let ((mut client, client_inner), (mut upstream, upstream_inner)) = (pair(&front).await, pair(&back).await);
        // Both speak at once, before anything joins them.
        client.write_all(&hello).await.expect("writes");
        upstream.write_all(&answer).await.expect("writes");
        let side = |stream| Side { stream, early: Bytes::new() };
        let terms = terms(&Setup::default(), &series, &session);
        let tunnel = tunnels.open(side(client_inner), side(upstream_inner), terms, Unobserved);
        let play = async {
            assert_eq!(read_exactly(&mut upstream, hello.len()).await, hello);
            assert_eq!(read_exactly(&mut client, answer.len()).await, answer);
            client.set_zero_linger().expect("TCP");
            drop(client);
        };
        let (end, ()) = soon(async { tokio::join!(tunnel, play) }).await;
        assert_eq!((end.bytes_in, end.bytes_out), (hello.len() as u64, answer.len() as u64));
    }
    assert!(tunnels.is_empty());
    assert_eq!(series.tunnels.get(), 0);
}

/// What a client reads if its tunnel is closed after the upstream has written so many pieces.
async fn read_until_closed(pieces: &[&[u8]], closed_after: usize, pipe: usize) -> Vec<u8> {
    let mut joined = Joined::new(duplex(pipe), duplex(pipe), Setup::default(), Unobserved);
    let write = async {
        for (place, piece) in pieces.iter().enumerate() {
            if place == closed_after {
                joined.handle.close(Closing::RESTART);
            }
            // Once the tunnel has ended, nobody listens.
            let _ = joined.upstream.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        joined.handle.close(Closing::RESTART);
    };
    tokio::join!(write, read_to_end(&mut joined.client)).1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn closing_never_breaks_a_frame(
        lengths in prop::collection::vec(0_usize..400, 1..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        closed_after in any::<prop::sample::Index>(),
        pipe in 1_usize..300,
    ) {
        let frames: Vec<Vec<u8>> = lengths.iter().map(|length| frame(0x82, &vec![0x11; *length], false)).collect();
        let stream = frames.concat();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.expect("builds");
        let read = runtime.block_on(read_until_closed(&pieces, closed_after.index(pieces.len() + 1), pipe));
        let close = close_frame(1012, "service restart", None);
        let passed = read.strip_suffix(&close[..]).expect("ends with the close frame");
        prop_assert!(stream.starts_with(passed));
        let mut boundaries = frames.iter().scan(0, |end, frame| { *end += frame.len(); Some(*end) });
        prop_assert!(passed.is_empty() || boundaries.any(|end| end == passed.len()));
    }
}
