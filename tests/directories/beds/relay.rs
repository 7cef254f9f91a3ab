//! A TCP relay in front of a directory, with faults that are switched while it runs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::samba::Namespace;
use crate::support::{eventually, within};

/// What is wrong on the way to the directory. It holds for open connections as well as for new ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Every connection is closed.
    Down,
    /// Connections are taken, and nothing passes in either direction.
    Hung,
    /// So many whole answers pass on each connection, and then nothing more. For plain LDAP only.
    HungAfterAnswers(usize),
    /// So many whole answers pass on each connection, then half of one, and then the connection is closed.
    CutWithinAnswer(usize),
    /// So many bytes pass from the server, and then nothing more.
    HungAfterBytes(usize),
}

/// Where a relay leads.
#[derive(Clone)]
pub(crate) enum Target {
    /// To this address.
    Address(SocketAddr),
    /// To a port in another network namespace.
    Within(Arc<Namespace>, u16),
}

impl Target {
    async fn connect(&self) -> std::io::Result<TcpStream> {
        match self {
            Self::Address(address) => TcpStream::connect(address).await,
            Self::Within(namespace, port) => namespace.connect(*port).await,
        }
    }
}

/// What clients have said.
type Heard = Arc<Mutex<Vec<u8>>>;

/// A running relay; it ends when it is dropped.
pub(crate) struct Relay {
    pub(crate) port: u16,
    fault: watch::Sender<Fault>,
    target: watch::Sender<Target>,
    open: watch::Receiver<usize>,
    most: Arc<AtomicUsize>,
    heard: Heard,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn start(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fault, (target, targets), (count, open)) =
            (watch::Sender::new(Fault::None), watch::channel(target), watch::channel(0));
        let mut tasks = JoinSet::new();
        let (faults, most) = (fault.clone(), Arc::new(AtomicUsize::new(0)));
        let (highest, heard) = (most.clone(), Heard::default());
        let hears = heard.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (fault, target, count) = (faults.subscribe(), targets.borrow().clone(), count.clone());
                let (highest, heard) = (highest.clone(), hears.clone());
                connections.spawn(async move {
                    count.send_modify(|open| *open += 1);
                    highest.fetch_max(*count.borrow(), Ordering::Relaxed);
                    serve(client, &target, fault, &heard).await;
                    count.send_modify(|open| *open -= 1);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, fault, target, open, most, heard, _tasks: tasks }
    }

    /// From now on this is wrong.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// New connections lead there.
    pub(crate) fn lead_to(&self, target: Target) {
        self.target.send_replace(target);
    }

    /// Waits until so many connections pass through it.
    pub(crate) async fn has_open(&self, count: usize) {
        let mut open = self.open.clone();
        within(open.wait_for(|open| *open == count)).await.unwrap();
    }

    /// All that clients have said so far, whether or not it was passed on.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }

    /// The most connections that have passed through it at once, from now on.
    pub(crate) fn watch_most(&self) -> Arc<AtomicUsize> {
        self.most.store(self.open(), Ordering::Relaxed);
        self.most.clone()
    }

    /// How many connections pass through it.
    pub(crate) fn open(&self) -> usize {
        *self.open.borrow()
    }
}

async fn serve(client: TcpStream, target: &Target, mut fault: watch::Receiver<Fault>, heard: &Heard) {
    let down = async |fault: &mut watch::Receiver<Fault>| {
        let _ = fault.wait_for(|fault| *fault == Fault::Down).await;
    };
    let mut watched = fault.clone();
    tokio::select! {
        biased;
        () = down(&mut fault) => {}
        () = pass(client, target, &mut watched, heard) => {}
    }
}

async fn pass(client: TcpStream, target: &Target, fault: &mut watch::Receiver<Fault>, heard: &Heard) {
    let Ok(server) = target.connect().await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut asked = fault.clone();
    tokio::select! {
        () = questions(from_client, to_server, &mut asked, heard) => {}
        () = answers(from_server, to_client, fault) => {}
    }
}

async fn questions(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    fault: &mut watch::Receiver<Fault>,
    heard: &Heard,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = client.read(&mut buffer).await else { return };
        heard.lock().unwrap().extend_from_slice(&buffer[..read]);
        let _ = fault.wait_for(|fault| *fault != Fault::Hung).await;
        if server.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Passes what the server says as far as the fault of the moment lets it. What a fault holds back comes when it is gone.
async fn answers(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, fault: &mut watch::Receiver<Fault>) {
    let (mut held, mut passed) = (Vec::new(), Passed::default());
    loop {
        let now = *fault.borrow_and_update();
        match allowance(now, &held, passed) {
            Allowance::Pass(0) => {}
            Allowance::Pass(bytes) => {
                passed.count(&held[..bytes]);
                if client.write_all(&held[..bytes]).await.is_err() {
                    return;
                }
                held.drain(..bytes);
                continue;
            }
            Allowance::Cut(bytes) => {
                let _ = client.write_all(&held[..bytes]).await;
                return;
            }
        }
        let mut buffer = vec![0; 16 * 1024];
        tokio::select! {
            changed = fault.changed() => {
                if changed.is_err() {
                    return;
                }
                passed = Passed::default();
            }
            read = server.read(&mut buffer) => match read {
                Ok(read @ 1..) => held.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
    }
}

/// What has passed from the server since the fault came.
#[derive(Debug, Clone, Copy, Default)]
struct Passed {
    bytes: usize,
    answers: usize,
}

impl Passed {
    fn count(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        let mut at = 0;
        while let Some(whole) = message(&bytes[at..]) {
            at += whole;
            self.answers += 1;
        }
    }
}

/// What may be done with what is held.
#[derive(Debug, PartialEq)]
enum Allowance {
    Pass(usize),
    Cut(usize),
}

fn allowance(fault: Fault, held: &[u8], passed: Passed) -> Allowance {
    let answer = || message(held);
    match fault {
        Fault::None => Allowance::Pass(held.len()),
        Fault::Down => Allowance::Cut(0),
        Fault::HungAfterBytes(most) => Allowance::Pass(held.len().min(most.saturating_sub(passed.bytes))),
        Fault::HungAfterAnswers(most) | Fault::CutWithinAnswer(most) if passed.answers < most => {
            Allowance::Pass(answer().unwrap_or(0))
        }
        Fault::Hung | Fault::HungAfterAnswers(_) => Allowance::Pass(0),
        Fault::CutWithinAnswer(_) => answer().map_or(Allowance::Pass(0), |whole| Allowance::Cut(whole / 2)),
    }
}

/// The length of the LDAP message that the bytes begin with, if it is there to its end.
fn message(bytes: &[u8]) -> Option<usize> {
    let (head, body) = match *bytes.get(1)? {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let digits = bytes.get(2..2 + usize::from(long & 0x7f))?;
            (2 + digits.len(), digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)))
        }
    };
    (bytes.len() >= head + body).then_some(head + body)
}

#[tokio::test]
async fn a_relay_fails_as_it_is_told_and_passes_what_it_held_afterwards() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::start(Target::Address(server.local_addr().unwrap())).await;
    let mut client = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
    let (mut served, _) = within(server.accept()).await.unwrap();
    let answer = [0x30, 2, 1, 2];
    relay.set(Fault::HungAfterAnswers(1));
    served.write_all(&[answer, answer].concat()).await.unwrap();
    let mut first = [0; 4];
    within(client.read_exact(&mut first)).await.unwrap();
    assert_eq!(first, answer);
    let more = async || client.try_read(&mut [0; 1]).is_err().then_some(());
    eventually("the second is held", more).await;
    relay.set(Fault::None);
    within(client.read_exact(&mut first)).await.unwrap();
    relay.set(Fault::CutWithinAnswer(0));
    served.write_all(&answer).await.unwrap();
    let mut rest = Vec::new();
    within(client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, [0x30, 2]);
    relay.has_open(0).await;
}
