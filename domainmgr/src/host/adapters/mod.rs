//! Adapters of the host that are given to domains.
//!
//! [`Table`] decides, and is pure. Workers use [`Adapters`]: one lock around the table, and one thread that carries out the
//! table's steps on the host. Only that thread touches devices, so that no device is taken while it is being given back.

mod bundle;
mod files;
mod model;
mod registry;
mod table;
#[cfg(test)]
mod tests;
mod xen_cfg;

pub use self::files::Files;
pub use self::model::{AssignableAdapters, DeviceNetworkStatus, IoBundle, Port, kind};
pub use self::registry::Adapters;
pub use self::table::{Progress, Step, Table};
