//! The fence around code that is not ours: what it panics with becomes a message.
//!
//! Dropping a panic's payload runs foreign code once more, and that may panic too; then the second payload is
//! leaked, since a panic must not reach our threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `foreign`; an error is the text that it panicked with.
pub(crate) fn fenced<T>(foreign: impl FnOnce() -> T) -> Result<T, String> {
    // Callers lend only what is of no use to them after an error.
    catch_unwind(AssertUnwindSafe(foreign)).map_err(|payload| {
        let message = message(&*payload);
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        message
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Grenade;

    impl Drop for Grenade {
        fn drop(&mut self) {
            std::panic::panic_any("in a destructor, on purpose");
        }
    }

    #[test]
    fn a_panic_is_a_message_whatever_it_was_thrown_with() {
        assert_eq!(fenced(|| 1), Ok(1));
        assert_eq!(fenced(|| -> u8 { panic!("on purpose") }), Err("on purpose".into()));
        let number = 7;
        assert_eq!(fenced(|| -> u8 { panic!("on purpose {number}") }), Err("on purpose 7".into()));
        assert_eq!(fenced(|| -> u8 { std::panic::panic_any(Grenade) }), Err("no text".into()));
    }
}
