//! The real Xen, through libxl.

mod concurrency;
mod connection;
mod contexts;
mod hotplug;
mod link;
mod live;
mod memory_grant;
mod migration;
mod pci;
mod qemu;
mod session;
mod shared_list;
mod sysfs;
mod translate;
mod unconnected;

pub use self::connection::{open, open_with, resume, versions};
pub use self::hotplug::HOTPLUG;
