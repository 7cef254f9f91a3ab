//! A gateway as a process of its own.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::{Browser, Operator, Site, eventually, within};

/// `usher run`, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    roots: Arc<rustls::RootCertStore>,
    /// The access log, line by line.
    pub(crate) output: Arc<Mutex<Vec<String>>>,
    /// The log, line by line.
    pub(crate) log: Arc<Mutex<Vec<String>>>,
    readers: JoinSet<()>,
    public: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Process {
    /// Starts one and waits until it serves.
    pub(crate) async fn start(site: &Site) -> Self {
        let mut process = Self::spawn(site, &[]);
        process.serves().await;
        process
    }

    /// Starts one with more arguments and does not wait.
    pub(crate) fn spawn(site: &Site, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_usher"))
            .arg("run")
            .arg(site.config())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut readers = JoinSet::new();
        let output = gather(&mut readers, child.stdout.take().unwrap());
        let log = gather(&mut readers, child.stderr.take().unwrap());
        Self { child, roots: site.roots(), output, log, readers, public: None, admin: None }
    }

    /// Waits until it says that it serves, and learns where.
    pub(crate) async fn serves(&mut self) {
        let line = self.says("serving").await;
        let address = |key: &str| line[key].as_str().unwrap().parse().ok();
        (self.public, self.admin) = (address("public"), address("admin"));
    }

    /// Waits for a line of the log with this message.
    pub(crate) async fn says(&self, message: &str) -> Value {
        eventually(message, async || self.said(message)).await
    }

    /// The last line of the log with this message.
    pub(crate) fn said(&self, message: &str) -> Option<Value> {
        let log = self.log.lock().unwrap();
        let lines = log.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["message"].as_str().is_some_and(|said| said.contains(message)))
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.public.expect("it serves"), self.roots.clone())
    }

    pub(crate) async fn signed_in(&self, user: &str) -> Browser {
        let browser = self.browser();
        browser.sign_in(user).await;
        browser
    }

    pub(crate) fn operator(&self) -> Operator {
        Operator(self.admin.expect("it serves"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("it has not been waited for")).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Whether it has not ended by itself.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has left, and until all that it wrote is read.
    pub(crate) async fn left(&mut self) -> ExitStatus {
        let status = within(self.child.wait()).await.unwrap();
        within(async { while self.readers.join_next().await.is_some() {} }).await;
        status
    }
}

fn gather(readers: &mut JoinSet<()>, from: impl AsyncRead + Unpin + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = lines.clone();
    readers.spawn(async move {
        let mut from = BufReader::new(from).lines();
        while let Ok(Some(line)) = from.next_line().await {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

/// Whether a process is there and not a mere entry that waits for its parent.
pub(crate) fn is_alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
