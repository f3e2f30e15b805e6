//! The real Xen, through libxl.

mod concurrency;
mod connection;
mod contexts;
mod link;
mod live;
mod memory_grant;
mod pci;
mod qemu;
mod session;
mod shared_list;
mod sysfs;
mod translate;

pub use self::connection::{open, resume, versions};
