//! The agent is killed at every point at which it has changed or is about to change something that outlives it, and
//! started again: nothing is lost, doubled or mixed. With the real program and a simulated Xen.
//!
//! Every third point is tried; `DOMAINMGR_CRASH_STEP=1` tries them all, which takes minutes. Each scenario prints the
//! number of points it has tried.

mod changes;
mod ends;
mod host;
mod journal;
mod moves;
mod run;
mod scenario;
mod start;
mod wishes;
