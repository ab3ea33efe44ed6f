//! Memory that may not be there: a body that cannot grow costs one answer and not the process.
//!
//! `BytesMut` can only grow by an allocation that ends the process when it fails; `Vec` can return an error. So buffers that
//! grow with the data grow here: into a new `Vec` that becomes the `BytesMut`, at the cost of copying the contents. Allocations of a fixed and small size are left to the standard
//! library.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::scrape::outcome::{ExposeError, OUT_OF_MEMORY};

/// Reserves room for `additional` bytes behind a body, or returns an error when there is no memory for them. A scrape whose
/// exposition calls it before it writes is answered 503 where `BytesMut::reserve` would end the process.
///
/// Costs nothing when there is room, as there is in a body that keeps the capacity of earlier scrapes.
///
/// ```
/// use dynamo_metrics_server::bytes::BytesMut;
/// use dynamo_metrics_server::try_reserve;
///
/// let mut body = BytesMut::from("up 1\n");
/// try_reserve(&mut body, 1000)?;
/// assert!(&body[..] == b"up 1\n" && body.capacity() >= 1005);
/// let error = try_reserve(&mut body, isize::MAX as usize).unwrap_err();
/// assert_eq!((error.status().as_u16(), error.answer()), (503, "Out of memory"));
/// # Ok::<(), dynamo_metrics_server::ExposeError>(())
/// ```
///
/// # Errors
/// An [`ExposeError::unavailable`]; the body is as it was.
pub fn try_reserve(body: &mut BytesMut, additional: usize) -> Result<(), ExposeError> {
    let out_of_memory = || ExposeError::unavailable(OUT_OF_MEMORY);
    if body.capacity() - body.len() >= additional || body.try_reclaim(additional) {
        return Ok(());
    }
    let wanted = body.len().checked_add(additional).ok_or_else(out_of_memory)?;
    let mut grown = Vec::new();
    // At least twice as much, so that small steps cost as little as they do in a `Vec`.
    grown
        .try_reserve_exact(wanted.max(body.capacity().saturating_mul(2)))
        .or_else(|_| grown.try_reserve_exact(wanted))
        .map_err(|error| out_of_memory().with_cause(error))?;
    grown.extend_from_slice(body);
    *body = Bytes::from(grown).into();
    Ok(())
}

/// Makes a body `bytes` long, with zeros behind its contents, if there is memory.
pub(crate) fn grow(body: &mut BytesMut, bytes: usize) -> io::Result<()> {
    try_reserve(body, bytes.saturating_sub(body.len()))
        .map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
    body.resize(bytes, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_grows_in_place_of_itself_and_keeps_its_memory_afterwards() {
        let mut body = BytesMut::new();
        for step in 0..1000_usize {
            try_reserve(&mut body, 10).expect("memory");
            body.extend_from_slice(&[u8::try_from(step % 251).expect("a byte"); 10]);
        }
        assert_eq!(body.len(), 10_000);
        assert!(
            body.iter().enumerate().all(|(index, &byte)| usize::from(byte) == index / 10 % 251)
        );
        let (address, capacity) = (body.as_ptr(), body.capacity());
        assert!(capacity < 40_000, "{capacity}");
        let sent = body.split().freeze();
        assert!(try_reserve(&mut body, usize::MAX).is_err());
        drop(sent);
        try_reserve(&mut body, 10_000).expect("memory");
        assert_eq!(body.as_ptr(), address, "it came back");
    }
}
