//! The agent is short of something of its own: file descriptors, threads, room on a file system, or the right to write to
//! the directory of copies. It waits, says so, and goes on when there is enough again; no guest is touched. With the real
//! program and a simulated Xen.
//!
//! Every third amount is tried; `DOMAINMGR_CRASH_STEP=1` tries them all. Nothing forks in a simulation: libxl does.

mod descriptors;
mod namespace;
mod read_only;
mod room;
mod scenes;
mod threads;
