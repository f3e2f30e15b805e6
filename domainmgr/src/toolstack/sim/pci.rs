//! PCI devices of the simulated host.

use libxl::config::Pci;

use super::devices::SimPci;
use super::model::Model;
use crate::spec::{PciAddress, Spec};
use crate::toolstack::domain::{DomainId, HostPci};
use crate::toolstack::error::{Error, ErrorKind, Result};

fn other(text: String) -> Error {
    Error::new(ErrorKind::Other, text)
}

impl Model {
    /// Puts a device into the host, or replaces the one at this address.
    ///
    /// # Errors
    /// `address` is not a PCI address.
    pub fn plug(&mut self, address: &str, driver: &str, interface: Option<&str>) -> Result<()> {
        let parsed: PciAddress = address.parse().map_err(|e| other(format!("{e}")))?;
        let address = parsed.to_string();
        self.pci.retain(|d| d.address != address);
        self.pci.push(SimPci {
            address,
            home: driver.to_owned(),
            has_interface: interface.is_some(),
            interface: interface.map(str::to_owned),
            taken: false,
            stuck: driver == "stuck",
            owner: None,
            moves: 0,
        });
        Ok(())
    }

    /// Takes a device out of the host.
    pub fn unplug(&mut self, address: &str) {
        self.pci.retain(|d| d.address != address);
    }

    /// Describes all devices to the outsider.
    pub(super) fn pci_words(&self) -> String {
        let words = self.pci.iter().map(|d| {
            let driver = if d.taken { "pciback" } else { d.home.as_str() };
            let interface = d.interface.as_deref().unwrap_or("-");
            let owner = d.owner.map_or_else(|| "-".to_owned(), |o| o.to_string());
            format!("{} {driver} {interface} {owner} {}", d.address, d.moves)
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// Returns all devices.
    #[must_use]
    pub fn pci_devices(&self) -> Vec<HostPci> {
        let devices = self.pci.iter().filter_map(|d| {
            let owner = d.owner.and_then(|domid| {
                let uuid = self.domains.get(&domid)?.uuid;
                Some(DomainId { domid, uuid })
            });
            Some(HostPci {
                address: d.address.parse().ok()?,
                driver: Some(if d.taken { "pciback" } else { &d.home }.to_owned()),
                interfaces: d.interface.iter().cloned().collect(),
                assignable: d.taken,
                owner,
            })
        });
        devices.collect()
    }

    fn slot(&mut self, address: PciAddress) -> Result<&mut SimPci> {
        let text = address.to_string();
        let found = self.pci.iter_mut().find(|d| d.address == text);
        found.ok_or_else(|| other(format!("there is no PCI device {address}")))
    }

    /// Takes a device from the host: its interface disappears.
    ///
    /// # Errors
    /// There is no such device, or its driver does not release it.
    pub fn pci_take(&mut self, address: PciAddress) -> Result<()> {
        let slot = self.slot(address)?;
        if slot.stuck {
            return Err(other(format!("{address}: its driver does not let go")));
        }
        if !slot.taken {
            slot.taken = true;
            slot.interface = None;
            slot.moves += 1;
        }
        Ok(())
    }

    /// Gives a device back to the host.
    ///
    /// As in Linux, its interface comes back under the first free name. It is then renamed to `interface`.
    ///
    /// # Errors
    /// There is no such device, a domain has it, or the name of the interface is taken.
    pub fn pci_give_back(&mut self, address: PciAddress, interface: Option<&str>) -> Result<()> {
        let free = (0..)
            .map(|n| format!("eth{n}"))
            .find(|name| self.pci.iter().all(|d| d.interface.as_ref() != Some(name)));
        let clash = self
            .pci
            .iter()
            .any(|d| d.interface.as_deref() == interface && interface.is_some());
        let slot = self.slot(address)?;
        if let Some(owner) = slot.owner {
            return Err(other(format!("domain {owner} has {address}")));
        }
        slot.moves += u32::from(slot.taken);
        slot.taken = false;
        if slot.has_interface {
            slot.interface = free;
            if let Some(wanted) = interface {
                if clash {
                    return Err(other(format!("{address}: the name {wanted} is taken")));
                }
                slot.interface = Some(wanted.to_owned());
            }
        }
        Ok(())
    }

    /// Gives a device to a domain of an outsider.
    pub fn give(&mut self, address: PciAddress, domid: u32) {
        let text = address.to_string();
        for device in self.pci.iter_mut().filter(|d| d.address == text) {
            device.owner = Some(domid);
            device.taken = true;
        }
    }

    /// Gives a domain that is being built its devices.
    pub(super) fn pci_assign(&mut self, domid: u32, spec: &Spec) -> Result<()> {
        for device in &spec.assigned.pci {
            self.pci_give(device.address, domid)?;
        }
        for device in spec.given.iter().flat_map(|given| &given.pcidevs) {
            self.pci_add(device, domid)?;
        }
        Ok(())
    }

    /// Gives a domain a device, which is taken from the host first if its configuration says so.
    pub(super) fn pci_add(&mut self, device: &Pci, domid: u32) -> Result<()> {
        if device.seize {
            self.pci_take(device.into())?;
        }
        self.pci_give(device.into(), domid)
    }

    /// Gives a domain a device that was taken from the host.
    fn pci_give(&mut self, address: PciAddress, domid: u32) -> Result<()> {
        self.pci_forget();
        let slot = self.slot(address)?;
        if !slot.taken {
            return Err(other(format!("PCI device {address} is not assignable")));
        }
        if let Some(owner) = slot.owner.filter(|owner| *owner != domid) {
            return Err(other(format!(
                "PCI device {address} is assigned to domain {owner}"
            )));
        }
        slot.owner = Some(domid);
        Ok(())
    }

    /// Takes a device from a domain.
    pub(super) fn pci_release(&mut self, address: PciAddress, domid: u32) {
        if let Ok(slot) = self.slot(address) {
            slot.owner.take_if(|owner| *owner == domid);
        }
    }

    /// Returns the devices of a domain.
    pub(super) fn pci_of(&self, domid: u32) -> Vec<Pci> {
        let own = self.pci.iter().filter(|d| d.owner == Some(domid));
        own.filter_map(|d| d.address.parse().ok()).collect()
    }

    /// Takes the devices from domains that are dying or gone.
    pub(super) fn pci_forget(&mut self) {
        let domains = &self.domains;
        for device in &mut self.pci {
            device
                .owner
                .take_if(|owner| domains.get(owner).is_none_or(|d| d.dying_until.is_some()));
        }
    }
}
