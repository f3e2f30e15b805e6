//! The event loop of one context.
//!
//! libxl makes progress only while somebody polls its file descriptors. The threads that wait on a
//! context do the polling, one thread at a time as libxl demands, which passes the events on to the
//! others. A program's own loop can do it instead, with a [`Descriptor`], or a thread of this
//! crate.
//!
//! Deadlines and aborts of all operations are enforced by the thread that polls, not by the one
//! that waits for the operation.

mod descriptor;
#[cfg(not(all(libxl_loom, test)))]
mod event;
#[cfg(all(libxl_loom, test))]
mod loom;
#[cfg(not(all(libxl_loom, test)))]
mod poll;
mod table;
mod token;
mod turns;

pub(crate) use descriptor::Descriptor;
#[cfg(all(libxl_loom, test))]
pub(crate) use loom::how;
#[cfg(not(all(libxl_loom, test)))]
pub(crate) use poll::how;
pub(crate) use table::{Cause, Ended, Terms};
pub(crate) use token::Token;
pub(crate) use turns::{Moment, Pump};
