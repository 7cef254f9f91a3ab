//! The moment at which a pooled connection is closed, to the instruction: the runtime stands still meanwhile.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use http::Method;
use http_body_util::BodyExt;

use super::super::Connector;
use super::*;
use crate::metrics::Metrics;
use crate::model::InstanceId;

/// Answers one request on each connection, says that it keeps it, and closes it when told to. Tells what was asked.
struct Closing {
    peer: Peer,
    close: mpsc::Sender<()>,
    closed: mpsc::Receiver<()>,
    asked: mpsc::Receiver<String>,
}

impl Closing {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let instance = InstanceId::new("run-1").unwrap();
        let peer = Peer::Workspace { instance, address: listener.local_addr().unwrap(), tls: false };
        let (close, told) = mpsc::channel();
        let (tell, closed) = mpsc::channel();
        let (note, asked) = mpsc::channel();
        // Ends with the test, whose ends of the channels are dropped then.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                note.send(line.trim_end().to_owned()).unwrap();
                while line != "\r\n" {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                }
                let answer = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nfine";
                reader.get_mut().write_all(answer).unwrap();
                if told.recv().is_err() {
                    return;
                }
                drop(reader);
                tell.send(()).unwrap();
            }
        });
        Self { peer, close, closed, asked }
    }

    /// Closes the connection that was answered last; nothing of the gateway runs until that is done.
    fn close(&self) {
        self.close.send(()).unwrap();
        self.closed.recv().unwrap();
    }
}

fn limits() -> Limits {
    let second = Duration::from_secs(10);
    Limits {
        connect_timeout: second,
        head_timeout: second,
        write_stall_timeout: second,
        idle_timeout: second,
        max_idle: 4,
    }
}

fn ask(method: &Method) -> Request<RequestToUpstream> {
    let builder = Request::builder().method(method).uri("/").header("host", "localhost");
    builder.body(RequestToUpstream::Empty).unwrap()
}

#[tokio::test]
async fn a_request_to_a_connection_that_was_closed_goes_over_a_new_one_whatever_its_method() {
    let metrics = Metrics::new(prometheus::Registry::new(), 4);
    let upstreams = Upstreams::new(limits(), Connector::default(), &metrics);
    let upstream = Closing::start();
    let pool = upstreams.pool(&upstream.peer);
    let exchange = Exchange::new(&upstreams, &upstream.peer, &pool);
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for method in &methods {
        let (answer, lease) = exchange.send(ask(method)).await.unwrap_or_else(|error| panic!("{method}: {error}"));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "fine", "{method}");
        lease.give_back();
        upstream.close();
    }
    let asked: Vec<String> = upstream.asked.try_iter().collect();
    assert_eq!(asked, methods.map(|method| format!("{method} / HTTP/1.1")), "each once");
    assert_eq!(upstreams.events.opened.get(), 5);
    assert_eq!(upstreams.events.replayed.get(), 4);
}
