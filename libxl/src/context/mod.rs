//! The context: a connection to Xen.

mod builder;
mod connection;
mod core;
mod driver;
mod event_loop;
mod sigchld;

pub use builder::ContextBuilder;
pub use connection::Context;
pub(crate) use core::Core;
pub use event_loop::EventLoop;
pub use sigchld::SigchldMode;
