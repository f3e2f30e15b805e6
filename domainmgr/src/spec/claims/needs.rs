//! The resources that one domain needs, and its conflicts with others.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use super::things::{self, Thing};
use crate::spec::words::{self, Words};
use crate::spec::{Mode, NicKind, PciAddress, Spec};

/// Reason why a resource cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The field that asks for the resource.
    pub field: String,
    /// The resource and its owner, for people.
    pub reason: String,
    /// True if the owner is a domain of this agent: a waiting domain is told when the owner gives up the resource.
    pub ours: bool,
}

/// Resources of a domain of another toolstack, or of the host.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Description of the owner, for people.
    pub owner: String,
    /// Resources that the owner has.
    pub claims: Claims,
}

/// The way bytes are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Access {
    write: bool,
    /// True if others that also set this may have the same access.
    shared: bool,
}

impl Access {
    const READ: Self = Self {
        write: false,
        shared: false,
    };

    fn alone(write: bool) -> Self {
        Self {
            write,
            shared: false,
        }
    }

    fn allows(self, other: Self) -> bool {
        !(self.write || other.write) || (self.shared && other.shared)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bytes {
    field: String,
    path: String,
    things: Vec<Thing>,
    access: Access,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    field: String,
    /// Names of the interface and of its tap in the host.
    names: Vec<String>,
    mac: String,
    bridge: String,
}

/// A part of the host that is passed through to a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hardware {
    Irq(u32),
    /// The first page, and the number of pages.
    Pages(u64, u64),
    /// A PCI device.
    Pci(PciAddress),
}

impl Hardware {
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pages(ours, count), Self::Pages(theirs, more)) => {
                *ours < theirs.saturating_add(*more) && *theirs < ours.saturating_add(*count)
            }
            (ours, theirs) => ours == theirs,
        }
    }
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Irq(number) => write!(f, "{number}"),
            Self::Pages(start, count) => write!(f, "{start:#x},{count:x}"),
            Self::Pci(address) => write!(f, "{address}"),
        }
    }
}

/// Resources that one domain needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    name: Option<String>,
    app_num: Option<u32>,
    bytes: Vec<Bytes>,
    interfaces: Vec<Interface>,
    screen: Option<(IpAddr, u32)>,
    /// Interrupts, pages and PCI devices of the host.
    hardware: Vec<(&'static str, Hardware)>,
    /// Names of the fields in the file that the domain comes from.
    words: Words,
}

/// libxl's default bridge.
const BRIDGE: &str = "xenbr0";

impl Claims {
    /// Returns the resources that `spec` needs, as far as `spec` says where they are.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let words = words::of(spec);
        let mut bytes = Vec::new();
        for (i, disk) in spec.disks.iter().enumerate() {
            let place = |what: &str| words.of_disk(i, what);
            let mut claim = |field: String, path: &str, access| {
                if !path.is_empty() {
                    bytes.push(Bytes::at(field, path, access));
                }
            };
            let copy = disk.image.as_ref().filter(|image| image.copy.is_some());
            let field = match &disk.image {
                Some(image) if image.location.is_empty() => place("ImageSha256"),
                _ => place("FileLocation"),
            };
            // The image is the source of the copy: no domain may write to it meanwhile, or ever.
            if let Some(image) = copy {
                claim(field.clone(), &image.location, Access::READ);
            }
            // Before a copied disk is ready, its path is that of its image.
            let is_copy = copy.is_none_or(|image| image.location != disk.path);
            if disk.seed.is_none() && is_copy {
                let access = Access {
                    write: !disk.read_only,
                    shared: disk.shared,
                };
                claim(field, &disk.path, access);
            }
        }
        // Boot loaders too are programs of dom0, which no guest may write to.
        let files = words::files(spec);
        bytes.extend(files.map(|(field, path)| Bytes::at(field.to_owned(), path, Access::READ)));
        let interfaces = spec.nics.iter().enumerate().map(|(i, nic)| {
            let emulated = spec.mode == Mode::Hvm && nic.kind != Some(NicKind::Vif);
            let tap = nic
                .vif
                .iter()
                .filter(|_| emulated)
                .map(|n| format!("{n}-emu"));
            Interface {
                field: words.of_nic(i),
                names: nic.vif.iter().cloned().chain(tap).collect(),
                mac: nic.address(),
                bridge: nic.bridge.clone().unwrap_or_else(|| BRIDGE.to_owned()),
            }
        });
        let irqs = spec.all_irqs().map(|irq| (words.irqs, Hardware::Irq(irq)));
        let pages = spec.io_mem.iter();
        let pages = pages.map(|m| (words.io_mem, Hardware::Pages(m.start, m.count)));
        let devices = spec.given.iter().flat_map(|given| &given.pcidevs);
        let devices = devices.map(|device| ("pci", Hardware::Pci(PciAddress::from(device))));
        Self {
            words,
            hardware: irqs.chain(pages).chain(devices).collect(),
            name: Some(spec.name.clone()),
            app_num: spec.given.is_none().then_some(spec.app_num),
            bytes,
            interfaces: interfaces.collect(),
            screen: spec
                .vnc
                .as_ref()
                .and_then(|vnc| Some((vnc.listen, vnc.display?))),
        }
    }

    /// Returns claims on these things.
    pub fn of_things(things: impl IntoIterator<Item = Thing>, write: bool) -> Self {
        let bytes = Bytes {
            field: String::new(),
            path: String::new(),
            things: things.into_iter().collect(),
            access: Access::alone(write),
        };
        Self {
            bytes: vec![bytes],
            ..Self::default()
        }
    }

    /// Returns the resources that a domain of another toolstack has.
    #[must_use]
    pub fn of_other(
        disks: impl IntoIterator<Item = (String, bool)>,
        nics: impl IntoIterator<Item = (String, Option<String>, Option<String>)>,
    ) -> Self {
        let bytes = disks
            .into_iter()
            .map(|(path, write)| Bytes::at(String::new(), &path, Access::alone(write)));
        let interfaces = nics.into_iter().map(|(mac, bridge, name)| Interface {
            field: String::new(),
            names: name.into_iter().collect(),
            mac,
            bridge: bridge.unwrap_or_else(|| BRIDGE.to_owned()),
        });
        Self {
            bytes: bytes.collect(),
            interfaces: interfaces.collect(),
            ..Self::default()
        }
    }

    /// Sets the display that the domain's device model has chosen.
    pub fn shows(&mut self, listen: IpAddr, display: u32) {
        self.screen = Some((listen, display));
    }

    /// Checks that the domain does not ask for one thing twice.
    ///
    /// # Errors
    /// The first resource that is asked for twice.
    pub fn within(&self) -> Result<(), Refusal> {
        let refuse = |field: &str, reason: String| {
            Err(Refusal {
                field: field.to_owned(),
                reason,
                ours: false,
            })
        };
        for (i, ours) in self.bytes.iter().enumerate() {
            let before = self.bytes[..i].iter();
            if let Some(first) = before
                .filter(|b| b.field != ours.field)
                .find(|b| b.clashes(ours))
            {
                let why = format!("{}: {} is the same", ours.path, first.field);
                return refuse(&ours.field, why);
            }
        }
        for (i, ours) in self.interfaces.iter().enumerate() {
            for first in &self.interfaces[..i] {
                if let Some(name) = ours.names.iter().find(|n| first.names.contains(n)) {
                    let why = format!("{name:?} is also the name of {}", first.field);
                    return refuse(&format!("{}.{}", ours.field, self.words.vif), why);
                }
                if ours.names.contains(&first.bridge) {
                    let why = format!("{:?} is the bridge of {}", first.bridge, first.field);
                    return refuse(&format!("{}.{}", ours.field, self.words.vif), why);
                }
                if first.names.contains(&ours.bridge) {
                    let why = format!("{:?} is the name of {}", ours.bridge, first.field);
                    return refuse(&format!("{}.{}", ours.field, self.words.bridge), why);
                }
                if ours.mac == first.mac && ours.bridge == first.bridge {
                    let why = format!("{} is also the address of {}", ours.mac, first.field);
                    return refuse(&format!("{}.{}", ours.field, self.words.mac), why);
                }
            }
        }
        Ok(())
    }

    /// Returns the first resource that cannot be had because `owner` has it.
    #[must_use]
    pub fn refused_by(&self, theirs: &Self, owner: &dyn fmt::Display) -> Option<Refusal> {
        let refuse = |field: String, what: String| {
            Some(Refusal {
                field,
                reason: format!("{what} is used by {owner}"),
                ours: false,
            })
        };
        if self.name.is_some() && self.name == theirs.name {
            let name = self.name.clone().unwrap_or_default();
            return refuse(self.words.name.to_owned(), format!("the name {name:?}"));
        }
        for ours in &self.bytes {
            if theirs.bytes.iter().any(|other| ours.clashes(other)) {
                return refuse(ours.field.clone(), ours.path.clone());
            }
        }
        for ours in &self.interfaces {
            for other in &theirs.interfaces {
                if let Some(name) = ours.names.iter().find(|n| other.names.contains(n)) {
                    return refuse(
                        format!("{}.{}", ours.field, self.words.vif),
                        format!("{name:?}"),
                    );
                }
                if ours.names.contains(&other.bridge) {
                    let bridge = format!("{:?}, as a bridge,", other.bridge);
                    return refuse(format!("{}.{}", ours.field, self.words.vif), bridge);
                }
                if other.names.contains(&ours.bridge) {
                    let name = format!("{:?}, as the name of an interface,", ours.bridge);
                    return refuse(format!("{}.{}", ours.field, self.words.bridge), name);
                }
                if ours.mac == other.mac && ours.bridge == other.bridge {
                    let what = format!("{}, on the bridge {},", ours.mac, ours.bridge);
                    return refuse(format!("{}.{}", ours.field, self.words.mac), what);
                }
            }
        }
        match (self.screen, theirs.screen) {
            (Some((ours, display)), Some((other, theirs))) if display == theirs => {
                let meet = ours == other || ours.is_unspecified() || other.is_unspecified();
                meet.then(|| refuse(self.words.display.to_owned(), display.to_string()))?
            }
            _ => None,
        }
    }

    /// Returns warnings about resources that the domain can have twice, but should not.
    pub fn doubtful_within(&self) -> Vec<String> {
        let all = self.interfaces.iter().enumerate();
        let twice = all.filter_map(|(i, ours)| {
            let first = self.interfaces[..i]
                .iter()
                .find(|first| first.mac == ours.mac)?;
            Some(format!(
                "{}.{}: {} is also the address of {}, on the bridge {}",
                ours.field, self.words.mac, ours.mac, first.field, first.bridge
            ))
        });
        let again = self
            .hardware
            .iter()
            .enumerate()
            .filter_map(|(i, (field, ours))| {
                let (_, first) = self.hardware[..i].iter().find(|(_, h)| h.overlaps(ours))?;
                Some(format!("{field}: {ours} is given twice, also as {first}"))
            });
        twice.chain(again).collect()
    }

    /// Returns warnings about resources that both domains can have, but should not.
    #[must_use]
    pub fn doubtful_beside(&self, theirs: &Self, owner: &dyn fmt::Display) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(number) = self.app_num.filter(|n| Some(*n) == theirs.app_num) {
            said.push(format!("AppNum: {number} is also that of {owner}"));
        }
        for (field, what) in &self.hardware {
            if theirs
                .hardware
                .iter()
                .any(|(_, other)| other.overlaps(what))
            {
                said.push(format!("{field}: {what} is also given to {owner}"));
            }
        }
        for ours in &self.interfaces {
            let mut others = theirs.interfaces.iter();
            if let Some(other) = others.find(|o| o.mac == ours.mac && o.bridge != ours.bridge) {
                said.push(format!(
                    "{}.{}: {} is also the address of {owner}, on the bridge {}",
                    ours.field, self.words.mac, ours.mac, other.bridge
                ));
            }
        }
        said
    }
}

impl Bytes {
    fn at(field: String, path: &str, access: Access) -> Self {
        Self {
            field,
            path: path.to_owned(),
            things: things::of(Path::new(path)),
            access,
        }
    }

    fn clashes(&self, other: &Self) -> bool {
        let meet = self
            .things
            .iter()
            .any(|a| other.things.iter().any(|b| a.overlaps(b)));
        meet && !self.access.allows(other.access)
    }
}
