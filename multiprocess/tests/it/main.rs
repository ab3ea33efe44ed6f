//! Files and pages, in one process. No test here starts a process: it would have the files of all tests open, and their locks, until
//! its program is loaded.

mod directory;
mod merge;
mod page;
mod removal;
mod restart;
mod takeover;
