//! PCI devices of the host that are given to domains.
//!
//! A device is first made *assignable*: its driver in dom0 releases the device, and `pciback` takes
//! it, so that nothing in dom0 uses it any more. Then the device can be given to a domain, from its
//! start ([`DomainConfig::pcidevs`](crate::DomainConfig)) or later ([`Domain::pci_add`]). Once no
//! domain has the device, the program that made it assignable may give it back to dom0.
//!
//! ```no_run
//! use libxl::{Context, config::Pci};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ctx = Context::open()?;
//! let card: Pci = "0000:03:00.0".parse()?;
//! // Its driver in dom0 gets it back one day.
//! ctx.pci_assignable_add(&card, true)?;
//! let domain = ctx.domain_by_domid(ctx.name_to_domid("router")?)?;
//! domain.pci_add(&card)?.wait()?;
//! println!("{:?}", domain.pci_list()?);
//! domain.pci_remove(&card)?.wait()?;
//! ctx.pci_assignable_remove(&card, true)?;
//! # Ok(())
//! # }
//! ```

use std::{
    ffi::{CString, c_int},
    slice,
};

use libxl_sys as sys;

use crate::{
    Context, Domain, Error, ErrorKind, Operation, Result,
    config::{Pci, RdmReservePolicy},
    device::{OnDevice, Start},
    have::BUILT_FOR,
    raw::{Owned, c_string},
};

type Raw = sys::libxl_device_pci;

impl Context {
    /// Takes a device from its driver in dom0 and gives it to `pciback`, so that domains can have
    /// it.
    ///
    /// With `rebind` libxl records the driver in xenstore, for
    /// [`pci_assignable_remove`](Self::pci_assignable_remove).
    ///
    /// Any user of the device in dom0 loses it: a network interface disappears. A device that is
    /// assignable already is no error, but do not pass a device that a domain has. Blocks for as
    /// long as the drivers take.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when there is no such device, `pciback` is not loaded, a driver does
    /// not release the device, or Xen has no IOMMU for it; the log says which.
    #[doc(alias = "libxl_device_pci_assignable_add")]
    pub fn pci_assignable_add(&self, pci: &Pci, rebind: bool) -> Result<()> {
        const FUNCTION: &str = "libxl_device_pci_assignable_add";
        let raw = to_raw(FUNCTION, pci)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_device_pci_assignable_add(ctx, raw.as_ptr(), c_int::from(rebind)) }
        })
        .map_err(|e| about(e, pci))
    }

    /// Takes a device from `pciback`. With `rebind` the driver that libxl recorded gets the device
    /// back.
    ///
    /// A network interface may come back under another name. A device that is not assignable is no
    /// error.
    ///
    /// **A domain that has the device loses it without a warning**: check [`Domain::pci_list`]
    /// before. Blocks for as long as the drivers take.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`]; the log says why. The device may be left without a driver.
    #[doc(alias = "libxl_device_pci_assignable_remove")]
    pub fn pci_assignable_remove(&self, pci: &Pci, rebind: bool) -> Result<()> {
        const FUNCTION: &str = "libxl_device_pci_assignable_remove";
        let raw = to_raw(FUNCTION, pci)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and an initialised structure.
            unsafe {
                sys::libxl_device_pci_assignable_remove(ctx, raw.as_ptr(), c_int::from(rebind))
            }
        })
        .map_err(|e| about(e, pci))
    }

    /// The devices that `pciback` has and that domains can have, in no particular order. The list
    /// is also empty when `pciback` is not loaded, which libxl only logs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] for an invalid address.
    #[doc(alias = "libxl_device_pci_assignable_list")]
    #[doc(alias = "libxl_device_pci_assignable_list_free")]
    pub fn pci_assignable_list(&self) -> Result<Vec<Pci>> {
        let mut count: c_int = 0;
        // SAFETY: a live context and a place for the count.
        let list =
            unsafe { sys::libxl_device_pci_assignable_list(self.enter().ptr(), &raw mut count) };
        // SAFETY: what libxl has just returned.
        unsafe {
            take_list(
                "libxl_device_pci_assignable_list",
                list,
                count,
                ASSIGNABLE_FREE,
            )
        }
    }
}

impl Domain {
    /// Gives the domain an assignable device while it runs. With [`Pci::seize`] the device is made
    /// assignable first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] or [`ErrorKind::Failed`] when the device is not assignable, another
    /// domain has it, or this domain cannot take it; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_device_pci_add")]
    pub fn pci_add(&self, pci: &Pci) -> Result<Operation<()>> {
        self.pci(pci, "libxl_device_pci_add", sys::libxl_device_pci_add)
    }

    /// Takes a device from the domain. The device stays assignable.
    ///
    /// An HVM guest is asked, and keeps a device that it does not release. A PV guest is told when
    /// Xen has taken the device already. If it does not react, this succeeds all the same, and
    /// [`pci_list`](Self::pci_list) goes on naming the device.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when the domain does not have the device, [`ErrorKind::TimedOut`]
    /// when the guest does not release it, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_device_pci_remove")]
    pub fn pci_remove(&self, pci: &Pci) -> Result<Operation<()>> {
        self.pci(pci, "libxl_device_pci_remove", sys::libxl_device_pci_remove)
    }

    /// Takes a device from the domain whether the guest agrees or not. The device stays assignable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when the domain does not have the device,
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_device_pci_destroy")]
    pub fn pci_destroy(&self, pci: &Pci) -> Result<Operation<()>> {
        self.pci(
            pci,
            "libxl_device_pci_destroy",
            sys::libxl_device_pci_destroy,
        )
    }

    /// The devices that the domain has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`]; [`ErrorKind::Failed`] for an invalid address in xenstore.
    #[doc(alias = "libxl_device_pci_list")]
    #[doc(alias = "libxl_device_pci_list_free")]
    pub fn pci_list(&self) -> Result<Vec<Pci>> {
        const FUNCTION: &str = "libxl_device_pci_list";
        self.check(FUNCTION)?;
        let mut count: c_int = 0;
        // SAFETY: a live context and a place for the count.
        let list = unsafe {
            sys::libxl_device_pci_list(self.context().enter().ptr(), self.domid().0, &raw mut count)
        };
        // SAFETY: what libxl has just returned.
        unsafe { take_list(FUNCTION, list, count, FREE) }
    }

    fn pci(&self, pci: &Pci, function: &'static str, start: Start<Raw>) -> Result<Operation<()>> {
        let domain = self.clone();
        let call = OnDevice {
            function,
            domid: self.domid(),
            raw: to_raw(function, pci)?,
            start,
            result: |_, _| Ok(()),
        };
        Ok(Operation::new(self.context(), call).after(move || domain.check(function)))
    }
}

/// Adds the device to an error: libxl's functions for devices of the host name no domain.
fn about(error: Error, pci: &Pci) -> Error {
    error.with_message(format!("failed for PCI device {}", pci.address()))
}

/// Converts to libxl's structure. The address is checked here, because libxl's address has narrower
/// fields than the structure.
fn to_raw(function: &'static str, pci: &Pci) -> Result<Owned<Raw>> {
    let refused = |text: String| Error::new(ErrorKind::Invalid, function).with_message(text);
    if pci.domain > 0xffff || pci.dev > 0x1f || pci.func > 7 {
        return Err(refused(format!(
            "{} is no PCI address: the largest is ffff:ff:1f.7",
            pci.address()
        )));
    }
    let name = match &pci.name {
        Some(name) => Some(c_string(function, "name", name)?),
        None => None,
    };
    let owned = Owned::<Raw>::new();
    // SAFETY: an initialised structure that nobody else has yet.
    let raw = unsafe { &mut *owned.as_ptr() };
    raw.domain = c_int::try_from(pci.domain).unwrap_or(c_int::MAX);
    raw.bus = pci.bus;
    raw.dev = pci.dev;
    raw.func = pci.func;
    raw.vdevfn = pci.vdevfn.unwrap_or(raw.vdevfn);
    raw.vfunc_mask = pci.vfunc_mask.unwrap_or(raw.vfunc_mask);
    raw.msitranslate = pci.msitranslate;
    raw.power_mgmt = pci.power_mgmt;
    raw.permissive = pci.permissive;
    raw.seize = pci.seize;
    raw.rdm_policy = match &pci.rdm_policy {
        None => raw.rdm_policy,
        Some(RdmReservePolicy::Strict) => {
            sys::libxl_rdm_reserve_policy::LIBXL_RDM_RESERVE_POLICY_STRICT
        }
        Some(RdmReservePolicy::Relaxed) => {
            sys::libxl_rdm_reserve_policy::LIBXL_RDM_RESERVE_POLICY_RELAXED
        }
        Some(other) => return Err(refused(format!("rdm_policy: not known: {other:?}"))),
    };
    if let Some(name) = name {
        set_name(raw, &name)
            .map_err(|text| Error::new(ErrorKind::Unsupported, function).with_message(text))?;
    }
    Ok(owned)
}

#[cfg(libxl_have = "device_pci_name")]
fn set_name(raw: &mut Raw, name: &CString) -> std::result::Result<(), String> {
    // SAFETY: a NUL-terminated string. The copy is from malloc, and freed with the structure.
    raw.name = unsafe { libc::strdup(name.as_ptr()) };
    if raw.name.is_null() {
        return Err("no memory for the name".into());
    }
    Ok(())
}

#[cfg(not(libxl_have = "device_pci_name"))]
fn set_name(_: &mut Raw, name: &CString) -> std::result::Result<(), String> {
    Err(format!(
        "libxl {BUILT_FOR} has no place for: name ({name:?})"
    ))
}

/// Function that frees a list of devices.
type Free = unsafe extern "C" fn(*mut Raw, c_int);

#[cfg(libxl_have = "device_pci_list_free")]
const FREE: Free = sys::libxl_device_pci_list_free;
#[cfg(libxl_have = "device_pci_assignable_list_free")]
const ASSIGNABLE_FREE: Free = sys::libxl_device_pci_assignable_list_free;
#[cfg(not(libxl_have = "device_pci_list_free"))]
const FREE: Free = free_list;
#[cfg(not(libxl_have = "device_pci_assignable_list_free"))]
const ASSIGNABLE_FREE: Free = free_list;

/// Replaces libxl's own functions, which came with Xen 4.15.
#[cfg(any(
    test,
    not(libxl_have = "device_pci_list_free"),
    not(libxl_have = "device_pci_assignable_list_free")
))]
unsafe extern "C" fn free_list(list: *mut Raw, count: c_int) {
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller's promise: an initialised structure of the array, disposed of once.
        unsafe { sys::libxl_device_pci_dispose(list.add(at)) };
    }
    // SAFETY: from malloc, freed once.
    unsafe { libc::free(list.cast()) };
}

/// Copies a list of libxl's, and frees it.
///
/// # Safety
///
/// `list` is NULL, or an array of `count` structures from malloc that nobody else frees, and that
/// `free` frees.
unsafe fn take_list(
    function: &'static str,
    list: *mut Raw,
    count: c_int,
    free: Free,
) -> Result<Vec<Pci>> {
    if list.is_null() {
        // NULL means an empty list or a failure, which libxl has logged.
        return Ok(Vec::new());
    }
    let len = usize::try_from(count).unwrap_or(0);
    // SAFETY: not NULL, so the caller's promise.
    let pcis: Result<Vec<Pci>> = unsafe { slice::from_raw_parts(list, len) }
        .iter()
        .map(|raw| from_raw(function, raw))
        .collect();
    // SAFETY: the array and its length as libxl gave them, once.
    unsafe { free(list, count) };
    pcis
}

fn from_raw(function: &'static str, raw: &Raw) -> Result<Pci> {
    let domain = u16::try_from(raw.domain).map_err(|_| {
        Error::new(ErrorKind::Failed, function).with_message(format!(
            "libxl {BUILT_FOR} gave the PCI domain {}",
            raw.domain
        ))
    })?;
    Ok(Pci {
        vdevfn: (raw.vdevfn != 0).then_some(raw.vdevfn),
        vfunc_mask: (raw.vfunc_mask != 0).then_some(raw.vfunc_mask),
        msitranslate: raw.msitranslate,
        power_mgmt: raw.power_mgmt,
        permissive: raw.permissive,
        seize: raw.seize,
        ..Pci::new(domain, raw.bus, raw.dev, raw.func)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let pci = Pci {
            vdevfn: Some(0x28),
            permissive: true,
            seize: true,
            ..Pci::new(1, 0xff, 0x1f, 7)
        };
        let raw = to_raw("f", &pci).unwrap();
        assert_eq!(from_raw("f", raw.get()).unwrap(), pci);
        let plain = Pci::new(0, 0, 0x10, 0);
        let raw = to_raw("f", &plain).unwrap();
        assert_eq!(from_raw("f", raw.get()).unwrap(), plain);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for pci in [
            Pci {
                domain: 0x1_0000,
                ..Pci::default()
            },
            Pci {
                dev: 0x20,
                ..Pci::default()
            },
            Pci {
                func: 8,
                ..Pci::default()
            },
        ] {
            let error = to_raw("libxl_f", &pci).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("is no PCI address"), "{error}");
        }
        let named = Pci {
            name: Some("a\0b".into()),
            ..Pci::default()
        };
        let error = to_raw("libxl_f", &named).map(drop).unwrap_err();
        assert!(error.to_string().contains("NUL"), "{error}");
    }

    #[test]
    fn a_list_is_copied_and_freed() {
        for free in [FREE, ASSIGNABLE_FREE, free_list as Free] {
            // SAFETY: memory for two structures, which `init` makes valid.
            let list = unsafe {
                let list = libc::calloc(2, size_of::<Raw>()).cast::<Raw>();
                sys::libxl_device_pci_init(list);
                sys::libxl_device_pci_init(list.add(1));
                (*list).bus = 3;
                (*list.add(1)).dev = 4;
                list
            };
            // SAFETY: an array of two from malloc.
            let pcis = unsafe { take_list("f", list, 2, free) }.unwrap();
            assert_eq!(pcis, [Pci::new(0, 3, 0, 0), Pci::new(0, 0, 4, 0)]);
        }
        // SAFETY: NULL.
        let none = unsafe { take_list("f", std::ptr::null_mut(), 7, FREE) };
        assert_eq!(none.unwrap(), []);
    }
}
