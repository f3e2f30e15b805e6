//! The language in which `xl.cfg` names PCI devices.

use std::ffi::{c_char, c_int};

use libxl_sys as sys;

use super::{
    libxlutil::Raw,
    specs::{policy, policy_to_c},
};
#[cfg(libxl_have = "device_pci_name")]
use crate::raw::copy_str;
use crate::{
    Error, ErrorKind, Result,
    config::Pci,
    raw::{Owned, c_string},
};

/// Parses a PCI device in the syntax of `xl.cfg`: an address with options,
/// `07:00.1@5,permissive=1`.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] with a description of the mistake.
#[doc(alias = "xlu_pci_parse_spec_string")]
pub fn parse_pci(spec: &str) -> Result<Pci> {
    parse_pci_with(spec, &Pci::default())
}

/// As [`parse_pci`], with the options of `preset` for those that the text does not have.
pub(super) fn parse_pci_with(spec: &str, preset: &Pci) -> Result<Pci> {
    #[cfg(libxl_have = "device_pci_name")]
    return pci(
        "xlu_pci_parse_spec_string",
        spec,
        preset,
        sys::xlu_pci_parse_spec_string,
    );
    // Up to Xen 4.14 one function parses both.
    #[cfg(not(libxl_have = "device_pci_name"))]
    pci("xlu_pci_parse_bdf", spec, preset, sys::xlu_pci_parse_bdf)
}

/// Parses the address of a PCI device. [`Pci`] can parse it as well, without libxl.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] with a description of the mistake.
#[doc(alias = "xlu_pci_parse_bdf")]
pub fn parse_pci_bdf(address: &str) -> Result<Pci> {
    pci(
        "xlu_pci_parse_bdf",
        address,
        &Pci::default(),
        sys::xlu_pci_parse_bdf,
    )
}

type ParsePci =
    unsafe extern "C" fn(*mut sys::XLU_Config, *mut sys::libxl_device_pci, *const c_char) -> c_int;

/// Refuses addresses that libxlutil would not survive.
///
/// An address that ends before its function leads libxlutil to an uninitialised place in memory
/// (Xen 4.15 to 4.22), and one that means all functions ends the process (up to 4.14).
fn survives(spec: &str) -> std::result::Result<(), &'static str> {
    // An address comes first, or after `bdf=`.
    let addresses = spec
        .split(',')
        .enumerate()
        .filter_map(|(at, part)| part.strip_prefix("bdf=").or((at == 0).then_some(part)));
    for address in addresses {
        let is_ours = |c: char| c.is_ascii_hexdigit() || c == ':';
        let slot = address.split(|c| !is_ours(c)).next().unwrap_or_default();
        let rest = &address[slot.len()..];
        let colons = slot.matches(':').count();
        if (1..=2).contains(&colons) && !rest.starts_with('.') {
            return Err("the address of a device ends in a point and its function");
        }
        if cfg!(not(libxl_have = "device_pci_name")) && rest.starts_with(".*") {
            return Err("this libxlutil cannot be told of all functions");
        }
    }
    Ok(())
}

fn pci(function: &'static str, spec: &str, preset: &Pci, parse: ParsePci) -> Result<Pci> {
    let config = Raw::new(function, "pci")?;
    let text = c_string(function, "pci", spec)?;
    survives(spec).map_err(|why| {
        Error::new(ErrorKind::Invalid, function).with_message(format!("pci: {spec:?}: {why}"))
    })?;
    let raw = Owned::<sys::libxl_device_pci>::new();
    // SAFETY: an initialised structure, of which no reference exists.
    let fresh = unsafe { &mut *raw.as_ptr() };
    fresh.msitranslate = preset.msitranslate;
    fresh.power_mgmt = preset.power_mgmt;
    fresh.permissive = preset.permissive;
    fresh.seize = preset.seize;
    if let Some(preset) = &preset.rdm_policy {
        fresh.rdm_policy = policy_to_c(preset);
    }
    // SAFETY: a configuration for complaints, an initialised structure and a text.
    let errno = unsafe { parse(config.as_ptr(), raw.as_ptr(), text.as_ptr()) };
    config.check(function, errno)?;
    let raw = raw.get();
    Ok(Pci {
        domain: u32::try_from(raw.domain).unwrap_or(0),
        vdevfn: (raw.vdevfn != 0).then_some(raw.vdevfn),
        vfunc_mask: (raw.vfunc_mask != 0).then_some(raw.vfunc_mask),
        msitranslate: raw.msitranslate,
        power_mgmt: raw.power_mgmt,
        permissive: raw.permissive,
        seize: raw.seize,
        rdm_policy: policy(raw.rdm_policy),
        #[cfg(libxl_have = "device_pci_name")]
        // SAFETY: of an initialised structure.
        name: unsafe { copy_str(raw.name) },
        ..Pci::new(0, raw.bus, raw.dev, raw.func)
    })
}
