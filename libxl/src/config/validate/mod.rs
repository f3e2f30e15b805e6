//! Checks of a configuration that do not need libxl.

mod build;
mod check;
mod devices;
mod values;

use super::create_info::CreateInfo;
use super::disk::Disk;
use super::display::{Vdispl, Vfb, Vkb};
use super::domain_config::DomainConfig;
use super::error::Invalid;
use super::misc::{Channel, P9, Pvcallsif, Virtio, Vtpm};
use super::nic::Nic;
use super::pci::{Dtdev, Pci};
use super::usb::{Usbctrl, Usbdev};
use super::vsnd::Vsnd;
use crate::DomId;
use check::{Check, required, validate};
use values::validate_values;

pub(super) use values::largest;
pub(crate) use values::{MAX_MEMKB, check_values};

/// libxl's mark for "any domid".
const RANDOM_DOMID: u32 = 0xffff_fffe;

impl DomainConfig {
    /// Checks for values that libxl would mishandle.
    ///
    /// These are values that libxl's parser drops or cuts off, and values with which libxl accesses memory out of
    /// bounds, aborts the process, or takes another device than the intended one. This crate runs the check before a
    /// configuration reaches libxl.
    ///
    /// The check leaves values to libxl that libxl itself refuses with a message.
    ///
    /// # Errors
    ///
    /// Returns the first field that must not reach libxl.
    pub fn validate(&self) -> Result<(), Invalid> {
        validate(self)
    }

    /// Checks the requirements of each type, as [`validate`](Self::validate) does once all strings and numbers are checked.
    pub(crate) fn validate_types(&self) -> Result<(), Invalid> {
        self.check("")
    }
}

impl Disk {
    /// Checks the fields that identify one of a domain's disks.
    ///
    /// libxl lists a drive without a disc with an empty path and without a format. As a new disk, such a drive would be
    /// refused.
    pub(crate) fn validate_name(&self) -> Result<(), Invalid> {
        validate_values(self)?;
        required("", "vdev", self.vdev.as_deref())
    }
}

macro_rules! validate_devices {
    ($($device:ident),* $(,)?) => { $(
        impl $device {
            /// Checks one device in the way that [`DomainConfig::validate`] checks all devices.
            ///
            /// # Errors
            ///
            /// Returns the first field that must not reach libxl.
            pub fn validate(&self) -> Result<(), Invalid> {
                validate(self)
            }
        }
    )* };
}

validate_devices!(
    Channel, Disk, Dtdev, Nic, P9, Pci, Pvcallsif, Usbctrl, Usbdev, Vdispl, Vfb, Virtio, Vkb, Vsnd,
    Vtpm,
);

impl Check for DomainConfig {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        fn each<T: Check>(at: &str, list: &str, values: &[T]) -> Result<(), Invalid> {
            values
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| value.check(&format!("{at}{list}[{index}].")))
        }
        let Self {
            c_info,
            b_info,
            disks,
            nics,
            pcidevs,
            rdms,
            dtdevs,
            vfbs,
            vkbs,
            virtios,
            vtpms,
            p9s,
            pvcallsifs,
            vdispls,
            vsnds,
            channels,
            usbctrls,
            usbdevs,
            on_poweroff: _,
            on_reboot: _,
            on_watchdog: _,
            on_crash: _,
            on_soft_reset: _,
        } = self;
        c_info.check(&format!("{at}c_info."))?;
        b_info.check(&format!("{at}b_info."))?;
        each(at, "disks", disks)?;
        each(at, "nics", nics)?;
        each(at, "pcidevs", pcidevs)?;
        each(at, "rdms", rdms)?;
        each(at, "dtdevs", dtdevs)?;
        each(at, "vfbs", vfbs)?;
        each(at, "vkbs", vkbs)?;
        each(at, "virtios", virtios)?;
        each(at, "vtpms", vtpms)?;
        each(at, "p9s", p9s)?;
        each(at, "pvcallsifs", pvcallsifs)?;
        each(at, "vdispls", vdispls)?;
        each(at, "vsnds", vsnds)?;
        each(at, "channels", channels)?;
        each(at, "usbctrls", usbctrls)?;
        each(at, "usbdevs", usbdevs)
    }
}

impl Check for CreateInfo {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        required(at, "name", Some(&self.name))?;
        if self.name.contains('/') {
            // libxl, QEMU and xenconsoled name log files after the domain.
            return Err(Invalid::new(
                format!("{at}name"),
                "contains a slash, but files are named after it",
            ));
        }
        if self.uuid.is_none_or(|uuid| uuid.is_nil()) {
            return Err(Invalid::new(
                format!("{at}uuid"),
                "is not set, and libxl would use the nil UUID",
            ));
        }
        // Xen has 16 bits for a domid, and treats a domid that no guest can have as "any".
        let any = |domid| domid == 0 || domid == RANDOM_DOMID;
        match self.domid.filter(|&domid| !any(domid)) {
            Some(domid) if !DomId(domid).is_guest() => Err(Invalid::new(
                format!("{at}domid"),
                format!(
                    "is {domid}, and the largest id of a guest is {}",
                    DomId::LAST_GUEST
                ),
            )),
            _ => Ok(()),
        }
    }
}
