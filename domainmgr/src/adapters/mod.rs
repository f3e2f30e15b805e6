//! Adapters of the host that are given to domains.
//!
//! [`Table`] decides, and is pure. [`Adapters`] is what workers ask: one lock around the table, and one thread that
//! does what the table wants done to the host. Only that thread touches devices, so that nobody takes one that another
//! is giving back.

mod bundle;
mod files;
mod registry;
mod table;
#[cfg(test)]
mod tests;
mod xen_cfg;

pub use self::files::Files;
pub use self::registry::Adapters;
pub use self::table::{Progress, Step, Table};
pub use self::xen_cfg::xen_cfg;
