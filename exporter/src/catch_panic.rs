//! Calls to code of the program or of a third party: a panic in it becomes an error with the panic's message.
//!
//! Dropping a panic's payload runs the caller's code again, and that code may panic too. The payload of the second panic is
//! leaked, since a panic must not reach the threads of this crate.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `passthrough` and returns its value, or the message of its panic.
///
/// # Errors
/// The call panicked; the error is the panic's text, or `no text` where the payload is not one.
pub fn catch_panic<T>(passthrough: impl FnOnce() -> T) -> Result<T, String> {
    // Callers lend only values that they do not use after an error.
    catch_unwind(AssertUnwindSafe(passthrough)).map_err(|payload| {
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

    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            std::panic::panic_any("in a destructor, on purpose");
        }
    }

    #[test]
    fn a_panic_becomes_a_message_whatever_its_payload() {
        assert_eq!(catch_panic(|| 1), Ok(1));
        let literal = catch_panic(|| -> u8 { panic!("on purpose") });
        assert_eq!(literal, Err("on purpose".into()));
        let number = 7;
        let formatted = catch_panic(|| -> u8 { panic!("on purpose {number}") });
        assert_eq!(formatted, Err("on purpose 7".into()));
        let dropped = catch_panic(|| -> u8 { std::panic::panic_any(PanicsOnDrop) });
        assert_eq!(dropped, Err("no text".into()));
    }
}
