//! Parses changes that an operator writes in the language of xl.cfg(5).
//!
//! A text is read as the value of its key in a file of xl's, by the same reader. Anything that the reader would only warn
//! of is refused here: nothing is ignored.

use libxl::config::{DomainConfig, Mac, NicType, Pci};
use libxl::xlcfg::XlConfig;
use uuid::Uuid;

use crate::frontends::eve::VifConfig;
use crate::frontends::xl::Host;
use crate::spec::change::{Change, Figures};
use crate::spec::mac;
use crate::spec::render::quoted;
use crate::spec::{Mode, PciAddress, Written};

/// The name of the file in the reader's messages, which is removed from them again.
const PLACE: &str = "-";

/// Returns the configuration of a domain with nothing but `lines`.
fn config(lines: &str, host: &Host) -> Result<DomainConfig, String> {
    let text = format!("name = \"x\"\ntype = \"pv\"\nkernel = \"/x\"\n{lines}\n");
    let file = XlConfig::parse(&text, PLACE).map_err(|e| plain(&e.to_string()))?;
    let found = file.domain_config(&host.facts, &host.conf);
    let found = found.map_err(|e| plain(&e.to_string()))?;
    match found.warnings.first() {
        Some(warning) => Err(plain(&warning.to_string())),
        None => Ok(found.config),
    }
}

/// Returns a message without the place, which means nothing to somebody who has written no file.
fn plain(message: &str) -> String {
    let rest = message.split_once(&format!("{PLACE}:"));
    let rest = rest.map_or(message, |(_, rest)| rest);
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
    rest.trim_start().to_owned()
}

/// Parses a disk to attach.
///
/// # Errors
/// The text does not describe a disk.
pub(crate) fn disk(text: &str, host: &Host) -> Result<Change, String> {
    let config = config(&format!("disk = [{}]", quoted(text)), host)?;
    let disk = config.disks.into_iter().next();
    let disk = disk.ok_or_else(|| "disk: nothing is said of it".to_owned())?;
    if disk.vdev.as_deref().unwrap_or_default().is_empty() {
        return Err("disk: vdev: a name in the guest is needed, such as xvdb".to_owned());
    }
    Ok(Change::AttachDisk(Box::new(Written {
        text: text.to_owned(),
        config: disk,
    })))
}

/// Parses an interface to attach to a domain of this `mode`. An interface without an address gets a new random one.
///
/// # Errors
/// The text does not describe an interface.
pub(crate) fn nic(text: &str, host: &Host, mode: Mode) -> Result<Change, String> {
    let config = config(&format!("vif = [{}]", quoted(text)), host)?;
    let nic = config.nics.into_iter().next();
    let mut nic = nic.ok_or_else(|| "nic: nothing is said of it".to_owned())?;
    let mut text = text.trim_end_matches([',', ' ']).to_owned();
    let mut add = |part: String| {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&part);
    };
    if nic.mac.is_none() {
        let mac = Mac(mac::generated(Uuid::new_v4(), 0));
        nic.mac = Some(mac);
        add(format!("mac={mac}"));
    }
    if mode == Mode::Hvm && nic.nictype.is_none() {
        // libxl makes this type of an interface that is attached to a running domain: QEMU gets no new cards then.
        nic.nictype = Some(NicType::Vif);
        add("type=vif".to_owned());
    }
    nic.devid = None;
    Ok(Change::AttachNic(Box::new(Written { text, config: nic })))
}

/// Finds the interface to detach: `which` is its address, or its name in the host.
///
/// # Errors
/// There is no such interface. The message names those that exist.
pub(crate) fn which_nic(which: &str, all: &[VifConfig]) -> Result<Change, String> {
    let mac = which.to_ascii_lowercase();
    let found = all.iter().find(|nic| nic.mac == mac || nic.vif == which);
    match found.and_then(|nic| nic.mac.parse::<Mac>().ok()) {
        Some(mac) => Ok(Change::DetachNic(mac.0)),
        None if all.is_empty() => Err(format!("nic: there is no {which}, nor any other")),
        None => {
            let there: Vec<String> = all.iter().map(words).collect();
            Err(format!(
                "nic: there is no {which}, but {}",
                there.join(", ")
            ))
        }
    }
}

fn words(nic: &VifConfig) -> String {
    match nic.vif.as_str() {
        "" => nic.mac.clone(),
        name => format!("{name} ({})", nic.mac),
    }
}

/// Parses a PCI device to attach.
///
/// # Errors
/// The text does not describe a device, or describes more than one.
pub(crate) fn pci(text: &str, host: &Host) -> Result<Change, String> {
    let config = config(&format!("pci = [{}]", quoted(text)), host)?;
    let device = config.pcidevs.into_iter().next();
    let device = device.ok_or_else(|| "pci: nothing is said of it".to_owned())?;
    if device.name.is_some() {
        return Err("pci: an address is needed, such as 0000:07:00.0".to_owned());
    }
    if device.vfunc_mask == Some(Pci::ALL_FUNCTIONS) {
        return Err("pci: attach one function at a time".to_owned());
    }
    Ok(Change::AttachPci(Box::new(Written {
        text: text.to_owned(),
        config: device,
    })))
}

/// Finds the PCI device to detach, by its address in the host.
///
/// # Errors
/// The text is no address.
pub(crate) fn which_pci(which: &str) -> Result<Change, String> {
    let device: Pci = which.parse().map_err(|e| format!("pci: {e}"))?;
    if device.vfunc_mask == Some(Pci::ALL_FUNCTIONS) {
        return Err("pci: detach one function at a time".to_owned());
    }
    Ok(Change::DetachPci(PciAddress::from(&device)))
}

/// Figures as an operator gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// Memory, in MiB.
    pub memory: Option<u64>,
    /// Number of processors.
    pub vcpus: Option<u32>,
    /// Set of physical processors, in xl's language.
    pub cpus: Option<&'a str>,
    /// Weight relative to other domains.
    pub weight: Option<u32>,
    /// Limit of processor time, in percent of one processor.
    pub cap: Option<u32>,
}

/// The largest weight and cap that Xen's schedulers take.
const MOST: u32 = 65_535;

/// Checks figures, and returns a change that sets them.
///
/// # Errors
/// A figure is invalid, or none is given.
pub(crate) fn figures(wanted: &Wanted<'_>, host: &Host) -> Result<Change, String> {
    let cpus = wanted.cpus.map(|text| cpus(text, host)).transpose()?;
    if let Some(weight) = wanted.weight.filter(|n| !(1..=MOST).contains(n)) {
        return Err(format!("weight: {weight}, expected 1 to {MOST}"));
    }
    if let Some(cap) = wanted.cap.filter(|n| *n > MOST) {
        return Err(format!("cap: {cap}, expected 0 to {MOST}"));
    }
    let figures = Figures {
        memory_mib: wanted.memory,
        vcpus: wanted.vcpus,
        cpus,
        weight: wanted.weight,
        cap: wanted.cap,
    };
    if figures.is_empty() {
        return Err("expected memory, vcpus, cpus, weight or cap".to_owned());
    }
    Ok(Change::Set(figures))
}

fn cpus(text: &str, host: &Host) -> Result<Vec<u32>, String> {
    let config = config(&format!("vcpus = 1\ncpus = {}", quoted(text)), host)?;
    let set = config.b_info.vcpu_hard_affinity.first();
    let set: Vec<u32> = set.map(|set| set.iter().collect()).unwrap_or_default();
    let there: Vec<u32> = set
        .into_iter()
        .filter(|cpu| *cpu < host.facts.max_cpus)
        .collect();
    if there.is_empty() {
        let most = host.facts.max_cpus;
        return Err(format!(
            "cpus: {text:?} names none of the {most} processors of the host"
        ));
    }
    Ok(there)
}
