//! Devices of the host that are passed through, and the memory that some of them claim.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use super::enums::RdmReservePolicy;

config_struct! {
    /// A PCI device that is passed through (`libxl_device_pci`).
    ///
    /// ```
    /// use libxl::config::Pci;
    ///
    /// let pci: Pci = "0000:07:00.1".parse()?;
    /// assert_eq!(pci, Pci::new(0, 7, 0, 1));
    /// # Ok::<(), libxl::config::InvalidPci>(())
    /// ```
    pub struct Pci {
        /// Function of the host's device.
        pub func: u8,
        /// Device number of the host's device.
        pub dev: u8,
        /// Bus of the host's device.
        pub bus: u8,
        /// Domain (segment) of the host's device.
        pub domain: u32,
        /// Slot and function that the guest sees, as `slot << 3 | function`. Default: the next free slot.
        pub vdevfn: Option<u32>,
        /// Mask of the functions that are passed through.
        ///
        /// [`Pci::ALL_FUNCTIONS`] passes all functions of the device through, and needs a slot in `vdevfn`. Any other
        /// value passes one function; `xl` writes 1.
        pub vfunc_mask: Option<u32>,
        /// Deliver the device's message signalled interrupts to the guest as line interrupts.
        pub msitranslate: bool,
        /// Let the guest set the device's power state. HVM.
        pub power_mgmt: bool,
        /// Let the guest write all of the device's configuration space.
        pub permissive: bool,
        /// Take the device from the host's driver if it is not assignable yet.
        pub seize: bool,
        /// Policy if the guest cannot keep clear of the device's reserved memory. HVM. Default: as in
        /// [`RdmReserve::policy`](super::RdmReserve::policy).
        pub rdm_policy: Option<RdmReservePolicy>,
        /// Name that the device got when it was made assignable, used instead of the address. Since Xen 4.15.
        pub name: Option<String>,
    }
}

impl Pci {
    /// The [`vfunc_mask`](Self::vfunc_mask) that passes all functions of a device through.
    pub const ALL_FUNCTIONS: u32 = u32::MAX;

    /// Creates a PCI device from the host's device at this address.
    pub fn new(domain: u16, bus: u8, dev: u8, func: u8) -> Self {
        Self {
            domain: domain.into(),
            bus,
            dev,
            func,
            ..Self::default()
        }
    }

    /// Returns the address in the host, such as `0000:07:00.1`.
    #[must_use]
    pub fn address(&self) -> String {
        let Self {
            domain,
            bus,
            dev,
            func,
            ..
        } = self;
        format!("{domain:04x}:{bus:02x}:{dev:02x}.{func:x}")
    }
}

/// The error for a text that is not a PCI address of the form `0000:07:00.1`, `07:00.1` or `07:00.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPci(String);

impl fmt::Display for InvalidPci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no PCI address, which is DDDD:BB:DD.F or BB:DD.F in hexadecimal digits, or * for all functions",
            self.0
        )
    }
}

impl Error for InvalidPci {}

/// Parses an address only: `0000:07:00.1`, or `07:00.1` in domain 0, or `07:00.*` for all functions.
impl FromStr for Pci {
    type Err = InvalidPci;

    fn from_str(text: &str) -> Result<Self, InvalidPci> {
        let number = |digits: &str, longest: usize, largest: u16| {
            let fits = (1..=longest).contains(&digits.len())
                && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            fits.then(|| u16::from_str_radix(digits, 16).ok())
                .flatten()
                .filter(|&number| number <= largest)
        };
        let byte = |digits, longest, largest: u8| {
            number(digits, longest, largest.into()).and_then(|number| u8::try_from(number).ok())
        };
        let parse = || {
            let (slot, func) = text.split_once('.')?;
            let (rest, dev) = slot.rsplit_once(':')?;
            let (domain, bus) = rest.split_once(':').unwrap_or(("0", rest));
            let all = func == "*";
            let func = if all { "0" } else { func };
            let pci = Self::new(
                number(domain, 4, 0xffff)?,
                byte(bus, 2, 0xff)?,
                byte(dev, 2, 0x1f)?,
                byte(func, 1, 7)?,
            );
            Some(Self {
                vfunc_mask: all.then_some(Self::ALL_FUNCTIONS),
                ..pci
            })
        };
        parse().ok_or_else(|| InvalidPci(text.to_owned()))
    }
}

config_struct! {
    /// A range of memory that the guest keeps clear of, because a device of the host claims it
    /// (`libxl_device_rdm`). x86.
    pub struct Rdm {
        /// First address of the range.
        pub start: u64,
        /// Length of the range, in bytes.
        pub size: u64,
        /// Policy if the guest cannot keep clear of the range.
        pub policy: Option<RdmReservePolicy>,
    }
}

config_struct! {
    /// A device of the host's device tree that is passed through (`libxl_device_dtdev`). Arm.
    pub struct Dtdev {
        /// Absolute path of the device in the device tree.
        pub path: Option<String>,
    }
}

impl Dtdev {
    /// Creates a device from the node at this path.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: Some(path.into()),
        }
    }
}
