//! Signals, and the hand-over of sockets between two real processes: this test binary, started again.

use std::io::BufRead;
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use usher::config::{Shutdown, Span};
use usher::edge::{Drain, Limits, Listener, Server, ServerSettings, Transport, install_crypto_provider};
use usher::metrics::Metrics;

use crate::support::{Scripted, patient, rest, within};

/// What the other process runs. It is told its address, hand-over socket and whether to take over on standard input.
#[test]
#[ignore = "is the other process of the tests below"]
fn server_in_a_process_of_its_own() {
    install_crypto_provider();
    let mut orders = std::io::stdin().lock().lines().map(|line| line.unwrap());
    let mut order = || orders.next().unwrap();
    let (address, handover, take_over) = (order(), order(), order() == "take over");
    let settings = ServerSettings { handover: Some(handover.into()), take_over, signals: true };
    let drain = Drain::new(&Shutdown { drain_delay: Span::secs(0), deadline: Span::secs(20), ..Shutdown::default() });
    let mut server = Server::new(settings, drain, Metrics::new(prometheus::Registry::new(), 1)).unwrap();
    // Kept here, because the server lets go of it when it stops accepting, and its tunnels end with it.
    let service = Arc::new(Scripted::default());
    let listener = Listener {
        name: "public",
        address,
        threads: 1,
        transport: Transport::Plain,
        proxies: Vec::new(),
        stays: false,
        limits: Limits::new(&patient()),
        service: service.clone(),
    };
    println!("\nlistening {}", server.listen(listener).unwrap());
    server.run();
    drop(service);
    println!("\nleft");
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    async fn start(address: &str, handover: &str, take_over: bool) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::server_in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let word = if take_over { "take over" } else { "bind" };
        let orders = format!("{address}\n{handover}\n{word}\n");
        child.stdin.take().unwrap().write_all(orders.as_bytes()).await.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a line that begins with `word` and returns what follows.
    async fn says(&mut self, word: &str) -> String {
        within(async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the process lives");
                if let Some(rest) = line.strip_prefix(word) {
                    return rest.trim().to_owned();
                }
            }
        })
        .await
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn left(mut self) {
        self.says("left").await;
        assert!(within(self.child.wait()).await.unwrap().success());
    }
}

async fn ask(address: &str, head: &str) -> TcpStream {
    let mut stream = within(TcpStream::connect(address)).await.unwrap();
    stream.write_all(format!("{head}\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Opens a tunnel and sees it echo.
async fn tunnel(address: &str) -> TcpStream {
    let mut stream = ask(address, "GET /tunnel HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket").await;
    stream.write_all(b"hello").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0);
    }
    stream
}

#[tokio::test]
async fn term_waits_for_what_is_under_way_and_a_second_one_does_not() {
    let mut process = Process::start("127.0.0.1:0", "/nowhere/handover", false).await;
    let address = process.says("listening").await;
    let mut under_way = ask(&address, "GET /slow HTTP/1.1").await;
    let mut begun = [0; 12];
    within(under_way.read_exact(&mut begun)).await.unwrap();
    let mut tunnel = tunnel(&address).await;
    process.signal(Signal::TERM);
    assert!(rest(&mut under_way).await.contains(" end"), "the answer is finished");
    process.signal(Signal::TERM);
    assert_eq!(rest(&mut tunnel).await, "");
    process.left().await;
}

#[tokio::test]
async fn int_does_not_wait_for_tunnels() {
    let mut process = Process::start("127.0.0.1:0", "/nowhere/handover", false).await;
    let address = process.says("listening").await;
    let mut tunnel = tunnel(&address).await;
    process.signal(Signal::INT);
    assert_eq!(rest(&mut tunnel).await, "");
    process.left().await;
}

#[tokio::test]
async fn quit_hands_the_sockets_to_a_new_process_and_no_client_notices() {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let folder = tempfile::Builder::new().permissions(mode).tempdir().unwrap();
    let path = folder.path().join("handover").display().to_string();
    let mut old = Process::start("127.0.0.1:0", &path, false).await;
    let address = old.says("listening").await;
    let mut tunnel = tunnel(&address).await;

    let mut new = Process::start(&address, &path, true).await;
    old.signal(Signal::QUIT);
    let switched = async {
        assert_eq!(new.says("listening").await, address);
        new
    };
    tokio::pin!(switched);
    let mut served = 0;
    let new = loop {
        tokio::select! {
            biased;
            new = &mut switched => break new,
            () = async {
                let mut stream = ask(&address, "GET /who HTTP/1.1\r\nconnection: close").await;
                assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 OK"), "after {served}");
            } => served += 1,
        }
    };
    for _ in 0..100 {
        let mut stream = ask(&address, "GET /who HTTP/1.1\r\nconnection: close").await;
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    }
    tunnel.write_all(b"still").await.unwrap();
    let mut echo = [0; 5];
    within(tunnel.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"still", "the old process keeps its tunnel");
    drop(tunnel);
    old.left().await;
    new.signal(Signal::TERM);
    new.left().await;
}
