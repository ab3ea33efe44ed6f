//! The thread that computes bcrypt: one computation at a time, whoever asks.
//!
//! A flood of guesses costs one core at most, and neither the network thread nor the gather thread
//! waits for it. At most [`WAITING_MAX`] checks wait; a further one is refused, so guesses cannot
//! take all connections either, and one address has at most half of the places. One whose client has gone is dropped before its computation.
//!
//! The thread ends when its [`PasswordChecker`] is dropped, and nobody joins it: it holds nothing,
//! and the computation in progress may take seconds.

use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::users::Candidate;
use crate::telemetry::ServerTelemetry;

pub(crate) const PASSWORD_THREAD: &str = "metrics-auth"; // Linux cuts names at 15 bytes.

/// At cost 10, some half a second of work. More scrapers than that seldom come for the first time
/// at the same moment, and those that do try again.
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

/// The addresses whose checks wait or are computed, one entry a check. A check that was abandoned
/// keeps its place until the thread comes to it, as it keeps its place in the queue.
struct Places {
    /// Half of what may wait, so that who guesses leaves room for others; not fewer, since scrapers
    /// may share an address.
    an_address: usize,
    taken: Mutex<Vec<Option<IpAddr>>>,
}

/// Given back when dropped.
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
        let waiting = waiting.clamp(1, WAITING_MAX);
        let places = Places { an_address: waiting.div_ceil(2), taken: Mutex::default() };
        let (queue, receiver) = sync_channel(waiting);
        let thread = thread::Builder::new().name(PASSWORD_THREAD.into());
        thread.spawn(move || check_all(&receiver, &telemetry))?;
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

fn check_all(checks: &Receiver<Check>, telemetry: &ServerTelemetry) {
    for Check { hash, known, password, answer, _place } in checks {
        if answer.is_closed() {
            continue;
        }
        telemetry.password_checked();
        // Compared in constant time; an error is a hash that the configuration would not have taken.
        let matches = bcrypt::verify(password, &hash).unwrap_or(false);
        let _ = answer.send(matches & known); // Its client may have gone.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_never_lets_in_and_costs_a_computation() {
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
        let checker = PasswordChecker::spawn(2, Arc::clone(&telemetry)).expect("a thread");
        let slow = bcrypt::hash("x", 4).expect("a hash").replace("$04$", "$13$");
        let submit = |peer: [u8; 4]| {
            let candidate = Candidate { hash: &slow, known: true };
            checker.submit(candidate, b"x".to_vec(), Some(peer.into()))
        };
        let first = submit([1; 4]).expect("room");
        while telemetry.password_checks() == 0 {
            thread::yield_now(); // Until its computation has begun, which takes some half a second.
        }
        assert!(submit([1; 4]).is_none(), "an address has half of two places");
        let kept: Vec<_> = (2..100).filter_map(|n| submit([n; 4])).collect();
        assert_eq!(kept.len(), 2);
        drop(kept);
        assert!((2..100).all(|n| submit([n; 4]).is_none()), "the abandoned ones are still there");
        assert_eq!(first.blocking_recv(), Ok(false));
        let quick = bcrypt::hash("x", 4).expect("a hash");
        let answered = loop {
            if let Some(answered) =
                checker.submit(Candidate { hash: &quick, known: true }, b"x".to_vec(), None)
            {
                break answered;
            }
        };
        assert_eq!(answered.blocking_recv(), Ok(true));
        assert_eq!(telemetry.password_checks(), 2, "the first and the last");
    }
}
