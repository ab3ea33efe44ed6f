//! The thread that computes bcrypt: one computation at a time, whoever asks.
//!
//! A flood of guesses costs one core at most, and neither the network thread nor the gather thread
//! waits for it. At most [`WAITING_MAX`] checks wait; a further one is refused, so guesses cannot
//! take all connections either. One whose client has gone is dropped before its computation.
//!
//! The thread ends when its [`PasswordChecker`] is dropped, and nobody joins it: it holds nothing,
//! and the computation in progress may take seconds.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::oneshot;

use super::users::Candidate;
use crate::telemetry::ServerTelemetry;

pub(crate) const PASSWORD_THREAD: &str = "metrics-auth"; // Linux cuts names at 15 bytes.

/// At cost 10, some half a second of work. More scrapers than that seldom come for the first time
/// at the same moment, and those that do try again.
pub(crate) const WAITING_MAX: usize = 8;

/// Hands passwords to the thread.
pub(crate) struct PasswordChecker(SyncSender<Check>);

struct Check {
    hash: String,
    known: bool,
    password: Vec<u8>,
    answer: oneshot::Sender<bool>,
}

impl PasswordChecker {
    /// Starts the thread; `waiting` checks may wait, 1 to [`WAITING_MAX`].
    pub(crate) fn spawn(waiting: usize, telemetry: Arc<ServerTelemetry>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(waiting.clamp(1, WAITING_MAX));
        let thread = thread::Builder::new().name(PASSWORD_THREAD.into());
        thread.spawn(move || check_all(&receiver, &telemetry))?;
        Ok(Self(sender))
    }

    /// Queues a check. `None`: too many wait.
    pub(crate) fn submit(
        &self,
        candidate: Candidate<'_>,
        password: Vec<u8>,
    ) -> Option<oneshot::Receiver<bool>> {
        let (answer, answered) = oneshot::channel();
        let Candidate { hash, known } = candidate;
        let check = Check { hash: hash.into(), known, password, answer };
        self.0.try_send(check).ok()?;
        Some(answered)
    }
}

fn check_all(checks: &Receiver<Check>, telemetry: &ServerTelemetry) {
    for Check { hash, known, password, answer } in checks {
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
            let answered = checker.submit(candidate, password.into()).expect("room");
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
        let slow = bcrypt::hash("x", 4).expect("a hash").replace("$04$", "$12$");
        let submit = || checker.submit(Candidate { hash: &slow, known: true }, b"x".to_vec());
        let first = submit().expect("room");
        let kept: Vec<_> = std::iter::from_fn(submit).take(100).collect();
        assert!((1..=3).contains(&kept.len()), "{}", kept.len());
        drop(kept);
        assert_eq!(first.blocking_recv(), Ok(false));
        let quick = bcrypt::hash("x", 4).expect("a hash");
        let answered = loop {
            if let Some(answered) =
                checker.submit(Candidate { hash: &quick, known: true }, b"x".to_vec())
            {
                break answered;
            }
        };
        assert_eq!(answered.blocking_recv(), Ok(true));
        // The first, the last, and at most one that had begun before it was abandoned.
        assert!((2..=3).contains(&telemetry.password_checks()));
    }
}
