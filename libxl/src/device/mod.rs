//! Devices: hotplug into and out of a running domain, and queries.
//!
//! A paravirtual device has two ends that meet in xenstore: a *frontend* in the guest, and a
//! *backend* in the domain that serves it, usually dom0. The [`DomainConfig`](crate::DomainConfig)
//! lists the devices present at the start; the methods of [`Domain`](crate::Domain) named
//! here add and remove devices later. libxl keeps the domain's configuration up to date, so an
//! added device survives a save or a migration.
//!
//! All kinds work alike:
//!
//! * `…_add` adds a device to the domain, and returns the device with the fields that libxl has
//!   filled in: its number, an Ethernet address, the names of its ends.
//! * `…_remove` asks the guest to release the device and waits for that. After ten seconds the
//!   device is removed by force.
//! * `…_destroy` removes the device without asking the guest.
//! * `…_list` returns the devices of the domain, `…_info` the connection state of a device.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use libxl::{Context, config::Nic, device::XenbusState};
//!
//! let ctx = Context::open()?;
//! let domain = ctx.domain_by_domid(ctx.name_to_domid("web")?)?;
//! let nic = domain.nic_add(&Nic::bridge("xenbr0"))?.wait()?;
//! println!("{:?} has the address {:?}", nic.devid, nic.mac);
//! if domain.nic_info(&nic)?.state == XenbusState::CONNECTED {
//!     println!("and the guest uses it");
//! }
//! domain.nic_remove(&nic)?.deadline(Duration::from_secs(20)).wait()?;
//! # Ok::<(), libxl::Error>(())
//! ```
//!
//! PCI devices have no paravirtual ends of this kind; they have methods of their own.

mod calls;
mod disk;
mod eject;
mod macros;
mod nic;
mod others;
mod usb;
mod vsnd;
mod xenbus;

pub(crate) use calls::{Device, OnDevice, Start};
pub use disk::DiskInfo;
pub use eject::DiskEjects;
pub use nic::NicInfo;
pub use others::{ConnectorInfo, VdisplInfo, VkbInfo, VtpmInfo};
pub use usb::UsbctrlInfo;
pub use vsnd::{PcmInfo, StreamInfo, VsndInfo};
pub use xenbus::XenbusState;
