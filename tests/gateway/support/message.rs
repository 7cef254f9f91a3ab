//! HTTP/1.1 messages read byte by byte, by a reader that forgives nothing: what it cannot read in exactly one way
//! fails the test.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Start line and header lines, as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        assert!(!line.is_empty() && !text.replace("\r\n", "").contains(['\r', '\n']), "one reading: {text:?}");
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a header in {text:?}"));
            assert!(!name.is_empty() && !name.contains([' ', '\t']), "a header name in {text:?}");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self { line, fields: fields.collect() }
    }

    /// Every value of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that stands there once at most; empty if it does not.
    pub(crate) fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} once in {self:?}");
        all.first().copied().unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        let status = self.line.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("a status in {:?}", self.line))
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    /// The target of a request.
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(crate) fn of_request(head: &Head) -> Self {
        match (head.all("content-length").as_slice(), head.all("transfer-encoding").as_slice()) {
            ([], []) => Self::None,
            ([length], []) => Self::Length(length.parse().expect("a length")),
            ([], ["chunked"]) => Self::Chunked,
            both => panic!("framing with one reading, not {both:?}"),
        }
    }

    pub(crate) fn of_answer(head: &Head, method: &str) -> Self {
        let bodiless = method == "HEAD" || matches!(head.status(), 100..=199 | 204 | 304);
        match Self::of_request(head) {
            _ if bodiless => Self::None,
            Self::None => Self::UntilClose,
            framed => framed,
        }
    }
}

/// One end of a connection.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    /// Read and not used yet.
    pub(crate) ahead: Vec<u8>,
    /// Where everything that is read is noted.
    record: Option<Arc<Mutex<Vec<u8>>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), record: None }
    }

    pub(crate) fn recorded(stream: S, record: Arc<Mutex<Vec<u8>>>) -> Self {
        Self { stream, ahead: Vec::new(), record: Some(record) }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Reads more. Returns whether there was any.
    pub(crate) async fn more(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 64 * 1024];
        let read = match self.stream.read(&mut buffer).await {
            // A close without TLS's goodbye is an end too.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        self.ahead.extend_from_slice(&buffer[..read]);
        if let Some(record) = &self.record {
            record.lock().unwrap().extend_from_slice(&buffer[..read]);
        }
        Ok(read > 0)
    }

    /// The next head; `None` if the other side closed before its first byte.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n\r\n") {
                let head = Head::parse(&self.ahead[..end]);
                self.ahead.drain(..end + 4);
                return Ok(Some(head));
            }
            if !self.more().await? {
                return if self.ahead.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    pub(crate) async fn body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::None => Ok(Vec::new()),
            Framing::Length(length) => self.exactly(length).await,
            Framing::Chunked => self.chunks().await,
            Framing::UntilClose => {
                while self.more().await? {}
                Ok(std::mem::take(&mut self.ahead))
            }
        }
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n") {
                let line = self.exactly(end + 2).await?;
                return Ok(line[..end].to_vec());
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = String::from_utf8(self.line().await?).expect("a chunk size");
            let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a bare chunk size, not {size:?}"));
            body.extend(self.exactly(size).await?);
            let after = self.line().await?;
            assert_eq!(String::from_utf8_lossy(&after), "", "nothing after a chunk, no trailers");
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The complete requests that `bytes` hold; what is left over after them is not one.
pub(crate) async fn complete_messages(bytes: &[u8]) -> Vec<(Head, Vec<u8>)> {
    let mut wire = Wire::new(tokio::io::join(bytes, tokio::io::sink()));
    let mut messages = Vec::new();
    while let Ok(Some(head)) = wire.head().await {
        let Ok(body) = wire.body(Framing::of_request(&head)).await else { break };
        messages.push((head, body));
    }
    messages
}
