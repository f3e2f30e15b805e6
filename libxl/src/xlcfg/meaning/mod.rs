//! The meaning of `xl.cfg`: from a file to the configuration of a domain.
//!
//! Each module reads the keys of one subject. The rules are those of `xl`, also where they are
//! surprising: a number that is no number is left out with a warning, `type = "h"` is an HVM guest.
//! Input that would make `xl` crash or read foreign memory is refused.

mod actions;
mod arm;
mod boot;
mod channels;
mod cpuid;
mod cpus;
mod ctext;
mod device_model;
mod devid;
mod disks;
mod domain;
mod graphics;
mod host;
mod hvm;
mod io;
mod keyboards;
mod keys;
mod memory;
mod nic_colo;
mod nics;
mod p9;
mod pci;
mod pv_devices;
mod reader;
mod release;
mod smbios;
mod sound;
mod timers;
mod usb;
mod viridian;
mod virtio;
mod vnuma;
mod words;
mod xl_conf;

pub use self::{
    host::Host,
    keys::{KEYS, Key},
    reader::Complaint,
    xl_conf::XlConf,
};

use self::reader::{Reader, Result};
use super::file::XlConfig;
use crate::{
    Context,
    config::{BuildInfo, DomainConfig, Guest},
};

/// The configuration that a file stands for, and the warnings about the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meaning {
    /// The configuration, which `xl create -n` prints for the same file.
    ///
    /// A UUID that is not in the file is random, and so is the generation ID that
    /// `ms_vm_genid = "generate"` asks for.
    pub config: DomainConfig,
    /// The warnings, in the order in which they arose. `xl` gives most of them too, but silently
    /// ignores keys that it does not know, or does not know yet.
    pub warnings: Vec<Complaint>,
}

impl XlConfig {
    /// Returns the configuration that the file stands for, on a host and with the settings of `xl`
    /// itself.
    ///
    /// The rules are those of the `xl` that belongs to the libxl this crate was built for. Nothing
    /// is read but the arguments. Values that libxl itself would refuse later are not checked here:
    /// [`DomainConfig::validate`] finds some of them.
    ///
    /// # Errors
    ///
    /// A [`Complaint`] where `xl create` would refuse the file, where it would crash or loop, and
    /// for numbers of vCPUs that no Xen has. `cpuid` is refused on a host that was not made with
    /// [`Host::of`].
    pub fn domain_config(
        &self,
        host: &Host,
        xl_conf: &XlConf,
    ) -> std::result::Result<Meaning, Complaint> {
        let reader = Reader::new(self, host, xl_conf);
        reader.warn_of_strangers();
        let config = config(&reader)?;
        Ok(Meaning {
            config,
            warnings: reader.into_warnings(),
        })
    }
}

impl Context {
    /// Returns the configuration that a file of `xl` stands for on this host, with the settings in
    /// [`XlConf::PATH`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with the file, the line and the key of the
    /// mistake, [`ErrorKind::Io`](crate::ErrorKind::Io) when xl's own settings cannot be read,
    /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) when Xen does not answer.
    pub fn xl_domain_config(&self, file: &XlConfig) -> crate::Result<Meaning> {
        Ok(file.domain_config(&Host::of(self)?, &XlConf::read()?)?)
    }
}

fn config(reader: &Reader<'_>) -> Result<DomainConfig> {
    let kind = domain::kind(reader)?;
    let mut config = DomainConfig {
        c_info: domain::create_info(reader)?,
        b_info: BuildInfo {
            guest: kind.into(),
            ..BuildInfo::default()
        },
        ..DomainConfig::default()
    };
    build(reader, &mut config)?;
    devices(reader, &mut config)?;
    device_model::read(reader, &mut config)?;
    graphics::read(reader, &mut config)?;
    if let Guest::Hvm(hvm) = &mut config.b_info.guest {
        hvm::read_ports(reader, hvm)?;
    }
    config
        .vkbs
        .extend(keyboards::keyboards(reader, config.vkbs.len())?);
    cpus::apply_masks(reader, &mut config.b_info)?;
    Ok(config)
}

/// Reads the settings that are needed to build the domain.
fn build(reader: &Reader<'_>, config: &mut DomainConfig) -> Result<()> {
    let DomainConfig { c_info, b_info, .. } = config;
    domain::labels(reader, c_info, b_info);
    domain::build_info(reader, b_info)?;
    memory::read(reader, b_info)?;
    cpus::read(reader, b_info)?;
    timers::read(reader, b_info)?;
    boot::read(reader, b_info)?;
    match &mut b_info.guest {
        Guest::Hvm(_) => hvm::read(reader, b_info)?,
        Guest::Pv(_) | Guest::Pvh(_) => boot::firmware(reader, b_info)?,
    }
    b_info.altp2m = hvm::altp2m(reader)?;
    b_info.altp2m_count = hvm::altp2m_count(reader)?;
    b_info.cpuid = cpuid::read(reader)?;
    arm::read(reader, b_info)?;
    io::read(reader, b_info)?;
    actions::read(reader, config)
}

/// Reads the devices except keyboards, which come after the screens.
fn devices(reader: &Reader<'_>, config: &mut DomainConfig) -> Result<()> {
    pci::read(reader, config)?;
    config.disks = disks::disks(reader)?;
    config.p9s = p9::directories(reader, &config.c_info.name)?;
    config.vtpms = pv_devices::vtpms(reader)?;
    config.vdispls = pv_devices::displays(reader)?;
    config.pvcallsifs = pv_devices::sockets(reader)?;
    config.vsnds = sound::cards(reader)?;
    config.channels = channels::channels(reader)?;
    config.nics = nics::nics(reader)?;
    config.usbctrls = usb::controllers(reader)?;
    config.usbdevs = usb::devices(reader)?;
    config.virtios = virtio::devices(reader)?;
    Ok(())
}

#[cfg(test)]
mod tests;
