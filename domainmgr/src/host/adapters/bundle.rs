//! One bundle of adapters: its entry in the model, and the facts found out since.

use std::fmt;

use uuid::Uuid;

use super::model::{IoBundle, kind};
use super::xen_cfg::xen_cfg;
use crate::spec::{Adapter, Assigned, PciAddress, PciDevice};
use crate::toolstack::HostPci;

/// The side that should have the devices of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Host,
    Domains,
    AsItIs,
}

/// The application that has a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) key: Uuid,
    /// Name of the application's domain; empty if only an earlier run of the agent knew it.
    pub(super) name: String,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            self.key.fmt(f)
        } else {
            write!(f, "{} ({})", self.name, self.key)
        }
    }
}

/// One device of a bundle.
#[derive(Clone, Debug, Default)]
struct Device {
    /// Name of the interface to be looked up.
    lookup: Option<String>,
    address: Option<PciAddress>,
    /// Name of the interface that the device had when the host last had it.
    interface: Option<String>,
}

#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) config: IoBundle,
    devices: Vec<Device>,
    pub(super) used_by: Option<User>,
    /// Name of the host's port, if the bundle is one.
    pub(super) port: Option<String>,
    /// Reason why the last step failed. No other step is tried until something changes.
    pub(super) failed: Option<String>,
    /// True if the model no longer lists the bundle.
    pub(super) gone: bool,
}

impl Bundle {
    pub(super) fn new(config: IoBundle, earlier: Option<&IoBundle>) -> Self {
        let devices = if config.lookup {
            config
                .members
                .iter()
                .map(|member| Device {
                    lookup: Some(member.clone()),
                    ..Device::default()
                })
                .collect()
        } else {
            let fixed = [&config.pci_long, &config.pci_short];
            let address = fixed.iter().find_map(|text| text.parse().ok());
            let device = |address| Device {
                address: Some(address),
                ..Device::default()
            };
            address.map(device).into_iter().collect()
        };
        let mut bundle = Self {
            config,
            devices,
            used_by: None,
            port: None,
            failed: None,
            gone: false,
        };
        if let Some(earlier) = earlier {
            bundle.remember(earlier);
        }
        bundle
    }

    /// Takes over addresses, interfaces and the user from `earlier`: a taken device has no interface to be looked up by.
    fn remember(&mut self, earlier: &IoBundle) {
        for (i, device) in self.devices.iter_mut().enumerate() {
            let interface = earlier.m_if_name.get(i).filter(|name| !name.is_empty());
            let same = match &device.lookup {
                Some(_) => earlier.lookup && earlier.members == self.config.members,
                None => earlier.pci_long == self.config.pci_long,
            };
            if !same {
                continue;
            }
            device.interface = interface.cloned();
            if device.lookup.is_some() {
                let address = earlier.m_pci_long.get(i);
                device.address = address.and_then(|text| text.parse().ok());
            }
        }
        let key = earlier
            .used_by_uuid
            .parse()
            .ok()
            .filter(|k: &Uuid| !k.is_nil());
        self.used_by = key.map(|key| User {
            key,
            name: String::new(),
        });
    }

    /// Returns the bundle with a new entry of the model.
    pub(super) fn changed(self, config: IoBundle) -> Self {
        let known = self.view(&[]);
        let mut new = Self::new(config, Some(&known));
        new.used_by = self.used_by;
        new
    }

    pub(super) fn is(&self, kind: u32, name: &str) -> bool {
        self.config.r#type == kind && self.config.name.eq_ignore_ascii_case(name)
    }

    /// Returns whether `adapter` means this bundle: by its name, one of its interfaces, or the PCI address.
    pub(super) fn answers_to(&self, adapter: &Adapter) -> bool {
        let is = |name: &String| name.eq_ignore_ascii_case(&adapter.name);
        let address = adapter.name.parse::<PciAddress>().ok();
        (adapter.kind == 0 || adapter.kind == self.config.r#type)
            && (is(&self.config.name)
                || self.config.members.iter().any(is)
                || self
                    .devices
                    .iter()
                    .any(|d| address.is_some() && d.address == address))
    }

    pub(super) fn is_used_by(&self, key: Uuid) -> bool {
        self.used_by.as_ref().is_some_and(|user| user.key == key)
    }

    pub(super) fn has_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    pub(super) fn look_up(&mut self, host: &[HostPci]) {
        for device in &mut self.devices {
            // A taken device has no interface, and another device may have got the name.
            let taken = host
                .iter()
                .any(|d| Some(d.address) == device.address && (d.assignable || d.owner.is_some()));
            if let Some(interface) = device.lookup.as_ref().filter(|_| !taken) {
                let has = |d: &&HostPci| d.interfaces.contains(interface);
                if let Some(found) = host.iter().find(has) {
                    device.address = Some(found.address);
                }
            }
            let found = host.iter().find(|d| Some(d.address) == device.address);
            if let Some(interface) = found.and_then(|d| d.interfaces.first()) {
                device.interface = Some(interface.clone());
            }
        }
    }

    /// Returns the addresses of all devices.
    pub(super) fn devices(&self) -> Result<Vec<PciAddress>, String> {
        self.devices
            .iter()
            .map(|d| {
                d.address.ok_or_else(|| {
                    let name = d.lookup.as_deref().unwrap_or_default();
                    format!("there is no interface {name} with a PCI device")
                })
            })
            .collect()
    }

    /// Returns the devices whose addresses are known, with the names of their interfaces in the host.
    pub(super) fn known_devices(&self) -> impl Iterator<Item = (PciAddress, Option<String>)> {
        self.devices.iter().filter_map(|d| {
            let interface = d.lookup.clone().or_else(|| d.interface.clone());
            Some((d.address?, interface))
        })
    }

    pub(super) fn shares_device(&self, other: &Self) -> bool {
        let theirs: Vec<_> = other.known_devices().collect();
        let itself = self.is(other.config.r#type, &other.config.name);
        itself
            || self
                .known_devices()
                .any(|(own, _)| theirs.iter().any(|(a, _)| a.same_device(own)))
    }

    pub(super) fn is_taken(&self, host: &[HostPci]) -> bool {
        self.known_devices()
            .any(|(a, _)| host.iter().any(|d| d.address == a && d.assignable))
    }

    /// Returns whether a domain of `key` can be built with this bundle now.
    pub(super) fn is_ready(&self, key: Uuid, host: &[HostPci]) -> bool {
        self.devices().is_ok_and(|addresses| {
            addresses.iter().all(|address| {
                host.iter().any(|d| {
                    d.address == *address
                        && match d.owner {
                            None => d.assignable,
                            Some(owner) => owner.uuid == key,
                        }
                })
            })
        })
    }

    /// Adds the devices, interrupts, ports and serial line that a domain gets with this bundle.
    pub(super) fn add_to(&self, assigned: &mut Assigned) {
        let relaxed = self.config.r#type == kind::USB;
        for (address, _) in self.known_devices() {
            if assigned.pci.iter().all(|d| d.address != address) {
                assigned.pci.push(PciDevice { address, relaxed });
            }
        }
        // The text was checked when the model was read.
        if let Ok((irqs, io_ports)) = xen_cfg(&self.config.xen_cfg) {
            assigned.irqs.extend(irqs);
            assigned.io_ports.extend(io_ports);
        }
        let serial = Some(&self.config.serial).filter(|s| !s.is_empty());
        assigned.serials.extend(serial.cloned());
    }

    pub(super) fn view(&self, host: &[HostPci]) -> IoBundle {
        let text =
            |address: Option<PciAddress>| address.map_or_else(String::new, |a| a.to_string());
        let looked_up = |make: &dyn Fn(PciAddress) -> String| {
            let devices = self.devices.iter().filter(|d| d.lookup.is_some());
            devices
                .map(|d| d.address.map_or_else(String::new, make))
                .collect()
        };
        let missing = match self.devices() {
            Err(why) => Some(why),
            Ok(_) if host.is_empty() => None,
            Ok(addresses) => addresses
                .iter()
                .find(|a| host.iter().all(|d| d.address != **a))
                .map(|a| format!("there is no PCI device {a}")),
        };
        let error = match (&self.used_by, &self.port) {
            (Some(user), Some(port)) => {
                Some(format!("{port} is a port of the host, and used by {user}"))
            }
            _ => self.failed.clone().or(missing),
        };
        let mut view = IoBundle {
            used_by_uuid: self
                .used_by
                .as_ref()
                .map_or_else(|| Uuid::nil().to_string(), |user| user.key.to_string()),
            m_pci_long: looked_up(&|a| a.to_string()),
            m_pci_short: looked_up(&PciAddress::short),
            m_if_name: self
                .devices
                .iter()
                .map(|d| d.interface.clone().unwrap_or_default())
                .collect(),
            is_pci_back: self.has_devices() && self.is_taken(host),
            is_port: self.port.is_some(),
            error: error.unwrap_or_default(),
            ..self.config.clone()
        };
        if !self.config.lookup && self.has_devices() {
            view.pci_long = text(self.devices[0].address);
        }
        view
    }
}
