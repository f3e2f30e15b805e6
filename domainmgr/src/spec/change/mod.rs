//! Changes of a running domain: the check whether they need a new start, and their effect on a spec.
//!
//! Everything here is pure. [`Changes`] are the changes that are remembered for the next build.

mod apply;
mod check;
mod kinds;
mod later;
mod list;
mod pci;
mod replace;
#[cfg(test)]
mod tests;

pub use self::check::check;
pub use self::kinds::{Change, Figures, address};
pub(crate) use self::kinds::{mac_of, vdev_of};
pub use self::later::later;
pub use self::list::Changes;
