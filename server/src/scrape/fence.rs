//! Calls of code that is not ours, behind a fence: a panic in it costs one answer and not the thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The error of code that panicked instead of returning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// Calls code that may panic; the panic becomes an error.
pub(crate) fn fenced<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // AssertUnwindSafe: after a panic our callers drop what it may have left half done; the rest is
    // the embedder's own value.
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        discard_panic(payload);
        Panicked
    })
}

/// Drops a panic's payload. Its destructor is code of others too and may panic again; then the
/// second payload is leaked, since a third panic must not reach our threads.
pub(crate) fn discard_panic(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_panics_when_dropped_is_survived() {
        struct Grenade;
        impl Drop for Grenade {
            fn drop(&mut self) {
                std::panic::panic_any("in a destructor");
            }
        }
        discard_panic(Box::new(Grenade));
    }
}
