//! Servers under attack, side by side: each one in a process of its own, with the same registry, attacked over
//! loopback in the same way.
//!
//! ```text
//! servers    the child: ours and the peers', as their documentation shows them; nothing is tuned
//! under_load   the parent's view of a child: its address, memory, processor time, descriptors
//! client     raw bytes over a socket, answers counted
//! waiting    those who hold connections and are slow: dribbled heads, silence, slow readers
//! crowd      those who come in numbers: out of descriptors, a flood of connections
//! requests   those who send what should be refused: smuggling, huge heads, bodies
//! load       scrapes a second, and how long each takes
//! figures    rows of figures, as Markdown and JSON
//! ```
//!
//! A figure is of one attack on a fresh process, so that no attack profits from the one before. An attack that waits is
//! run on all servers at once, one that takes the processor on one server after the other.

mod client;
mod crowd;
pub mod figures;
pub mod load;
mod requests;
pub mod servers;
mod under_load;
mod waiting;

use figures::Figure;
use std::error::Error;
use std::thread;

/// An error of the attack itself, as a text.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One attack on all servers.
type Attack = fn(&Plan) -> Outcome<Vec<Figure>>;

/// Every attack by its name, in the order in which they are made.
const ATTACKS: [(&str, Attack); 5] = [
    ("heads", waiting::slow_heads),
    ("readers", waiting::slow_readers),
    ("descriptors", crowd::no_descriptors),
    ("flood", crowd::flood),
    ("requests", requests::refused),
];

/// The length of the attacks.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Only see whether everything works: seconds are divided by about four, and figures mean little.
    pub quick: bool,
}

/// Names of all attacks.
pub fn names() -> impl Iterator<Item = &'static str> {
    ATTACKS.iter().map(|(name, _)| *name)
}

/// Makes the attacks with these names, all if there is none, and tells the figures of each as it ends.
///
/// # Errors
/// If a server does not start or does not answer before it is attacked.
pub fn run(chosen: &[String], plan: Plan, mut each: impl FnMut(&str, &[Figure])) -> Outcome<()> {
    for (name, attack) in ATTACKS {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            each(name, &attack(&plan)?);
        }
    }
    Ok(())
}

/// Does the same to every server at the same time.
fn at_once<T: Send>(what: impl Fn(&'static str) -> Outcome<T> + Sync) -> Outcome<Vec<T>> {
    thread::scope(|scope| {
        let threads: Vec<_> =
            servers::SERVERS.iter().map(|&name| (name, scope.spawn(|| what(name)))).collect();
        let joined = threads.into_iter().map(|(name, thread)| match thread.join() {
            Ok(result) => result.map_err(|error| format!("{name}: {error}").into()),
            Err(_) => Err(format!("{name}: the attacker panicked").into()),
        });
        joined.collect()
    })
}

/// Does the same to one server after the other.
fn in_turns<T>(what: impl Fn(&'static str) -> Outcome<T>) -> Outcome<Vec<T>> {
    let results = servers::SERVERS
        .iter()
        .map(|&name| what(name).map_err(|error| format!("{name}: {error}").into()));
    results.collect()
}
