//! Everything that belongs to a run: its process group, and what has left the group (terminals open sessions of
//! their own) but still carries the run's mark in its environment.
//!
//! A group's id is its leader's process id and is not given to another process while anything of the group is left;
//! after that it may be a stranger's. So a group is believed to be ours only while its leader is the process that was
//! started, or, once the leader is gone, while something in it carries the mark.

use std::fs;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::{Instant, sleep};

/// First pause between two looks at a group that is being ended; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause between two looks: a look may read all of /proc.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How long to wait for the kernel after KILL; longer only if a process hangs in a system call.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Name of the environment variable that every process of a run inherits.
pub(super) const MARK_NAME: &str = "USHER_RUN";

/// The processes of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    leader: Option<Leader>,
    mark: String,
}

/// The process that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leader {
    pid: Pid,
    start_ticks: u64,
}

/// What a look at all processes found of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// The group, if it is ours.
    group: Option<Pid>,
    /// What is ours and not in the group.
    strays: Vec<Pid>,
    /// Whether anything of it is alive; a zombie, which only waits for its parent, is not.
    alive: bool,
}

impl Group {
    /// The group of the process that got this id at `start_ticks`, and everything with this mark.
    pub(super) fn of_leader(pid: u32, start_ticks: u64, mark: &str) -> Self {
        Self { leader: pid_of(pid).map(|pid| Leader { pid, start_ticks }), mark: mark.to_owned() }
    }

    /// Ends all of it: TERM, `grace`, KILL. Returns whether nothing of it is left.
    pub(super) async fn end(&self, grace: Duration) -> bool {
        // What is stopped (Ctrl-Z) cannot obey before it goes on.
        self.signal(&[Signal::TERM, Signal::CONT]).await;
        self.gone_within(grace).await || self.kill().await
    }

    /// Ends what is left of it the hard way. Returns whether it is gone some seconds later.
    pub(super) async fn kill(&self) -> bool {
        self.signal(&[Signal::KILL]).await;
        self.gone_within(AFTER_KILL).await
    }

    /// Whether anything of it is alive. Reads all of /proc on a blocking thread unless the leader is.
    pub(super) async fn is_alive(&self) -> bool {
        let group = self.clone();
        // A look that breaks off has not seen it gone.
        tokio::task::spawn_blocking(move || group.leader_is_alive() || group.find().alive).await.unwrap_or(true)
    }

    async fn gone_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        while self.is_alive().await {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        true
    }

    /// Signals each process once: to many servers a second TERM says to leave without finishing.
    async fn signal(&self, signals: &'static [Signal]) {
        let group = self.clone();
        let signalled = tokio::task::spawn_blocking(move || {
            let found = group.find();
            signals.iter().for_each(|signal| found.signal(*signal));
        });
        if signalled.await.is_err() {
            tracing::error!(leader = ?self.leader, "signalling a run broke off");
        }
    }

    fn leader_is_alive(&self) -> bool {
        self.leader.is_some_and(|leader| leader.stat().is_some_and(Stat::is_living))
    }

    /// Looks at every process. Blocks for some microseconds for each.
    fn find(&self) -> Found {
        let own: Vec<_> = processes().filter_map(|pid| self.member(pid)).collect();
        let is_ours = |leader: &Leader| match stat(leader.number()) {
            Some(stat) => stat.start_ticks == leader.start_ticks,
            None => own.iter().any(|member| member.in_group && member.marked),
        };
        let group = self.leader.filter(is_ours).map(|leader| leader.pid);
        let in_group = |member: &&Member| group.is_some() && member.in_group;
        Found {
            group,
            strays: own.iter().filter(|member| member.marked && !in_group(member)).map(|member| member.pid).collect(),
            alive: own.iter().any(|member| member.living && (member.marked || in_group(&member))),
        }
    }

    /// A process that has the group's id or the mark.
    fn member(&self, pid: u32) -> Option<Member> {
        let stat = stat(pid)?;
        let in_group = self.leader.is_some_and(|leader| stat.group == leader.pid.as_raw_nonzero().get());
        let marked = carries(pid, &self.mark);
        (in_group || marked).then_some(Member { pid: pid_of(pid)?, in_group, marked, living: stat.is_living() })
    }
}

struct Member {
    pid: Pid,
    in_group: bool,
    marked: bool,
    living: bool,
}

impl Leader {
    const fn number(self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What the process is doing that was started; `None` if it is gone, whoever has its id now.
    fn stat(self) -> Option<Stat> {
        stat(self.number()).filter(|stat| stat.start_ticks == self.start_ticks)
    }
}

impl Found {
    fn signal(&self, signal: Signal) {
        let group = self.group.map(|group| kill_process_group(group, signal));
        let strays = self.strays.iter().map(|pid| kill_process(*pid, signal));
        for error in group.into_iter().chain(strays).filter_map(Result::err).filter(|error| *error != Errno::SRCH) {
            tracing::error!(group = ?self.group, ?signal, %error, "cannot signal a process of a run");
        }
    }
}

fn pid_of(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// The ids of all processes.
fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether a process of our own user was started with this mark in its environment; a zombie has none any more.
fn carries(pid: u32, mark: &str) -> bool {
    let entry = format!("{MARK_NAME}={mark}").into_bytes();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == entry)
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) group: i32,
    /// Clock ticks from boot to its start: with the id this names one process until the next boot.
    pub(super) start_ticks: u64,
}

impl Stat {
    pub(super) const fn is_living(self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Looks at one process; `None` if there is none with this id.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields after the name, which stands in parentheses and may hold anything, parentheses too.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(16)?.parse().ok()?;
    Some(Stat { state, group, start_ticks })
}

/// Names this boot of this machine; ticks and process ids mean nothing in another.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_blanks() {
        let text = "42 (a) S 1) Z 1 40 40 0 -1 4194304 0 0 0 0 1 2 3 4 20 0 1 0 98765 0 0";
        assert_eq!(parse_stat(text), Some(Stat { state: 'Z', group: 40, start_ticks: 98765 }));
        assert_eq!(parse_stat("42 (a) S 1 40"), None);
    }

    /// A process group of its own that sleeps, with the mark that it was given.
    struct Sleeper(std::process::Child);

    impl Sleeper {
        fn start(mark: &str) -> Self {
            use std::os::unix::process::CommandExt;
            let mut command = std::process::Command::new("sleep");
            Self(command.arg("600").env(MARK_NAME, mark).process_group(0).spawn().expect("sleep is there"))
        }

        fn ticks(&self) -> u64 {
            stat(self.0.id()).expect("is there").start_ticks
        }

        fn lives(&mut self) -> bool {
            self.0.try_wait().expect("can be asked").is_none()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[tokio::test]
    async fn a_group_is_ended_and_known_to_be_gone_before_its_leader_is_reaped() {
        let mut sleeper = Sleeper::start("ours-1");
        let group = Group::of_leader(sleeper.0.id(), sleeper.ticks(), "ours-1");
        assert!(group.is_alive().await);
        assert!(group.end(Duration::from_secs(20)).await);
        assert!(!sleeper.lives());
        assert!(!group.is_alive().await);
    }

    #[tokio::test]
    async fn a_group_whose_id_a_stranger_has_by_now_is_not_signalled() {
        let mut stranger = Sleeper::start("theirs");
        let reused = Group::of_leader(stranger.0.id(), stranger.ticks() + 1, "ours-2");
        assert!(!reused.is_alive().await);
        assert!(reused.end(Duration::ZERO).await);
        assert!(stranger.lives());
    }

    #[tokio::test]
    async fn a_group_without_its_leader_is_ours_only_while_something_in_it_carries_the_mark() {
        use std::os::unix::process::CommandExt;
        let mut first = Sleeper::start("ours-3");
        let (pid, ticks) = (first.0.id(), first.ticks());
        let mut second = std::process::Command::new("sleep");
        second.arg("600").env(MARK_NAME, "theirs").process_group(i32::try_from(pid).expect("fits"));
        let mut second = Sleeper(second.spawn().expect("sleep is there"));
        first.0.kill().expect("is ours");
        first.0.wait().expect("is ours");
        assert!(Group::of_leader(pid, ticks, "ours-3").end(Duration::ZERO).await, "nothing of it is left");
        assert!(second.lives());
        let marked = Group::of_leader(pid, ticks, "theirs");
        assert_eq!(marked.find().group, pid_of(pid));
        assert!(marked.end(Duration::from_secs(20)).await);
        assert!(!second.lives());
    }

    #[test]
    fn this_process_can_be_seen() {
        let own = stat(std::process::id()).expect("is there");
        assert!(own.start_ticks > 0);
        assert!(stat(u32::MAX).is_none());
        assert!(!boot_id().is_empty());
    }
}
