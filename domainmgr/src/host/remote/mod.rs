//! Programs that connect this host to the agent, or to xl, of another one.

mod connection;
mod cpu;
mod destination;
mod question;

pub use self::connection::{Connection, READY, ask, may_come};
pub use self::destination::{Destination, Receiver};
pub use self::question::Question;
