//! Resources of the host that domains use: disks, adapters, and whatever exists only once.

pub mod adapters;
pub mod cfgs;
pub mod cloudinit;
pub mod disks;
pub mod files;
pub mod owners;
pub mod remote;
