//! Whether a workspace's server answers: an accepted TCP connection, or an HTTP status from 200 to 399.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Bytes of an answer that are read to find its status: a status line is shorter.
const ENOUGH: usize = 64;
/// Shortest time between two questions, whatever is configured.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// What is asked, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) port: u16,
    /// Path of the HTTP request; without one a connection is enough.
    pub(super) http_path: Option<String>,
    pub(super) timeout: Duration,
    /// Between two questions while it is not ready.
    pub(super) interval: Duration,
    /// How long it may take to be ready.
    pub(super) patience: Duration,
}

impl Probe {
    /// Where it asks.
    pub(super) const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// Asks once.
    ///
    /// # Errors
    /// Returns why the server does not count as ready.
    pub(super) async fn ask(&self) -> Result<(), String> {
        match timeout(self.timeout, self.ask_patiently()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    /// Asks until the answer is yes; keeps the last other answer in `last`.
    pub(super) async fn until_ready(&self, last: &mut String) {
        let mut ticks = interval(self.interval.max(SHORTEST_INTERVAL));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.ask().await {
                Ok(()) => return,
                Err(why) => *last = why,
            }
        }
    }

    async fn ask_patiently(&self) -> Result<(), String> {
        let mut stream = TcpStream::connect(self.address()).await.map_err(|error| error.to_string())?;
        match &self.http_path {
            None => Ok(()),
            Some(path) => match self.status(&mut stream, path).await {
                Ok(Some(200..=399)) => Ok(()),
                Ok(Some(status)) => Err(format!("status {status}")),
                Ok(None) => Err("an answer that is not HTTP".to_owned()),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    async fn status(&self, stream: &mut TcpStream, path: &str) -> io::Result<Option<u16>> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: usher-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.address()
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::with_capacity(ENOUGH);
        let mut start = stream.take(ENOUGH as u64);
        while parse_status(&answer).is_none() && start.read_buf(&mut answer).await? > 0 {}
        Ok(parse_status(&answer))
    }
}

/// The status of an HTTP/1 answer, once its digits are there.
fn parse_status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.")?;
    let digits = line.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_soon_as_it_is_there() {
        assert_eq!(parse_status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(parse_status(b"HTTP/1.0 404"), Some(404));
        for not_yet in [&b""[..], b"HTTP/1.1 20", b"HTTP/2 200 ", b"SSH-2.0-OpenSSH", b"HTTP/1.1 abc"] {
            assert_eq!(parse_status(not_yet), None);
        }
    }

    fn of_port(port: u16) -> Probe {
        let patience = Duration::from_secs(5);
        Probe { port, http_path: None, timeout: patience, interval: patience, patience }
    }

    async fn answered(with: &'static [u8], http_path: Option<&str>) -> Result<(), String> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let port = listener.local_addr().expect("has an address").port();
        let probe = Probe { http_path: http_path.map(str::to_owned), ..of_port(port) };
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            stream.write_all(with).await.expect("writes");
            stream
        };
        tokio::join!(probe.ask(), server).0
    }

    #[tokio::test]
    async fn only_a_status_below_400_counts_as_ready() {
        assert_eq!(answered(b"HTTP/1.1 204 No Content\r\n\r\n", Some("/")).await, Ok(()));
        assert_eq!(answered(b"HTTP/1.1 302 Found\r\n\r\n", Some("/")).await, Ok(()));
        assert_eq!(answered(b"HTTP/1.1 503 Starting\r\n\r\n", Some("/")).await, Err("status 503".to_owned()));
        assert_eq!(answered(b"", None).await, Ok(()));
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_not_ready() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let port = listener.local_addr().expect("has an address").port();
        drop(listener);
        let probe = of_port(port);
        assert!(probe.ask().await.is_err());
    }
}
