//! Callbacks of engines and canaries, each on a daemon thread of Python.
//!
//! The exporter's thread asks through a pipe and waits for the answer in Rust. It never attaches to the interpreter: a thread that
//! runs Python while the interpreter is finalized is ended by unwinding its stack, and Rust frames below would release a state
//! that is gone, which aborts the process. A thread of Python has no such frames, so **a callback that never ends does not keep
//! the interpreter from ending**.

use crate::errors::{callable, value_error};
use crate::fork;
use dynamo_metrics::{EngineSource, Filter};
use pyo3::prelude::*;
use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

pub(crate) type Text = Result<Vec<u8>, String>;

/// The byte that asks for a text, and the one that ends Python's thread.
const ASK: u8 = 1;
const END: u8 = 0;

/// The side of the exporter: asks and waits.
struct Asker {
    requests: PipeWriter,
    answers: Receiver<Text>,
    /// The exporter's thread, which may hold a lock of the page at any time.
    thread: fork::Running,
}

/// The side of Python's thread: `_engine.answer` reads a byte for each request, and gives one answer.
#[pyclass(frozen, module = "dynamo_metrics._native")]
#[derive(Debug)]
pub(crate) struct Answers(Sender<Text>);

#[pymethods]
impl Answers {
    /// Answers a request with a text. The exporter may be gone, which is no error.
    fn text(&self, text: Vec<u8>) {
        let _ = self.0.send(Ok(text));
    }

    /// Answers a request with the reason for which there is no text.
    fn failed(&self, reason: String) {
        let _ = self.0.send(Err(reason));
    }
}

/// Returns a source that calls `callback` on a thread of its own, which ends with the source.
pub(crate) fn engine_source(
    py: Python<'_>,
    name: &str,
    prefixes: Option<Vec<String>>,
    callback: Py<PyAny>,
) -> PyResult<EngineSource> {
    callable(format_args!("engine {name:?}: the callback"), callback.bind(py))?;
    let filter = filter(prefixes)?;
    let ask = asker(py, &format!("engine {name}"), callback)?;
    Ok(EngineSource::new(name, filter, ask))
}

/// Returns the filter that admits families whose names begin with one of the prefixes; all of them if there are none.
pub(crate) fn filter(prefixes: Option<Vec<String>>) -> PyResult<Filter> {
    Filter::new(prefixes.unwrap_or_default(), Vec::new(), None).map_err(value_error)
}

/// Returns a function that calls `callback` on a thread of this name, which ends with the function, and waits for its text.
pub(crate) fn asker(
    py: Python<'_>,
    name: &str,
    callback: Py<PyAny>,
) -> PyResult<impl Fn() -> Text + Send + 'static> {
    let (read, requests) = pipe()?;
    let (send, answers) = channel();
    let start = py.import("dynamo_metrics._engine")?.getattr("start")?;
    start.call1((name, callback, descriptor(read), Answers(send)))?;
    let asker = Mutex::new(Asker { requests, answers, thread: fork::Running::begin(py) });
    Ok(move || asker.lock().unwrap_or_else(PoisonError::into_inner).ask())
}

impl Asker {
    fn ask(&mut self) -> Text {
        let ended = |_| "the callback's thread has ended".to_string();
        self.requests.write_all(&[ASK]).map_err(|error| error.to_string())?;
        self.answers.recv().map_err(ended)?
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        // Closing the pipe alone would not reach the thread while a forked process has it open; and that process must not end it.
        if self.thread.is_here() {
            let _ = self.requests.write_all(&[END]);
        }
    }
}

/// Gives the reading end to Python, which closes it.
fn descriptor(read: PipeReader) -> i32 {
    use std::os::fd::IntoRawFd;
    read.into_raw_fd()
}
