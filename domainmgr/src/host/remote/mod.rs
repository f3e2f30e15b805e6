//! Programs that connect this host to the agent, or to xl, of another one.

mod asking;
mod connection;
mod cpu;
mod destination;
mod question;

pub use self::asking::{READY, ask};
pub use self::connection::Connection;
pub use self::destination::{Destination, Receiver};
pub use self::question::Question;
