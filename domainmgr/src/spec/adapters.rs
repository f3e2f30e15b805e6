//! Adapters of the host that a domain is to have, and the devices that it gets with them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An adapter of the host, by the names of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// EVE's number for the kind; 0 for any.
    pub kind: u32,
    /// Name of the adapter.
    pub name: String,
}

/// Physical interrupts.
pub type Irqs = Vec<u32>;

/// I/O ports: the first and the last of each range.
pub type IoPorts = Vec<(u16, u16)>;

/// Devices and other resources that a domain gets with its reserved adapters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// PCI devices.
    pub pci: Vec<PciDevice>,
    /// Physical interrupts.
    pub irqs: Irqs,
    /// I/O ports.
    pub io_ports: IoPorts,
    /// Serial lines of the host, for an HVM domain.
    #[serde(default)]
    pub serials: Vec<String>,
}

/// A PCI device that is passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciDevice {
    /// Address of the device in the host.
    pub address: PciAddress,
    /// True if the memory that the firmware reserves for the device need not be kept clear. For USB controllers, the firmware
    /// reserves it for its own old drivers.
    pub relaxed: bool,
}

/// Address of a PCI device in the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PciAddress {
    /// Domain, or segment.
    pub domain: u16,
    /// Bus.
    pub bus: u8,
    /// Device.
    pub dev: u8,
    /// Function.
    pub func: u8,
}

impl PciAddress {
    /// Returns whether both are functions of one device, which is assigned as a whole.
    #[must_use]
    pub fn same_device(self, other: Self) -> bool {
        (self.domain, self.bus, self.dev) == (other.domain, other.bus, other.dev)
    }

    /// Returns the address as [`fmt::Display`] writes it, but without the domain: `00:14.0`.
    #[must_use]
    pub fn short(self) -> String {
        format!("{:02x}:{:02x}.{:x}", self.bus, self.dev, self.func)
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{}", self.domain, self.short())
    }
}

impl std::str::FromStr for PciAddress {
    type Err = libxl::config::InvalidPci;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pci: libxl::config::Pci = text.parse()?;
        Ok(Self::from(&pci))
    }
}

impl From<&libxl::config::Pci> for PciAddress {
    fn from(pci: &libxl::config::Pci) -> Self {
        Self {
            domain: u16::try_from(pci.domain).unwrap_or(u16::MAX),
            bus: pci.bus,
            dev: pci.dev,
            func: pci.func,
        }
    }
}
