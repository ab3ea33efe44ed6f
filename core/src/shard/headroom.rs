//! The part of a process's limits that shards may take, so that something is left for the rest of the program.
//!
//! A thread without a shard records into the shared fallback, slower and never wrong. An allocation that fails because shards
//! took the last of a limit ends a program. So before a shard is made two questions are asked of each limit that is set:
//!
//! 1. Would all shards together stay within [a quarter](SHARE) of the limit?
//! 2. Would [a quarter](HEADROOM) of the limit stay free, whoever took the rest?
//!
//! The second one is asked again before shards grow, which happens when more cells are registered. Nothing here allocates:
//! it runs in a thread's first recording. A limit whose use cannot be read now, as when no descriptor is free, counts as used up. Whether `vm.overcommit_memory` is 2 is asked once. Limits of other systems than Linux are read, and how much of them is used is not known
//! there.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicU8, Ordering};

/// The part of a limit that all shards together may take: one in four.
pub(super) const SHARE: u64 = 4;
/// The part of a limit that stays free: one in four.
pub(super) const HEADROOM: u64 = 4;

/// The part of a limited address space that one block takes: one in 1,024, so that 256 threads have shards within the
/// [`SHARE`].
#[cfg_attr(any(loom, miri), allow(dead_code, reason = "models have a constant capacity"))]
pub(super) const BLOCKS_PER_ADDRESS_SPACE: u64 = 1024;

/// A limit and how much of it is taken, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    limit: u64,
    used: u64,
}

impl Room {
    fn leaves_headroom(self, need: u64) -> bool {
        self.used.saturating_add(need) <= self.limit - self.limit / HEADROOM
    }

    fn is_within_share(self, ours: u64) -> bool {
        ours <= self.limit / SHARE
    }
}

/// The limits that are set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// `RLIMIT_AS` (`ulimit -v`).
    address_space: Option<Room>,
    /// `RLIMIT_DATA` (`ulimit -d`): what may be written.
    data: Option<Room>,
    /// The machine's commit limit, where `vm.overcommit_memory` is 2: what may be written, of all processes.
    charge: Option<Room>,
}

impl Limits {
    /// The limits as they are now. Cost: two system calls, and some more where a limit is set.
    pub(super) fn read() -> Self {
        let (address_space, data) = rlimits();
        let mut limits = Self { charge: machine(), ..Self::default() };
        if address_space.is_some() || data.is_some() {
            let used = match with_file("/proc/self/statm", used) {
                Found::Text(used) => used.unwrap_or_default(),
                Found::Nothing => (0, 0),
                Found::Unreadable => (u64::MAX, u64::MAX),
            };
            limits.address_space = address_space.map(|limit| Room { limit, used: used.0 });
            limits.data = data.map(|limit| Room { limit, used: used.1 });
        }
        limits
    }

    /// Returns whether there may be `shards` shards, of blocks that take `block` bytes of address space and `writable` bytes
    /// that can be written; one of them is new.
    pub(super) fn admit(&self, shards: u64, block: u64, writable: u64) -> bool {
        let address_space = self.address_space.map(|room| (room, block));
        let data = self.data.map(|room| (room, writable));
        let charge = self.charge.map(|room| (room, writable));
        [address_space, data, charge].into_iter().flatten().all(|(room, need)| {
            room.is_within_share(shards.saturating_mul(need)) && room.leaves_headroom(need)
        })
    }

    /// Returns whether `writable` bytes more may become writable in shards that there are.
    pub(super) fn admit_growth(&self, writable: u64) -> bool {
        [self.data, self.charge].into_iter().flatten().all(|room| room.leaves_headroom(writable))
    }
}

/// `RLIMIT_AS` and `RLIMIT_DATA` in bytes, if they are set.
#[cfg(all(unix, not(miri)))]
fn rlimits() -> (Option<u64>, Option<u64>) {
    use rustix::process::{Resource, getrlimit};
    // OpenBSD has no limit of the address space.
    #[cfg(target_os = "openbsd")]
    let address_space = None;
    #[cfg(not(target_os = "openbsd"))]
    let address_space = getrlimit(Resource::As).current;
    (address_space, getrlimit(Resource::Data).current)
}

#[cfg(any(not(unix), miri))]
fn rlimits() -> (Option<u64>, Option<u64>) {
    (None, None)
}

/// Bytes of address space that a process may have, if that is limited.
#[cfg_attr(any(loom, miri), allow(dead_code, reason = "models have a constant capacity"))]
pub(super) fn address_space() -> Option<u64> {
    rlimits().0
}

/// The commit limit of a machine that refuses to promise more than it has.
fn machine() -> Option<Room> {
    if !is_strict() {
        return None;
    }
    match with_file("/proc/meminfo", charge) {
        Found::Text(room) => room,
        Found::Nothing => None,
        Found::Unreadable => Some(Room { limit: 0, used: 0 }),
    }
}

/// Returns whether the machine refuses to promise more memory than it has. The first call, that of the first registration,
/// reads it: a thread's first recording need not open a file for it.
pub(super) fn is_strict() -> bool {
    /// 0 until it is found out, 1 for no, 2 for yes. std's and not the seam's: it orders nothing.
    static STRICT: AtomicU8 = AtomicU8::new(0);
    match STRICT.load(Ordering::Relaxed) {
        0 => {
            let mode = with_file("/proc/sys/vm/overcommit_memory", |text| text.starts_with('2'));
            let strict = match mode {
                Found::Text(strict) => strict,
                Found::Nothing => false,
                // Asked again the next time.
                Found::Unreadable => return true,
            };
            STRICT.store(1 + u8::from(strict), Ordering::Relaxed);
            strict
        }
        found => found == 2,
    }
}

/// Address space and writable memory of a process in bytes, from its `statm`: numbers of pages.
fn used(statm: &str) -> Option<(u64, u64)> {
    let mut pages = statm.split_ascii_whitespace().map(str::parse::<u64>);
    let size = pages.next()?.ok()?;
    let data = pages.nth(4)?.ok()?;
    let page = page_bytes();
    Some((size.saturating_mul(page), data.saturating_mul(page)))
}

#[cfg(all(unix, not(miri)))]
fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(any(not(unix), miri))]
fn page_bytes() -> u64 {
    4096
}

/// Limit and use of the machine's promises, from its `meminfo`.
fn charge(meminfo: &str) -> Option<Room> {
    let bytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
        Some(kib.saturating_mul(1024))
    };
    Some(Room { limit: bytes("CommitLimit:")?, used: bytes("Committed_AS:")? })
}

/// The result of an attempt to read a file of `/proc`.
#[derive(Debug, PartialEq, Eq)]
enum Found<T> {
    Text(T),
    /// There is no such file, as on other systems than Linux.
    Nothing,
    /// The file cannot be read now, for example because no descriptor is free. Memory is then taken for used up.
    Unreadable,
}

/// Calls `read` with the beginning of a file.
fn with_file<T>(path: &str, read: impl FnOnce(&str) -> T) -> Found<T> {
    match beginning(path, read) {
        Ok(found) => Found::Text(found),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Found::Nothing,
            _ => Found::Unreadable,
        },
    }
}

fn beginning<T>(path: &str, read: impl FnOnce(&str) -> T) -> std::io::Result<T> {
    // Both numbers of `meminfo` are within its first 1.5 KiB.
    let mut text = [0; 4096];
    let mut length = 0;
    let mut file = File::open(path)?;
    while length < text.len() {
        match file.read(&mut text[length..])? {
            0 => break,
            more => length += more,
        }
    }
    let text = std::str::from_utf8(&text[..length]).map_err(|_| ErrorKind::InvalidData)?;
    Ok(read(text))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn without_limits_everything_is_admitted() {
        let limits = Limits::default();
        assert!(limits.admit(1 << 20, 256 * MIB, 256 * MIB) && limits.admit_growth(u64::MAX));
    }

    #[test]
    fn shards_take_no_more_than_their_share_of_an_empty_process() {
        let room = Room { limit: 1024 * MIB, used: 0 };
        let address_space = Limits { address_space: Some(room), ..Limits::default() };
        assert!(address_space.admit(256, MIB, 256 * MIB));
        assert!(!address_space.admit(257, MIB, 0));
        for limits in [
            Limits { data: Some(room), ..Limits::default() },
            Limits { charge: Some(room), ..Limits::default() },
        ] {
            assert!(limits.admit(256, 256 * MIB, MIB), "{limits:?}");
            assert!(!limits.admit(257, 0, MIB), "{limits:?}");
        }
    }

    #[test]
    fn a_quarter_of_a_limit_stays_free_whoever_took_the_rest() {
        let room = Room { limit: 1024 * MIB, used: 767 * MIB };
        for limits in [
            Limits { data: Some(room), ..Limits::default() },
            Limits { charge: Some(room), ..Limits::default() },
        ] {
            assert!(limits.admit(1, 0, MIB) && limits.admit_growth(MIB), "{limits:?}");
            assert!(!limits.admit(1, 0, MIB + 1) && !limits.admit_growth(MIB + 1), "{limits:?}");
        }
        let limits = Limits { address_space: Some(room), ..Limits::default() };
        assert!(limits.admit(1, MIB, 0) && !limits.admit(1, MIB + 1, 0));
        assert!(limits.admit_growth(u64::MAX), "what is reserved is not reserved again");
    }

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(used("100 20 3 4 0 50 0\n"), Some((100 * page_bytes(), 50 * page_bytes())));
        assert_eq!(used("100 20"), None);
        let meminfo = "MemTotal: 24105 kB\nCommitLimit:    12000 kB\nCommitted_AS:    1000 kB\n";
        let room = Room { limit: 12_000 * 1024, used: 1000 * 1024 };
        assert_eq!(charge(meminfo), Some(room));
        assert_eq!(charge("CommitLimit: much"), None);
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn this_process_knows_what_it_uses() {
        let Found::Text(Some((size, data))) = with_file("/proc/self/statm", used) else {
            panic!("no numbers")
        };
        assert!(size > data && data > 0, "{size} and {data}");
        let Found::Text(Some(room)) = with_file("/proc/meminfo", charge) else {
            panic!("not both lines")
        };
        assert!(room.limit > 0 && room.used > 0, "{room:?}");
        assert_eq!(with_file("/proc/no-such-file", used), Found::Nothing);
        assert_eq!(with_file("/proc/self/mem", used), Found::Unreadable, "it has no first page");
    }
}
