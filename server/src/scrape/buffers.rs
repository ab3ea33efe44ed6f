//! Buffers for bodies that are sent without a copy.
//!
//! A body is split off its buffer and frozen; once the last response that sends it is written, its
//! memory comes back, because `BytesMut::try_reclaim` finds itself its only owner.

use bytes::{Bytes, BytesMut};

use crate::scrape::memory::try_reserve;
use crate::telemetry::ServerTelemetry;

/// Buffers whose memory goes to the socket and comes back.
///
/// One is enough for one scraper; a second is made when the first body is still being sent, and so
/// on up to [`BUFFERS_MAX`]. Beyond it a buffer is replaced by a fresh one and its memory is freed
/// with its last response. So memory at rest is at most `BUFFERS_MAX` bodies, and under load at
/// most one body a connection.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    slots: Vec<Slot>,
}

// A handful of scrapers that overlap; more overlap than this is no steady state.
const BUFFERS_MAX: usize = 4;

impl BufferPool {
    /// An empty buffer that owns all of its memory; `None` when there is none to have.
    pub(crate) fn lease(&mut self, telemetry: &ServerTelemetry) -> Option<&mut Slot> {
        let free = self.slots.iter_mut().position(Slot::reclaim);
        let index = match free {
            Some(index) => index,
            None => {
                // The last body's size is the best guess for the next one's.
                let capacity = self.slots.last().map_or(0, |slot| slot.capacity);
                let mut buffer = BytesMut::new();
                try_reserve(&mut buffer, capacity).ok()?;
                telemetry.buffer_allocated();
                if self.slots.len() == BUFFERS_MAX {
                    self.slots.remove(0);
                }
                self.slots.push(Slot { buffer, capacity, oversized: 0 });
                self.slots.len() - 1
            }
        };
        self.slots.get_mut(index)
    }
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) buffer: BytesMut,
    /// Bytes of the whole allocation, which `BytesMut` does not tell once a body is split off.
    capacity: usize,
    /// Bodies in a row that needed less than a quarter of it.
    oversized: u32,
}

// One huge exposition (a burst of series, since expired) must not hold its memory for ever; at one
// scrape every 15 s the memory is returned after 4 minutes.
const OVERSIZED_MAX: u32 = 16;
// Below this there is nothing worth returning.
const OVERSIZED_CAPACITY_MIN: usize = 64 * 1024;

impl Slot {
    /// Takes the memory back, unless a body is still being sent from it.
    fn reclaim(&mut self) -> bool {
        self.buffer.try_reclaim(self.capacity)
    }

    pub(crate) fn freeze(&mut self) -> Bytes {
        self.capacity = self.buffer.capacity();
        let body = self.buffer.split().freeze();
        let oversized = self.capacity > OVERSIZED_CAPACITY_MIN && body.len() < self.capacity / 4;
        self.oversized = if oversized { self.oversized + 1 } else { 0 };
        if self.oversized > OVERSIZED_MAX {
            *self = Self { buffer: BytesMut::new(), capacity: 0, oversized: 0 };
        }
        body
    }

    pub(crate) fn discard(&mut self) {
        self.buffer.clear();
        self.capacity = self.buffer.capacity();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_body_is_gone_and_not_before() {
        let telemetry = ServerTelemetry::default();
        let mut pool = BufferPool::default();
        let mut body = |bytes: usize| {
            let slot = pool.lease(&telemetry).expect("memory");
            slot.buffer.resize(bytes, b'x');
            slot.freeze()
        };
        let first = body(1000);
        let address = first.as_ptr();
        let second = body(1000);
        assert_ne!(second.as_ptr(), address, "the first body is still being sent");
        drop(first);
        assert_eq!(body(1000).as_ptr(), address);
        assert_eq!(telemetry.buffers_allocated(), 2);
    }

    #[test]
    fn the_pool_is_bounded_and_returns_memory_after_a_burst() {
        let telemetry = ServerTelemetry::default();
        let mut pool = BufferPool::default();
        let held: Vec<Bytes> = (0..20)
            .map(|_| {
                let slot = pool.lease(&telemetry).expect("memory");
                slot.buffer.resize(1 << 20, b'x');
                slot.freeze()
            })
            .collect();
        assert_eq!(pool.slots.len(), BUFFERS_MAX);
        drop(held);
        for _ in 0..=OVERSIZED_MAX {
            let slot = pool.lease(&telemetry).expect("memory");
            slot.buffer.resize(10, b'x');
            drop(slot.freeze());
        }
        assert_eq!(pool.slots[0].capacity, 0);
    }
}
