//! The thread that computes bcrypt, one computation at a time.
//!
//! A flood of guesses costs one core at most, and neither the network thread nor the gather thread waits for it. At most
//! [`WAITING_MAX`] checks wait, and one address has at most half of the places; a further check is refused, so guesses
//! cannot take all connections either. A check whose client has gone is dropped before its computation.
//!
//! The thread ends when its [`PasswordChecker`] is dropped, and is not joined: it holds nothing, and the computation in
//! progress may take seconds.

use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::users::Candidate;
use crate::telemetry::ServerTelemetry;

pub(crate) const PASSWORD_THREAD: &str = "metrics-auth"; // Linux cuts names at 15 bytes.

/// Checks that wait at one time: at cost 10, some half a second of work. More scrapers than that seldom come for the
/// first time at the same moment, and those that do try again.
pub(crate) const WAITING_MAX: usize = 8;

/// Hands passwords to the thread.
pub(crate) struct PasswordChecker {
    queue: SyncSender<Check>,
    places: Arc<Places>,
}

struct Check {
    hash: String,
    known: bool,
    password: Vec<u8>,
    answer: oneshot::Sender<bool>,
    _place: Place,
}

/// The addresses whose checks wait or are computed, one entry a check. An abandoned check keeps its place until the
/// thread comes to it, as it keeps its place in the queue.
struct Places {
    /// Places of one address: half of all, so that a client that guesses leaves room for others; not fewer, since
    /// scrapers may share an address.
    an_address: usize,
    taken: Mutex<Vec<Option<IpAddr>>>,
}

/// One place, given back when dropped.
struct Place {
    places: Arc<Places>,
    peer: Option<IpAddr>,
}

impl Places {
    fn enter(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.iter().filter(|&&other| other == peer).count();
        (of_peer < self.an_address).then(|| {
            taken.push(peer);
            Place { places: Arc::clone(self), peer }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = taken.iter().position(|&other| other == self.peer) {
            taken.swap_remove(index);
        }
    }
}

impl PasswordChecker {
    /// Starts the thread; `waiting` checks may wait, 1 to [`WAITING_MAX`].
    pub(crate) fn spawn(waiting: usize, telemetry: Arc<ServerTelemetry>) -> io::Result<Self> {
        // Compared in constant time; an error is a hash that the configuration would not have taken.
        Self::spawn_with(waiting, telemetry, |password, hash| {
            bcrypt::verify(password, hash).unwrap_or(false)
        })
    }

    /// Starts the thread with another computation, for tests.
    pub(super) fn spawn_with(
        waiting: usize,
        telemetry: Arc<ServerTelemetry>,
        verify: impl Fn(&[u8], &str) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let waiting = waiting.clamp(1, WAITING_MAX);
        let places = Places { an_address: waiting.div_ceil(2), taken: Mutex::default() };
        let (queue, receiver) = sync_channel(waiting);
        let thread = thread::Builder::new().name(PASSWORD_THREAD.into());
        thread.spawn(move || check_all(&receiver, &telemetry, verify))?;
        Ok(Self { queue, places: Arc::new(places) })
    }

    /// Queues a check for a client. `None`: too many wait, in all or of its address.
    pub(crate) fn submit(
        &self,
        candidate: Candidate<'_>,
        password: Vec<u8>,
        peer: Option<IpAddr>,
    ) -> Option<oneshot::Receiver<bool>> {
        let (answer, answered) = oneshot::channel();
        let Candidate { hash, known } = candidate;
        let place = self.places.enter(peer)?;
        let check = Check { hash: hash.into(), known, password, answer, _place: place };
        self.queue.try_send(check).ok()?;
        Some(answered)
    }
}

fn check_all(
    checks: &Receiver<Check>,
    telemetry: &ServerTelemetry,
    verify: impl Fn(&[u8], &str) -> bool,
) {
    for Check { hash, known, password, answer, _place } in checks {
        if answer.is_closed() {
            continue;
        }
        telemetry.password_checked();
        let matches = verify(&password, &hash);
        let _ = answer.send(matches & known); // Its client may have gone.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_hash_matches_no_password_and_costs_a_computation() {
        let telemetry = Arc::new(ServerTelemetry::default());
        let checker = PasswordChecker::spawn(8, Arc::clone(&telemetry)).expect("a thread");
        let hash = bcrypt::hash("right", 4).expect("a hash");
        let ask = |known, password: &str| {
            let candidate = Candidate { hash: &hash, known };
            let answered = checker.submit(candidate, password.into(), None).expect("room");
            answered.blocking_recv().expect("an answer")
        };
        assert!(ask(true, "right"));
        assert!(!ask(true, "wrong"));
        assert!(!ask(false, "right"));
        assert_eq!(telemetry.password_checks(), 3);
    }

    #[test]
    fn checks_beyond_the_bound_are_refused_and_abandoned_ones_cost_nothing() {
        let telemetry = Arc::new(ServerTelemetry::default());
        // Each computation says that it has begun, and goes on when the test says so.
        let (begins, begun) = sync_channel(1);
        let (go_on, goes_on) = sync_channel(1);
        let verify = move |password: &[u8], hash: &str| {
            begins.send(()).expect("the test waits");
            goes_on.recv().expect("the test goes on");
            password == hash.as_bytes()
        };
        let checker = PasswordChecker::spawn_with(2, Arc::clone(&telemetry), verify);
        let checker = checker.expect("a thread");
        let submit = |peer: [u8; 4], password: &[u8]| {
            let candidate = Candidate { hash: "right", known: true };
            checker.submit(candidate, password.to_vec(), Some(peer.into()))
        };
        let first = submit([1; 4], b"wrong").expect("room");
        begun.recv().expect("it begins");
        assert!(submit([1; 4], b"x").is_none(), "an address has half of two places");
        let kept: Vec<_> = (2..100).filter_map(|n| submit([n; 4], b"x")).collect();
        assert_eq!(kept.len(), 2);
        drop(kept);
        assert!((2..100).all(|n| submit([n; 4], b"x").is_none()), "the abandoned ones still wait");
        go_on.send(()).expect("the thread waits");
        assert_eq!(first.blocking_recv(), Ok(false));
        // The abandoned checks are left out one after the other; then there is room again.
        let answered = loop {
            match submit([200; 4], b"right") {
                Some(answered) => break answered,
                None => thread::yield_now(),
            }
        };
        begun.recv().expect("it begins");
        go_on.send(()).expect("the thread waits");
        assert_eq!(answered.blocking_recv(), Ok(true));
        assert_eq!(telemetry.password_checks(), 2, "the first and the last");
    }
}
