//! The adapters of the host, their users, and the steps that they need. Pure: no I/O, threads or clocks.
//!
//! [`Table::see`] takes the devices that the host has. [`Table::next`] returns the steps, one at a time, each derived from
//! the facts known then. Two rules come before all others. No device is touched before the model and the
//! `DeviceNetworkStatus` are both known. No device is ever touched that is not in the model or that a domain has.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::bundle::{Bundle, Home};
use super::model::{AssignableAdapters, DeviceNetworkStatus, kind};
use crate::spec::{Adapter, Assigned, PciAddress};
use crate::toolstack::HostPci;

/// A step to be carried out on the host, for all of its devices or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take the devices of a bundle from the host, so that domains can have them.
    Take(String, Vec<PciAddress>),
    /// Give the devices of a bundle back, with the names that their interfaces had.
    GiveBack(String, Vec<(PciAddress, Option<String>)>),
}

/// State of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The devices are still being taken from the host.
    Waiting,
    /// A domain can be built with these adapters.
    Ready(Assigned),
    /// The reservation has failed, for this reason. Nothing is reserved any more.
    Failed(String),
}

/// All facts about adapters.
#[derive(Debug, Default)]
pub struct Table {
    /// The reason why the model is not known, where it is not.
    model: Option<Result<(), String>>,
    network: Option<Result<DeviceNetworkStatus, String>>,
    usb_access: bool,
    host: Vec<HostPci>,
    /// True if the host has been looked at since the model came.
    seen: bool,
    bundles: Vec<Bundle>,
    /// The adapters that an earlier run of the agent published.
    earlier: AssignableAdapters,
}

impl Table {
    /// Makes a table that only knows the adapters that an earlier run of the agent published.
    #[must_use]
    pub fn new(earlier: AssignableAdapters) -> Self {
        Self {
            usb_access: true,
            earlier,
            ..Self::default()
        }
    }

    /// Sets the model, or the reason why it cannot be read, which leaves the last model in force.
    pub fn set_model(&mut self, model: Result<AssignableAdapters, String>) {
        let model = match model {
            Ok(model) => model,
            Err(why) => {
                if !matches!(self.model, Some(Ok(()))) {
                    self.model = Some(Err(why));
                }
                return;
            }
        };
        let mut old = std::mem::take(&mut self.bundles);
        for config in model.io_bundle_list {
            let at = old.iter().position(|b| b.is(config.r#type, &config.name));
            let before = at.map(|at| old.swap_remove(at));
            self.bundles.push(match before {
                Some(before) => before.changed(config),
                None => {
                    let earlier = &self.earlier.io_bundle_list;
                    let earlier = earlier
                        .iter()
                        .find(|e| {
                            e.r#type == config.r#type && e.name.eq_ignore_ascii_case(&config.name)
                        })
                        .cloned();
                    Bundle::new(config, earlier.as_ref())
                }
            });
        }
        // A bundle that is no longer listed is kept until no domain has it, and the host has it back.
        for mut bundle in old {
            bundle.gone = true;
            self.bundles.push(bundle);
        }
        self.model = Some(Ok(()));
        self.seen = false;
        self.forgive();
    }

    /// Sets the `DeviceNetworkStatus`, or the reason why it cannot be read, which leaves the last one in force.
    pub fn set_network(&mut self, network: Result<DeviceNetworkStatus, String>) {
        if network.is_ok() || !matches!(self.network, Some(Ok(_))) {
            self.network = Some(network);
        }
        self.forgive();
        self.find_ports();
    }

    /// Sets whether the host may use USB controllers that no domain has.
    pub fn set_usb_access(&mut self, access: bool) {
        self.usb_access = access;
        self.forgive();
    }

    /// Allows failed steps to be tried again.
    pub fn forgive(&mut self) {
        for bundle in &mut self.bundles {
            bundle.failed = None;
        }
    }

    /// Returns whether there are devices to look for on the host.
    #[must_use]
    pub fn has_devices(&self) -> bool {
        self.bundles.iter().any(Bundle::has_devices)
    }

    /// Takes the devices that the host has now.
    pub fn see(&mut self, host: Vec<HostPci>) {
        for bundle in &mut self.bundles {
            bundle.look_up(&host);
        }
        self.host = host;
        self.seen = true;
        self.find_ports();
        let host = &self.host;
        self.bundles
            .retain(|b| !b.gone || b.used_by.is_some() || b.is_taken(host));
    }

    /// Drops the reservations of applications that no longer exist.
    pub fn keep_only(&mut self, known: &dyn Fn(Uuid) -> bool) {
        for bundle in &mut self.bundles {
            bundle.used_by.take_if(|user| !known(user.key));
        }
        for bundle in &mut self.earlier.io_bundle_list {
            if bundle.used_by_uuid.parse().is_ok_and(|key| !known(key)) {
                bundle.used_by_uuid.clear();
            }
        }
    }

    /// Reserves all of `wanted` for an application, or nothing.
    ///
    /// # Errors
    /// The reason why an adapter cannot be had, for people.
    pub fn reserve(&mut self, key: Uuid, name: &str, wanted: &[Adapter]) -> Result<(), String> {
        let mut found = BTreeSet::new();
        for (i, adapter) in wanted.iter().enumerate() {
            let at = self
                .available(key, adapter)
                .map_err(|why| format!("IoAdapterList[{i}]: {why}"))?;
            found.insert(at);
        }
        for at in found {
            self.bundles[at].failed = None;
            self.bundles[at].used_by = Some(super::bundle::User {
                key,
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    /// Returns the reason why a domain that asks for a device by its address cannot have it. Functions of one device go together.
    pub fn refuses(&self, key: Uuid, address: PciAddress) -> Option<String> {
        let is_it = |b: &&Bundle| b.known_devices().any(|(own, _)| own.same_device(address));
        self.bundles.iter().filter(is_it).find_map(|bundle| {
            let user = bundle.used_by.as_ref().filter(|user| user.key != key);
            match (user, &bundle.port) {
                (Some(user), _) => Some(format!("{address} is used by {user}")),
                (None, Some(port)) => Some(format!("{address}: {port} is a port of the host")),
                (None, None) => None,
            }
        })
    }

    /// Returns the index of the adapter's bundle, if this application can have it.
    fn available(&self, key: Uuid, adapter: &Adapter) -> Result<usize, String> {
        let name = &adapter.name;
        let network = self.known_network(name)?;
        let at = self.find(adapter)?;
        let bundle = &self.bundles[at];
        // Functions of one device go together, whatever the model says.
        for other in self.bundles.iter().filter(|b| b.shares_device(bundle)) {
            if let Some(user) = other.used_by.as_ref().filter(|user| user.key != key) {
                return Err(format!("{name:?} is used by {user}"));
            }
        }
        if let Some(port) = &bundle.port {
            return Err(format!("{name:?}: {port} is a port of the host"));
        }
        if bundle.has_devices() {
            self.check_devices(key, name, bundle, network)?;
        }
        Ok(at)
    }

    /// Returns the network's state, if the model and the host's ports are known.
    fn known_network(&self, name: &str) -> Result<&DeviceNetworkStatus, String> {
        match &self.model {
            Some(Ok(())) => {}
            Some(Err(why)) => return Err(format!("{name:?}: the adapters are not known: {why}")),
            None => return Err(format!("{name:?}: the adapters are not known yet")),
        }
        match &self.network {
            Some(Ok(network)) => Ok(network),
            Some(Err(why)) => Err(format!("{name:?}: the host's ports are not known: {why}")),
            None => Err(format!("{name:?}: the host's ports are not known yet")),
        }
    }

    /// Returns the index of the adapter's bundle.
    fn find(&self, adapter: &Adapter) -> Result<usize, String> {
        let wanted = |b: &Bundle| !b.gone && b.answers_to(adapter);
        self.bundles.iter().position(wanted).ok_or_else(|| {
            let bundles = self.bundles.iter();
            let known: Vec<&str> = bundles.map(|b| b.config.name.as_str()).collect();
            format!(
                "unknown adapter {:?} of type {}; the model has {}",
                adapter.name,
                adapter.kind,
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            )
        })
    }

    /// Checks that the host has the devices of a bundle, and that this application can have them.
    fn check_devices(
        &self,
        key: Uuid,
        name: &str,
        bundle: &Bundle,
        network: &DeviceNetworkStatus,
    ) -> Result<(), String> {
        if !self.seen {
            return Err(format!("{name:?}: the host's devices are not known yet"));
        }
        for address in bundle.devices().map_err(|why| format!("{name:?}: {why}"))? {
            let Some(found) = self.device(address) else {
                return Err(format!("{name:?}: there is no PCI device {address}"));
            };
            if let Some(owner) = found.owner.filter(|owner| owner.uuid != key) {
                return Err(format!("{name:?}: domain {owner} has {address}"));
            }
            if network.testing && bundle.config.r#type == kind::ETHERNET && !found.assignable {
                return Err(format!(
                    "{name:?}: the host's ports are being tested, until then none is taken"
                ));
            }
        }
        Ok(())
    }

    /// Gives up everything that an application has reserved. Returns whether that was anything.
    pub fn release(&mut self, key: Uuid) -> bool {
        self.release_all_but(&[], key)
    }

    /// Gives up everything that an application has reserved except `wanted`. Returns whether that was anything.
    pub fn release_all_but(&mut self, wanted: &[Adapter], key: Uuid) -> bool {
        let mut any = false;
        for bundle in &mut self.bundles {
            if !wanted.iter().any(|adapter| bundle.answers_to(adapter)) {
                any |= bundle.used_by.take_if(|user| user.key == key).is_some();
            }
        }
        for bundle in &mut self.earlier.io_bundle_list {
            if bundle.used_by_uuid.parse() == Ok(key) {
                bundle.used_by_uuid.clear();
            }
        }
        any
    }

    /// Returns the state of a reservation. A failed reservation is given up as a whole.
    pub fn progress(&mut self, key: Uuid) -> Progress {
        let mut assigned = Assigned::default();
        let mut waiting = false;
        let mut failed = None;
        for bundle in self.bundles.iter().filter(|b| b.is_used_by(key)) {
            if let Some(why) = &bundle.failed {
                failed = Some(format!("{:?}: {why}", bundle.config.name));
            } else if let Some(port) = &bundle.port {
                failed = Some(format!(
                    "{:?}: {port} is a port of the host",
                    bundle.config.name
                ));
            }
            waiting |= !bundle.is_ready(key, &self.host);
            bundle.add_to(&mut assigned);
        }
        if let Some(why) = failed {
            self.release(key);
            return Progress::Failed(why);
        }
        if waiting {
            Progress::Waiting
        } else {
            Progress::Ready(assigned)
        }
    }

    /// Returns the next step, if there is one.
    #[must_use]
    pub fn next(&self) -> Option<Step> {
        if !self.is_initialized() || !self.seen {
            return None;
        }
        // Devices that the host waits for come first.
        let steps = self.bundles.iter().filter(|b| b.failed.is_none());
        let give = steps.clone().find_map(|b| self.give_back(b));
        give.or_else(|| steps.clone().find_map(|b| self.take(b)))
    }

    fn give_back(&self, bundle: &Bundle) -> Option<Step> {
        if self.home(bundle) != Home::Host {
            return None;
        }
        let devices: Vec<_> = bundle
            .known_devices()
            .filter(|(address, _)| {
                self.device(*address)
                    .is_some_and(|d| d.assignable && d.owner.is_none())
            })
            .collect();
        (!devices.is_empty()).then(|| Step::GiveBack(bundle.config.name.clone(), devices))
    }

    fn take(&self, bundle: &Bundle) -> Option<Step> {
        if self.home(bundle) != Home::Domains {
            return None;
        }
        let addresses = bundle.devices().ok()?;
        let found: Option<Vec<&HostPci>> = addresses.iter().map(|a| self.device(*a)).collect();
        let found = found?;
        let devices: Vec<PciAddress> = found
            .iter()
            .filter(|d| !d.assignable && d.owner.is_none())
            .map(|d| d.address)
            .collect();
        (!devices.is_empty()).then(|| Step::Take(bundle.config.name.clone(), devices))
    }

    /// Returns the side that should have the bundle's devices.
    fn home(&self, bundle: &Bundle) -> Home {
        let testing = matches!(&self.network, Some(Ok(network)) if network.testing);
        if bundle.used_by.is_some() {
            // A bundle that has become a port meanwhile stays with its domain, and shows an error.
            return if bundle.port.is_some() {
                Home::AsItIs
            } else {
                Home::Domains
            };
        }
        if bundle.gone || bundle.port.is_some() {
            return Home::Host;
        }
        match bundle.config.r#type {
            kind::ETHERNET if testing => Home::AsItIs,
            kind::USB if self.usb_access => Home::Host,
            _ => Home::Domains,
        }
    }

    /// Takes the result of a step. [`Table::see`] has to be called first, with the devices that the host has now.
    pub fn tried(&mut self, step: &Step, result: &Result<(), String>) {
        let (Step::Take(name, _) | Step::GiveBack(name, _)) = step;
        for bundle in &mut self.bundles {
            if bundle.config.name == *name {
                bundle.failed = result.as_ref().err().cloned();
            }
        }
        // A step that reports success but changed nothing would be tried for ever.
        if result.is_ok() && self.next().as_ref() == Some(step) {
            for bundle in self.bundles.iter_mut().filter(|b| b.config.name == *name) {
                bundle.failed = Some("nothing came of it".to_owned());
            }
        }
    }

    /// Returns whether everything is known that must be known before an adapter is touched.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        matches!(self.model, Some(Ok(()))) && matches!(self.network, Some(Ok(_)))
    }

    /// Returns the adapters, as they are to be published.
    #[must_use]
    pub fn view(&self) -> AssignableAdapters {
        AssignableAdapters {
            initialized: self.is_initialized(),
            io_bundle_list: self.bundles.iter().map(|b| b.view(&self.host)).collect(),
        }
    }

    fn device(&self, address: PciAddress) -> Option<&HostPci> {
        self.host.iter().find(|d| d.address == address)
    }

    /// Finds the bundles that are ports of the host: by name, by interface, and by PCI address.
    fn find_ports(&mut self) {
        let Some(Ok(network)) = &self.network else {
            return;
        };
        let mut ports: Vec<(String, Vec<PciAddress>)> = Vec::new();
        for port in &network.ports {
            let named = port.pci_long.parse().ok();
            let has = |d: &&HostPci| d.interfaces.contains(&port.if_name);
            let found = self.host.iter().find(has).map(|d| d.address);
            let label = if port.if_name.is_empty() {
                &port.name
            } else {
                &port.if_name
            };
            ports.push((label.clone(), named.into_iter().chain(found).collect()));
        }
        for bundle in &mut self.bundles {
            let by_name = network.ports.iter().position(|port| {
                let names = [&port.name, &port.if_name];
                let is = |member: &String| !member.is_empty() && names.contains(&member);
                bundle.config.members.iter().any(is)
            });
            let by_device = || {
                ports.iter().position(|(_, addresses)| {
                    let mut known = bundle.known_devices();
                    known.any(|(own, _)| addresses.iter().any(|a| a.same_device(own)))
                })
            };
            bundle.port = by_name.or_else(by_device).map(|at| ports[at].0.clone());
        }
        // A device with another function that is a port is a port as well.
        let of_ports: Vec<(PciAddress, String)> = self
            .bundles
            .iter()
            .filter_map(|b| Some((b, b.port.clone()?)))
            .flat_map(|(b, port)| b.known_devices().map(move |(a, _)| (a, port.clone())))
            .collect();
        for bundle in self.bundles.iter_mut().filter(|b| b.port.is_none()) {
            bundle.port = of_ports
                .iter()
                .find(|(port, _)| bundle.known_devices().any(|(a, _)| a.same_device(*port)))
                .map(|(_, name)| name.clone());
        }
    }
}
