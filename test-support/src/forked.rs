//! Work in a process of its own: for limits and signals, which are a whole process's.

use std::time::Duration;

/// A forked process that does some work and ends with what it returned.
#[derive(Debug)]
pub struct Forked(libc::pid_t);

impl Forked {
    /// Starts `work` in a forked process, which an alarm ends after `limit` (whole seconds, one at least). **The calling
    /// process must have one thread**, or the child may lack a lock for ever.
    ///
    /// # Panics
    /// No process can be made.
    ///
    /// ```
    /// use dynamo_metrics_test_support::Forked;
    /// use std::time::Duration;
    ///
    /// let limit = Duration::from_secs(10);
    /// assert_eq!(Forked::start(limit, || 3).result(), Some(3));
    /// assert_eq!(Forked::start(limit, || std::process::abort()).result(), None);
    /// ```
    pub fn start(limit: Duration, work: impl FnOnce() -> u8) -> Self {
        // SAFETY: this process has one thread, so the child has every lock.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1);
            // SAFETY: an alarm whose default action ends the child.
            unsafe { libc::alarm(seconds) };
            let result = work();
            // SAFETY: ends the child at once, without the parent's destructors.
            unsafe { libc::_exit(i32::from(result)) }
        }
        Self(pid)
    }

    /// Waits for the end; `None` when a signal ended the process.
    ///
    /// # Panics
    /// The process was waited for elsewhere.
    #[must_use]
    pub fn result(self) -> Option<u8> {
        let mut status = 0;
        // SAFETY: waits for a child of this process.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(waited, self.0, "waitpid: {}", std::io::Error::last_os_error());
        libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status) as u8)
    }
}
