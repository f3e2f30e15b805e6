//! Adapters of the host that a domain is to have, and what they are to it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An adapter of the host, by the names of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// EVE's number for the kind; 0 for any.
    pub kind: u32,
    /// Its name.
    pub name: String,
}

/// Physical interrupts.
pub type Irqs = Vec<u32>;

/// I/O ports: the first and the last of each range.
pub type IoPorts = Vec<(u16, u16)>;

/// What reserved adapters are to a domain.
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
    /// Where it is in the host.
    pub address: PciAddress,
    /// Memory that the firmware reserves for it need not be kept clear of: that of USB controllers is for its own old
    /// drivers.
    pub relaxed: bool,
}

/// Where a PCI device is in the host.
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
    /// Whether both are functions of one device, which is given away as a whole.
    #[must_use]
    pub fn same_device(self, other: Self) -> bool {
        (self.domain, self.bus, self.dev) == (other.domain, other.bus, other.dev)
    }

    /// `00:14.0`: as [`fmt::Display`], without the domain.
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
        Ok(Self {
            domain: u16::try_from(pci.domain).unwrap_or(u16::MAX),
            bus: pci.bus,
            dev: pci.dev,
            func: pci.func,
        })
    }
}
