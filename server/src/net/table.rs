//! The table of all open connections, with their caps.
//!
//! The table never holds more than [`Limits::connections`], and of one address no more than
//! [`Limits::connections_an_address`]. At a cap one connection is evicted for the new one: **of the address that holds
//! most**, the connection that has waited longest for its client. So a flood of idle or silent clients keeps no client
//! out, and costs those of other addresses nothing, unless it comes from as many addresses.
//!
//! It lives on the network thread, hence `Rc` and `Cell`: no order of memory to reason about.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;
use crate::net::connection::{Connection, Order};
use crate::reason::Limit;
use crate::telemetry::ServerTelemetry;

/// The holder of a connection: the client's address; of IPv6 the network of 64 bits, since one client has all of it. All
/// clients of a Unix socket are one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder(Option<IpAddr>);

impl Holder {
    fn of(peer: Option<IpAddr>) -> Self {
        Self(peer.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }))
    }
}

#[derive(Debug)]
struct Open {
    connection: Rc<Connection>,
    holder: Holder,
}

/// All open connections, at most [`Limits::connections`].
#[derive(Debug)]
pub(crate) struct ConnectionTable {
    open: RefCell<HashMap<u64, Open>>,
    /// The number of connections of each holder that has any.
    held: RefCell<HashMap<Holder, usize>>,
    next_id: Cell<u64>,
    limits: Limits,
    telemetry: Arc<ServerTelemetry>,
    /// Random keys, which make the lifetimes differ from server to server.
    jitter: RandomState,
}

impl ConnectionTable {
    pub(crate) fn new(limits: Limits, telemetry: Arc<ServerTelemetry>) -> Rc<Self> {
        let (open, held, next_id, jitter) = Default::default();
        Rc::new(Self { open, held, next_id, limits, telemetry, jitter })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn telemetry(&self) -> &ServerTelemetry {
        &self.telemetry
    }

    /// A slot for a new connection. At a cap another connection is evicted; `None` if none can be.
    pub(crate) fn admit(self: &Rc<Self>, peer: Option<IpAddr>) -> Option<Admission> {
        let holder = Holder::of(peer);
        if self.held_by(holder) >= self.limits.connections_an_address {
            self.telemetry.limit_hit(Limit::AddressConnections);
            if !self.evict(|open| open.holder == holder) {
                return None;
            }
        }
        let is_full = self.open.borrow().len() >= self.limits.connections;
        if is_full && !self.evict_one() {
            self.telemetry.limit_hit(Limit::Connections);
            return None;
        }
        Some(self.enter(holder))
    }

    /// A slot in place of a connection that is evicted, full or not; `None` if none can be.
    pub(crate) fn replace_one(self: &Rc<Self>, peer: Option<IpAddr>) -> Option<Admission> {
        self.evict_one().then(|| self.enter(Holder::of(peer)))
    }

    /// Evicts a connection; false if none can be evicted.
    pub(crate) fn evict_one(&self) -> bool {
        self.evict(|_| true)
    }

    /// Evicts one of the connections that `may_be` admits: of the address that holds most, the one that has waited
    /// longest for its client.
    fn evict(&self, may_be: impl Fn(&Open) -> bool) -> bool {
        let now = Instant::now();
        let candidates = self.open.borrow();
        let victim = candidates
            .iter()
            .filter(|(_, open)| may_be(open))
            .filter_map(|(&id, open)| {
                let readiness = open.connection.eviction_rank(now)?;
                Some((Reverse(self.held_by(open.holder)), readiness, id))
            })
            .min();
        drop(candidates);
        let Some(victim) = victim.and_then(|(.., id)| self.leave(id)) else { return false };
        self.telemetry.limit_hit(Limit::Evicted);
        victim.obey(Order::Evict);
        true
    }

    fn held_by(&self, holder: Holder) -> usize {
        self.held.borrow().get(&holder).copied().unwrap_or(0)
    }

    fn enter(self: &Rc<Self>, holder: Holder) -> Admission {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let connection = Rc::new(Connection::new(Instant::now(), self.lifetime(id)));
        let open = Open { connection: Rc::clone(&connection), holder };
        self.open.borrow_mut().insert(id, open);
        *self.held.borrow_mut().entry(holder).or_insert(0) += 1;
        self.telemetry.connection_opened();
        Admission { connection, table: Rc::clone(self), id }
    }

    /// Takes a connection out; `None` if it has left already.
    fn leave(&self, id: u64) -> Option<Rc<Connection>> {
        let Open { connection, holder } = self.open.borrow_mut().remove(&id)?;
        let mut held = self.held.borrow_mut();
        if let Some(count) = held.get_mut(&holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(&holder);
            }
        }
        self.telemetry.connection_closed();
        Some(connection)
    }

    /// The lifetime within its jitter, so that connections that began together do not end together.
    fn lifetime(&self, id: u64) -> Duration {
        let lifetime = self.limits.connection_lifetime;
        let jitter = lifetime / self.limits.lifetime_jitter.max(1);
        let share = f64::from(self.jitter.hash_one(id) as u32) / f64::from(u32::MAX);
        lifetime - jitter + (2 * jitter).mul_f64(share)
    }

    /// Asks every connection to end with the request in progress.
    pub(crate) fn finish_all(&self) {
        for open in self.open.borrow().values() {
            open.connection.obey(Order::Finish);
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
        // An evicted connection has left the table already.
        drop(self.table.leave(self.id));
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

    fn table(connections: usize, an_address: usize) -> Rc<ConnectionTable> {
        let mut limits = Limits::default();
        (limits.connections, limits.connections_an_address) = (connections, an_address);
        ConnectionTable::new(limits, Arc::default())
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    fn is_evicted(admission: &Admission) -> bool {
        admission.connection.order() == Order::Evict
    }

    #[test]
    fn a_connection_of_the_address_that_holds_most_is_evicted_though_others_are_idle() {
        let table = table(4, 4);
        let idle = table.admit(address(1)).expect("room");
        idle.connection.head_complete();
        idle.connection.response_ready();
        idle.connection.all_written();
        let silent: Vec<_> = (0..3).map(|_| table.admit(address(2)).expect("room")).collect();
        let other = table.admit(address(3)).expect("one is evicted");
        assert!(is_evicted(&silent[0]) && !is_evicted(&idle));
        let again = table.admit(address(2)).expect("one is evicted");
        assert!(is_evicted(&silent[1]) && !is_evicted(&idle));
        drop((other, again));
    }

    #[test]
    fn an_address_at_its_cap_loses_one_of_its_own_connections() {
        let table = table(10, 2);
        let first = table.admit(address(1)).expect("room");
        let second = table.admit(address(1)).expect("room");
        let third = table.admit(address(1)).expect("the first is evicted");
        assert!(is_evicted(&first) && !is_evicted(&second));
        second.connection.head_complete();
        third.connection.head_complete();
        assert!(table.admit(address(1)).is_none(), "both are being answered");
        assert!(table.admit(address(2)).is_some(), "others have room");
        assert_eq!(table.telemetry.limit_hits(Limit::AddressConnections), 2);
        drop((first, second, third));
        assert!(table.held.borrow().is_empty() && table.open.borrow().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_mapped_ones_are_ipv4() {
        let holder = |text: &str| Holder::of(Some(text.parse().expect("an address")));
        assert_eq!(holder("2001:db8:1:2::3"), holder("2001:db8:1:2:ffff::4"));
        assert_ne!(holder("2001:db8:1:2::3"), holder("2001:db8:1:3::3"));
        assert_eq!(holder("::ffff:10.0.0.1"), holder("10.0.0.1"));
        assert_ne!(Holder::of(None), holder("::"));
    }
}
