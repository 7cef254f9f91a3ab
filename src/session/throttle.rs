//! The brake on guessing passwords: a bounded number of failed sign-ins for each user name from each network, for
//! each user name from everywhere together, and for each network.
//!
//! Names are charged when a sign-in begins and given the charge back unless it fails, so that many at once cannot
//! slip through before the first has failed. One whose end is never told stays charged. What a name is refused for is
//! mostly its own network's doing: from elsewhere it takes many times as many failures to keep somebody out.
//! A network is charged when a sign-in has failed: an office that signs in at nine, all at once, is no guesser. What
//! a guesser at many names gains by that is bounded by how many sign-ins `identity` checks at once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::config;
use crate::model::Timestamp;

/// Most names, networks and pairs of them that are remembered; at about 48 bytes each, 5 MiB.
const MOST: usize = 100_000;

/// How many times as many failures one user name may have from all networks together as from one.
const EVERYWHERE: u32 = 20;
/// Most entries that one sign-in adds.
const NEW_AT_ONCE: usize = 3;

/// The sign-in has to wait this long; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed sign-ins; try again in {} seconds", self.seconds())]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// Whole seconds, rounded up, for the `Retry-After` header.
    #[must_use]
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
    }
}

/// Counts failed sign-ins. Clones share the count.
#[derive(Clone)]
pub struct LoginThrottle(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    keyed: RandomState,
    state: Mutex<State>,
    most: usize,
}

struct State {
    limits: config::LoginThrottle,
    /// For each subject the time at which all its charges are worked off. Each charge adds `window / limit`.
    /// Keyed hashes stand for the subjects: a name may be long, and two that fall together only share a count.
    clear_at: HashMap<u64, Timestamp>,
}

/// What a sign-in is counted for.
struct Subjects {
    /// The user name from its network, and from everywhere.
    names: [Subject; 2],
    /// The network of the client's address.
    network: Subject,
}

/// What is counted.
struct Subject {
    key: u64,
    /// What one charge adds.
    charge: Duration,
}

impl LoginThrottle {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(limits: &config::LoginThrottle, clock: Arc<dyn Clock>) -> Self {
        let state = State { limits: limits.clone(), clear_at: HashMap::new() };
        Self(Arc::new(Inner { clock, keyed: RandomState::new(), state: Mutex::new(state), most: MOST }))
    }

    /// Takes other limits; what was counted stays.
    pub fn apply(&self, limits: &config::LoginThrottle) {
        self.state().limits = limits.clone();
    }

    /// Whether a sign-in may be tried now, and charges its user name. To be followed by [`failed`](Self::failed),
    /// [`succeeded`](Self::succeeded) or [`released`](Self::released).
    ///
    /// # Errors
    /// Returns how long to wait if the user name or the address has failed too often; then nothing is charged.
    pub fn check(&self, user: &str, address: IpAddr) -> Result<(), RetryAfter> {
        let now = self.0.clock.now();
        let mut state = self.state();
        let subjects = self.subjects(&state.limits, user, address);
        let wait = subjects.all().filter_map(|subject| state.wait(subject, now)).max();
        if let Some(wait) = wait {
            return Err(RetryAfter(wait));
        }
        state.make_room(self.0.most, now);
        subjects.names.iter().for_each(|name| state.charge(name, now));
        Ok(())
    }

    /// The sign-in failed: the charge stays, and the network is charged too.
    pub fn failed(&self, user: &str, address: IpAddr) {
        let now = self.0.clock.now();
        let mut state = self.state();
        let subjects = self.subjects(&state.limits, user, address);
        state.make_room(self.0.most, now);
        state.charge(&subjects.network, now);
    }

    /// The sign-in succeeded: its charge is given back. Earlier failures stay counted, so that a guesser gains
    /// nothing from signing in as themselves in between.
    pub fn succeeded(&self, user: &str, address: IpAddr) {
        self.released(user, address);
    }

    /// The sign-in came to nothing for a reason of ours (busy, directory unreachable): its charge is given back.
    pub fn released(&self, user: &str, address: IpAddr) {
        let mut state = self.state();
        for subject in self.subjects(&state.limits, user, address).names {
            if let Some(clear_at) = state.clear_at.get_mut(&subject.key) {
                *clear_at = *clear_at - subject.charge;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subjects(&self, limits: &config::LoginThrottle, user: &str, address: IpAddr) -> Subjects {
        let window = limits.window.0;
        // Directories do not tell `Ann` from `ann `; neither do we, or each spelling would have its own tries.
        let (user, network) = (user.trim().to_lowercase(), network(address));
        let from_here = self.0.keyed.hash_one(("user from", &user, network));
        let everywhere = self.0.keyed.hash_one(("user", &user));
        Subjects {
            names: [
                Subject { key: from_here, charge: charge(window, limits.per_user) },
                Subject { key: everywhere, charge: charge(window, limits.per_user.saturating_mul(EVERYWHERE)) },
            ],
            network: Subject {
                key: self.0.keyed.hash_one(("network", network)),
                charge: charge(window, limits.per_address),
            },
        }
    }
}

impl Subjects {
    fn all(&self) -> impl Iterator<Item = &Subject> {
        self.names.iter().chain(std::iter::once(&self.network))
    }
}

/// What one sign-in adds, in the whole milliseconds that timestamps have.
fn charge(window: Duration, limit: u32) -> Duration {
    (window / limit.max(1)).max(Duration::from_millis(1))
}

impl State {
    /// How long until `subject` may be charged again without owing more than a window.
    fn wait(&self, subject: &Subject, now: Timestamp) -> Option<Duration> {
        let owed = self.clear_at.get(&subject.key)?.since(now) + subject.charge;
        // A clock that was set back, or a window that was shortened, keeps nobody out for longer than a window.
        let over = owed.checked_sub(self.limits.window.0)?.min(self.limits.window.0);
        (!over.is_zero()).then_some(over)
    }

    fn charge(&mut self, subject: &Subject, now: Timestamp) {
        let clear_at = self.clear_at.entry(subject.key).or_insert(now);
        *clear_at = (*clear_at).max(now) + subject.charge;
    }

    /// Forgets who owes nothing, and if that is not enough the quarter that owes least: those who guess stay.
    fn make_room(&mut self, most: usize, now: Timestamp) {
        if self.clear_at.len() + NEW_AT_ONCE <= most {
            return;
        }
        self.clear_at.retain(|_, clear_at| *clear_at > now);
        if self.clear_at.len() + NEW_AT_ONCE <= most {
            return;
        }
        let mut times: Vec<_> = self.clear_at.values().copied().collect();
        let (_, quarter, _) = times.select_nth_unstable(most / 4);
        let quarter = *quarter;
        self.clear_at.retain(|_, clear_at| *clear_at > quarter);
    }
}

/// The network that one person can be expected to hold: an IPv4 address, or the /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl std::fmt::Debug for LoginThrottle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginThrottle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::Span;

    const HERE: &str = "192.0.2.1";

    fn throttle(per_user: u32, per_address: u32) -> (LoginThrottle, Arc<ManualClock>) {
        let clock = ManualClock::at(Timestamp::from_secs(1_700_000_000));
        let limits = config::LoginThrottle { per_user, per_address, window: Span::minutes(10) };
        (LoginThrottle::new(&limits, clock.clone()), clock)
    }

    fn fail(throttle: &LoginThrottle, user: &str, address: &str) -> Result<(), u32> {
        let address = address.parse().expect("an address");
        throttle.check(user, address).map_err(RetryAfter::seconds)?;
        throttle.failed(user, address);
        Ok(())
    }

    #[test]
    fn the_tenth_failure_is_the_last_for_a_minute() {
        let (throttle, clock) = throttle(10, 1000);
        for _ in 0..10 {
            assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
        }
        assert_eq!(fail(&throttle, "ann", HERE), Err(60));
        assert_eq!(fail(&throttle, "bob", HERE), Ok(()), "others are not held up");
        clock.advance(Duration::from_secs(59));
        assert_eq!(fail(&throttle, "ann", HERE), Err(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
        assert_eq!(fail(&throttle, "ann", HERE), Err(60));
        clock.advance(Duration::from_secs(600));
        for _ in 0..10 {
            assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
        }
    }

    #[test]
    fn sign_ins_that_succeed_or_fail_for_our_own_reasons_are_not_counted() {
        let (throttle, _) = throttle(2, 2);
        let address = HERE.parse().expect("an address");
        for _ in 0..20 {
            assert_eq!(throttle.check("ann", address), Ok(()));
            throttle.succeeded("ann", address);
            assert_eq!(throttle.check("ann", address), Ok(()));
            throttle.released("ann", address);
        }
    }

    #[test]
    fn success_in_between_does_not_wipe_out_failures() {
        let (throttle, _) = throttle(2, 1000);
        let address = HERE.parse().expect("an address");
        assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
        assert_eq!(throttle.check("ann", address), Ok(()));
        throttle.succeeded("ann", address);
        assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
        assert!(fail(&throttle, "ann", HERE).is_err());
    }

    #[test]
    fn attempts_under_way_count_before_they_have_failed() {
        let (throttle, _) = throttle(3, 1000);
        let address = HERE.parse().expect("an address");
        let begun = (0..100).filter(|_| throttle.check("ann", address).is_ok()).count();
        assert_eq!(begun, 3);
    }

    #[test]
    fn failures_from_elsewhere_do_not_keep_somebody_out_until_they_are_many_times_as_many() {
        let (throttle, _) = throttle(10, 1000);
        for _ in 0..10 {
            assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
        }
        assert!(fail(&throttle, "ann", HERE).is_err());
        let home = "198.51.100.1".parse().expect("an address");
        assert_eq!(throttle.check("ann", home), Ok(()), "anybody could lock anybody out");
        throttle.succeeded("ann", home);
        let refused = (0..250).filter(|n| fail(&throttle, "ann", &format!("203.0.113.{n}")).is_err()).count();
        assert_eq!(refused, 60, "guesses from many networks are bounded too: 200 in all");
    }

    #[test]
    fn an_office_that_signs_in_all_at_once_is_not_refused() {
        let (throttle, _) = throttle(10, 3);
        let office = HERE.parse().expect("an address");
        let begun = (0..101).filter(|n| throttle.check(&format!("user{n}"), office).is_ok()).count();
        assert_eq!(begun, 101);
        for n in 0..3 {
            throttle.failed(&format!("user{n}"), office);
        }
        assert!(throttle.check("user9", office).is_err(), "failures of a network count");
    }

    #[test]
    fn spellings_of_a_name_share_a_count() {
        let (throttle, _) = throttle(2, 1000);
        assert_eq!(fail(&throttle, "Ann", HERE), Ok(()));
        assert_eq!(fail(&throttle, " ANN ", HERE), Ok(()));
        assert!(fail(&throttle, "ann", HERE).is_err());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_a_mapped_address_as_ipv4() {
        let (throttle, _) = throttle(1000, 2);
        assert_eq!(fail(&throttle, "a", "2001:db8:1:2::1"), Ok(()));
        assert_eq!(fail(&throttle, "b", "2001:db8:1:2:ffff::9"), Ok(()));
        assert!(fail(&throttle, "c", "2001:db8:1:2:3:4:5:6").is_err());
        assert_eq!(fail(&throttle, "c", "2001:db8:1:3::1"), Ok(()));
        assert_eq!(fail(&throttle, "d", HERE), Ok(()));
        assert_eq!(fail(&throttle, "e", "::ffff:192.0.2.1"), Ok(()));
        assert!(fail(&throttle, "f", HERE).is_err());
    }

    #[test]
    fn other_limits_hold_from_the_next_sign_in_on() {
        let (throttle, _) = throttle(2, 1000);
        for _ in 0..2 {
            assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
        }
        assert!(fail(&throttle, "ann", HERE).is_err());
        throttle.apply(&config::LoginThrottle { per_user: 100, per_address: 1000, window: Span::hours(10) });
        assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_those_who_guess_most_are_not_forgotten() {
        let (mut throttle, _) = throttle(10, 100_000);
        Arc::get_mut(&mut throttle.0).expect("the only handle").most = 100;
        for _ in 0..10 {
            assert_eq!(fail(&throttle, "ann", HERE), Ok(()));
        }
        for stranger in 0..1000 {
            assert_eq!(fail(&throttle, &format!("user{stranger}"), HERE), Ok(()));
        }
        assert!(throttle.state().clear_at.len() <= 100);
        assert!(fail(&throttle, "ann", HERE).is_err());
    }
}
