//! The description of a domain: everything it is built from, the limits and rules that apply to it, and its rendering for Xen.

mod actions;
mod adapters;
pub mod change;
pub mod claims;
mod disks;
mod domain;
pub mod feasibility;
pub mod from_libxl;
pub mod host_order;
pub mod limits;
pub mod mac;
pub mod render;
mod seed;
pub mod settings;
mod shutdown_reason;
pub mod with_host;
pub mod words;

pub use self::actions::{Action, Actions, ModelExit};
pub use self::adapters::{Adapter, Assigned, IoPorts, Irqs, PciAddress, PciDevice};
pub use self::disks::{Copied, Disk, Format, Image, Written};
pub use self::domain::{IoMem, Mode, Nic, NicKind, Secret, Spec, Vnc};
pub use self::seed::Seed;
pub use self::shutdown_reason::ShutdownReason;
