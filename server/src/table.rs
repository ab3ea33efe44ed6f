//! The table of all open connections: who gets a slot, and who gives way.
//!
//! The table never holds more than [`Limits::connections`]. At the cap, the connection that has
//! waited longest for its client makes room, so a flood of idle or silent clients keeps nobody out.
//!
//! It lives on the network thread, hence `Rc` and `Cell`: no order of memory to reason about.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Connection, Order};
use crate::limits::Limits;
use crate::reason::Limit;
use crate::telemetry::ServerTelemetry;

/// All open connections, at most [`Limits::connections`].
#[derive(Debug)]
pub(crate) struct ConnectionTable {
    open: RefCell<HashMap<u64, Rc<Connection>>>,
    next_id: Cell<u64>,
    limits: Limits,
    telemetry: Arc<ServerTelemetry>,
    /// Random keys, which make the lifetimes differ from server to server.
    jitter: RandomState,
}

impl ConnectionTable {
    pub(crate) fn new(limits: Limits, telemetry: Arc<ServerTelemetry>) -> Rc<Self> {
        let (open, next_id, jitter) = Default::default();
        Rc::new(Self { open, next_id, limits, telemetry, jitter })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn telemetry(&self) -> &ServerTelemetry {
        &self.telemetry
    }

    /// A slot for a new connection. At the cap somebody gives way; if nobody can, there is none.
    pub(crate) fn admit(self: &Rc<Self>) -> Option<Admission> {
        let is_full = self.open.borrow().len() >= self.limits.connections;
        if is_full && !self.one_gives_way() {
            self.telemetry.limit_hit(Limit::Connections);
            return None;
        }
        Some(self.enter())
    }

    /// A slot in place of somebody who gives way, full or not; none if nobody can.
    pub(crate) fn replace_one(self: &Rc<Self>) -> Option<Admission> {
        self.one_gives_way().then(|| self.enter())
    }

    /// Whether the one that has waited longest for its client was asked to go, if there is one.
    pub(crate) fn one_gives_way(&self) -> bool {
        let now = Instant::now();
        let mut open = self.open.borrow_mut();
        let victim = open
            .iter()
            .filter_map(|(&id, other)| other.readiness_to_give_way(now).map(|rank| (rank, id)))
            .min()
            .and_then(|(_, id)| open.remove(&id));
        let Some(victim) = victim else { return false };
        self.telemetry.limit_hit(Limit::GaveWay);
        self.telemetry.connection_closed();
        victim.obey(Order::GiveWay);
        true
    }

    fn enter(self: &Rc<Self>) -> Admission {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let connection = Rc::new(Connection::new(Instant::now(), self.lifetime(id)));
        self.open.borrow_mut().insert(id, Rc::clone(&connection));
        self.telemetry.connection_opened();
        Admission { connection, table: Rc::clone(self), id }
    }

    /// The lifetime within its jitter, so that connections that began together do not end together.
    fn lifetime(&self, id: u64) -> Duration {
        let lifetime = self.limits.connection_lifetime;
        let jitter = lifetime / Limits::LIFETIME_JITTER;
        let share = f64::from(self.jitter.hash_one(id) as u32) / f64::from(u32::MAX);
        lifetime - jitter + (2 * jitter).mul_f64(share)
    }

    /// Asks every connection to end with the request in progress.
    pub(crate) fn finish_all(&self) {
        for connection in self.open.borrow().values() {
            connection.obey(Order::Finish);
        }
    }
}

/// A connection's slot in the table, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) connection: Rc<Connection>,
    pub(crate) table: Rc<ConnectionTable>,
    id: u64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        // One that gave way has left the table already.
        if self.table.open.borrow_mut().remove(&self.id).is_some() {
            self.table.telemetry.connection_closed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_differ_within_a_tenth() {
        let table = ConnectionTable::new(Limits::default(), Arc::default());
        let lifetimes: Vec<Duration> = (0..1000).map(|id| table.lifetime(id)).collect();
        let (least, most) = (lifetimes.iter().min(), lifetimes.iter().max());
        let (least, most) = (least.expect("many").as_secs(), most.expect("many").as_secs());
        assert!((270..=280).contains(&least) && (320..=330).contains(&most), "{least} {most}");
    }
}
