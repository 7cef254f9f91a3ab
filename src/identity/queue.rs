//! Turns at a directory: a few sign-ins at once, the others in line, and every tenant in a lane of its own.
//!
//! On Monday at nine a company of a thousand signs in at once; somebody from a company of three is then the next but
//! one, not the thousand-and-first. The lanes take turns. The line is bounded, and who finds it full is turned away
//! at once, unless a longer lane can give way. [`Queue`] is pure; [`Turns`] is the thin shell that waits.
//!
//! Whose lane is somebody's before they have signed in? [`Lanes`] remembers the tenants of those who did before. All
//! names that it does not know share one lane, so that made-up names take turns with each other only.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::SignInError;
use crate::model::TenantId;

/// Most sign-ins that wait for one directory. At 20 ms each, 16 at a time do 800 in a second.
const MOST_WAITING: usize = 4000;
/// How long a sign-in waits for its turn; then the page says that it is busy.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Names in each of the two halves of the memory: with both full, 10 MB at the very most.
const MOST_NAMES: usize = 16_384;

/// Whose turn it is among those who wait; `None` is the lane of names that are not known.
type Lane = Option<TenantId>;

/// Who waits, in lanes that take turns.
#[derive(Debug)]
struct Queue<L, T> {
    /// The lane at the front is next. None of them is empty.
    lanes: VecDeque<(L, VecDeque<T>)>,
    waiting: usize,
    most: usize,
}

impl<L: PartialEq, T> Queue<L, T> {
    const fn new(most: usize) -> Self {
        Self { lanes: VecDeque::new(), waiting: 0, most }
    }

    /// Puts somebody at the end of their lane. If there is no room, the last of the longest lane is turned away and
    /// returned: that may be the newcomer.
    fn push(&mut self, lane: L, newcomer: T) -> Option<T> {
        match self.lanes.iter_mut().find(|(known, _)| *known == lane) {
            Some((_, waiting)) => waiting.push_back(newcomer),
            None => self.lanes.push_back((lane, VecDeque::from([newcomer]))),
        }
        self.waiting += 1;
        if self.waiting > self.most { self.turn_away() } else { None }
    }

    fn turn_away(&mut self) -> Option<T> {
        // Of several longest, the last: newcomers come last.
        let (at, _) = self.lanes.iter().enumerate().max_by_key(|(_, (_, waiting))| waiting.len())?;
        let turned_away = self.lanes.get_mut(at)?.1.pop_back();
        self.waiting -= 1;
        self.lanes.retain(|(_, waiting)| !waiting.is_empty());
        turned_away
    }

    /// The next: the first of the lane at the front, which then goes to the back.
    fn pop(&mut self) -> Option<T> {
        let (lane, mut waiting) = self.lanes.pop_front()?;
        let next = waiting.pop_front();
        self.waiting -= 1;
        if !waiting.is_empty() {
            self.lanes.push_back((lane, waiting));
        }
        next
    }

    /// Takes those out who have left.
    fn forget(&mut self, gone: impl Fn(&T) -> bool) {
        for (_, waiting) in &mut self.lanes {
            waiting.retain(|who| !gone(who));
        }
        self.lanes.retain(|(_, waiting)| !waiting.is_empty());
        self.waiting = self.lanes.iter().map(|(_, waiting)| waiting.len()).sum();
    }
}

/// Turns at one directory. Clones share them.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    queue: Queue<Lane, oneshot::Sender<Turn>>,
}

/// The right to ask the directory; the next in line has it when this is dropped.
pub(super) struct Turn(Option<Turns>);

impl Turns {
    /// Turns for `at_once` at a time.
    pub(super) fn new(at_once: usize) -> Self {
        Self::with_room(at_once, MOST_WAITING)
    }

    fn with_room(at_once: usize, most_waiting: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: at_once, queue: Queue::new(most_waiting) })))
    }

    /// Waits at most [`LONGEST_WAIT`] for a turn.
    ///
    /// # Errors
    /// Returns [`SignInError::Busy`] if the line is too long.
    pub(super) async fn take(&self, lane: Lane) -> Result<Turn, SignInError> {
        let mut place = match self.turn_or_place(lane) {
            Ok(turn) => return Ok(turn),
            Err(place) => Place { place, turns: self },
        };
        let turn = tokio::time::timeout(LONGEST_WAIT, &mut place.place).await;
        // An error on the channel: turned away for the sake of a shorter lane.
        turn.map_err(|_| SignInError::Busy)?.map_err(|_| SignInError::Busy)
    }

    fn turn_or_place(&self, lane: Lane) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            return Ok(Turn(Some(self.clone())));
        }
        let (sender, place) = oneshot::channel();
        // Whoever is turned away hears of it by their sender's end.
        drop(state.queue.push(lane, sender));
        Err(place)
    }

    /// Hands a turn that is over to the next who is still there.
    fn pass_on(&self) {
        loop {
            let mut state = self.state();
            let Some(next) = state.queue.pop() else {
                state.free += 1;
                return;
            };
            drop(state);
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // Has left; this turn must not be handed on a second time.
                Err(mut turn) => turn.0 = None,
            }
        }
    }

    /// What is done under the lock does not panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

/// A place in the line; given up when dropped.
struct Place<'a> {
    place: oneshot::Receiver<Turn>,
    turns: &'a Turns,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.place.close();
        self.turns.state().queue.forget(oneshot::Sender::is_closed);
        // A turn that was handed over and not taken goes on to the next.
        drop(self.place.try_recv());
    }
}

/// The tenants of names that signed in before. Bounded: when one half is full, the older half is forgotten.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<String, TenantId>,
    old: HashMap<String, TenantId>,
}

impl Lanes {
    /// Somebody's lane.
    pub(super) fn of(&self, user: &str) -> Lane {
        let user = folded(user);
        let halves = self.halves();
        halves.young.get(&user).or_else(|| halves.old.get(&user)).cloned()
    }

    /// Remembers somebody who is proven to belong to a tenant.
    pub(super) fn learn(&self, user: &str, tenant: &TenantId) {
        let user = folded(user);
        let mut halves = self.halves();
        if halves.young.get(&user) == Some(tenant) {
            return;
        }
        if halves.young.len() >= MOST_NAMES {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(user, tenant.clone());
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn folded(user: &str) -> String {
    user.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Turns {
        /// How many turns are free, and how many wait.
        fn standing(&self) -> (usize, usize) {
            let state = self.state();
            (state.free, state.queue.waiting)
        }
    }

    fn tenant(name: &str) -> Lane {
        TenantId::new(name).ok()
    }

    #[test]
    fn a_crowd_does_not_stand_before_the_few() {
        let mut queue = Queue::new(100);
        for number in 0..50 {
            queue.push("crowd", number);
        }
        queue.push("few", 100);
        queue.push("few", 101);
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).take(6).collect();
        assert_eq!(order, [0, 100, 1, 101, 2, 3]);
    }

    #[test]
    fn a_full_line_turns_away_the_last_of_the_longest_lane() {
        let mut queue = Queue::new(3);
        assert_eq!(queue.push("crowd", 1), None);
        assert_eq!(queue.push("crowd", 2), None);
        assert_eq!(queue.push("crowd", 3), None);
        assert_eq!(queue.push("crowd", 4), Some(4), "the newcomer");
        assert_eq!(queue.push("few", 5), Some(3), "who makes room");
        assert_eq!(queue.push("third", 6), Some(2));
        assert_eq!(queue.push("fourth", 7), Some(7), "all lanes are as short as can be");
    }

    proptest! {
        /// Whoever is at place `p` of their lane is served within `(p + 1)` rounds of all lanes that there are.
        #[test]
        fn no_lane_starves(
            steps in proptest::collection::vec((0..6_u8, proptest::bool::weighted(0.6)), 1..400),
            most in 1..50_usize,
        ) {
            const LANES: usize = 6;
            let mut queue: Queue<u8, usize> = Queue::new(most);
            // For each who waits: how many turns may still pass before theirs, at most.
            let mut waiting: HashMap<usize, usize> = HashMap::new();
            for (number, (lane, comes)) in steps.into_iter().enumerate() {
                if comes {
                    let before = queue.lanes.iter().find(|(known, _)| *known == lane).map_or(0, |(_, line)| line.len());
                    let turned_away = queue.push(lane, number);
                    waiting.insert(number, (before + 1) * LANES);
                    if let Some(turned_away) = turned_away {
                        prop_assert!(waiting.remove(&turned_away).is_some());
                    }
                } else if let Some(served) = queue.pop() {
                    prop_assert!(waiting.remove(&served).is_some());
                    for left in waiting.values_mut() {
                        prop_assert!(*left > 1, "somebody waits for ever");
                        *left -= 1;
                    }
                }
                prop_assert_eq!(queue.waiting, waiting.len());
                prop_assert!(queue.waiting <= most);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_that_we_are_busy_and_leaves_no_place_behind() {
        let turns = Turns::new(1);
        let _taken = turns.take(None).await.unwrap();
        assert_eq!(turns.take(None).await.err(), Some(SignInError::Busy));
        assert_eq!(turns.standing(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_goes_to_the_next_who_is_still_there() {
        let turns = Turns::new(1);
        let taken = turns.take(None).await.unwrap();
        let mut left = Box::pin(turns.take(tenant("acme")));
        let mut stays = Box::pin(turns.take(tenant("acme")));
        assert!(futures_util::poll!(&mut left).is_pending() && futures_util::poll!(&mut stays).is_pending());
        drop(left);
        drop(taken);
        let turn = stays.await.unwrap();
        assert_eq!(turns.standing(), (0, 0));
        drop(turn);
        assert_eq!(turns.standing(), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_was_handed_over_and_not_taken_is_not_lost() {
        let turns = Turns::new(1);
        let taken = turns.take(None).await.unwrap();
        let mut handed = Box::pin(turns.take(None));
        assert!(futures_util::poll!(&mut handed).is_pending());
        drop(taken);
        drop(handed);
        assert_eq!(turns.standing(), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_line_turns_a_newcomer_away_at_once() {
        let turns = Turns::with_room(1, 1);
        let _taken = turns.take(None).await.unwrap();
        let mut first = Box::pin(turns.take(tenant("acme")));
        assert!(futures_util::poll!(&mut first).is_pending());
        let before = tokio::time::Instant::now();
        assert_eq!(turns.take(tenant("acme")).await.err(), Some(SignInError::Busy));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[test]
    fn the_memory_of_lanes_knows_names_as_people_type_them_and_is_bounded() {
        let lanes = Lanes::default();
        let acme = TenantId::new("acme").unwrap();
        lanes.learn("Ada", &acme);
        assert_eq!((lanes.of(" ada "), lanes.of("bob")), (Some(acme.clone()), None));
        for number in 0..3 * MOST_NAMES {
            lanes.learn(&number.to_string(), &acme);
        }
        assert_eq!(lanes.of("ada"), None);
        let halves = lanes.halves();
        assert!(halves.young.len() <= MOST_NAMES && halves.old.len() <= MOST_NAMES);
    }
}
