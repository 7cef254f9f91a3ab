//! An upstream that notes every byte and answers whatever its script says.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::message::{Framing, Head, Wire, complete_messages};

/// One request as the upstream got it.
pub(crate) struct Heard {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Requests that came before it, on whatever connection.
    pub(crate) before: usize,
}

/// What the upstream does about a request.
pub(crate) enum Say {
    /// Sends these bytes and goes on.
    Answer(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Sends these bytes and waits for the other side to close.
    Hold(Vec<u8>),
}

impl Say {
    pub(crate) fn answer(bytes: impl AsRef<[u8]>) -> Self {
        Self::Answer(bytes.as_ref().to_vec())
    }

    /// 200 with this text.
    pub(crate) fn ok(text: &str) -> Self {
        Self::answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
    }
}

/// Bytes of one connection.
type Record = Arc<Mutex<Vec<u8>>>;

/// What an upstream got.
#[derive(Default)]
pub(crate) struct Log {
    connections: Mutex<Vec<Record>>,
    closed: Mutex<usize>,
    heard: Mutex<usize>,
}

/// A server on a port of its own. Dropped, it is gone with its connections.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// Reads requests and does to each what `script` says.
    pub(crate) async fn scripted(script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let script = Arc::new(script);
        Self::custom(move |stream, log| {
            let script = script.clone();
            async move { converse(stream, &log, &*script).await }
        })
        .await
    }

    /// Answers every request with these bytes.
    pub(crate) async fn answering(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        Self::scripted(move |_| Say::Answer(bytes.clone())).await
    }

    /// Does what `serve` does with every connection. Only what is read through [`Log::wire`] is noted.
    pub(crate) async fn custom<F>(serve: impl Fn(TcpStream, Arc<Log>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let mut tasks = JoinSet::new();
        let noted = log.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (served, log) = (serve(stream, noted.clone()), noted.clone());
                connections.spawn(async move {
                    served.await;
                    *log.closed.lock().unwrap() += 1;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, log, _tasks: tasks }
    }

    /// Its address as configured.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Complete requests of all connections, in the order of the connections.
    pub(crate) async fn requests(&self) -> Vec<(Head, Vec<u8>)> {
        let records: Vec<Record> = self.log.connections.lock().unwrap().clone();
        let mut requests = Vec::new();
        for record in records {
            let bytes = record.lock().unwrap().clone();
            requests.extend(complete_messages(&bytes).await);
        }
        requests
    }

    /// The one request that came.
    pub(crate) async fn only_request(&self) -> (Head, Vec<u8>) {
        let mut requests = self.requests().await;
        assert_eq!(requests.len(), 1, "one request, not {requests:?}");
        requests.remove(0)
    }

    /// Forgets what was read so far.
    pub(crate) fn forget(&self) {
        for record in &*self.log.connections.lock().unwrap() {
            record.lock().unwrap().clear();
        }
    }

    /// Connections that were opened.
    pub(crate) fn connections(&self) -> usize {
        self.log.connections.lock().unwrap().len()
    }

    /// Connections that are over.
    pub(crate) fn closed(&self) -> usize {
        *self.log.closed.lock().unwrap()
    }

    /// All bytes that came, as text.
    pub(crate) fn bytes(&self) -> String {
        let records = self.log.connections.lock().unwrap();
        records.iter().map(|record| String::from_utf8_lossy(&record.lock().unwrap()).into_owned()).collect()
    }
}

impl Log {
    /// A connection whose bytes are noted.
    pub(crate) fn wire(&self, stream: TcpStream) -> Wire<TcpStream> {
        let record = Record::default();
        self.connections.lock().unwrap().push(record.clone());
        Wire::recorded(stream, record)
    }
}

async fn converse(stream: TcpStream, log: &Log, script: &(impl Fn(&Heard) -> Say + Sync)) {
    let mut wire = log.wire(stream);
    while let Ok(Some(head)) = wire.head().await {
        let Ok(body) = wire.body(Framing::of_request(&head)).await else { break };
        let before = {
            let mut heard = log.heard.lock().unwrap();
            *heard += 1;
            *heard - 1
        };
        let (bytes, goes_on) = match script(&Heard { head, body, before }) {
            Say::Answer(bytes) => (bytes, true),
            Say::Last(bytes) => {
                let _ = wire.send(bytes).await;
                return;
            }
            Say::Hold(bytes) => (bytes, false),
        };
        if wire.send(bytes).await.is_err() {
            break;
        }
        if !goes_on {
            break;
        }
    }
    // To the other side's close, so that a reset of ours does not hide what it does.
    while wire.more().await.unwrap_or(false) {}
}
