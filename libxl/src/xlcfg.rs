//! The files of `xl`: their grammar, and their meaning.
//!
//! [`XlConfig`] reads a file of keys and values with `xl`'s own parser, libxlutil. The `parse_*`
//! functions read the small languages within some values: disks, PCI devices, rates.
//!
//! [`XlConfig::domain_config`] turns a file into the [`DomainConfig`](crate::DomainConfig) that
//! `xl create -n` prints for the same file. The rules are those of the `xl` that belongs to the
//! libxl this crate was built for: defaults, old spellings, warnings and refusals. [`KEYS`] lists
//! the keys; `docs/xl-cfg.md` in the repository describes where the two differ.
//!
//! ```
//! use libxl::xlcfg::{Host, XlConf, XlConfig};
//!
//! let text = r#"
//!     name = "web"
//!     type = "pvh"
//!     kernel = "/boot/vmlinuz-guest"
//!     memory = 512
//!     disk = [ "/dev/vg/web,raw,xvda,rw" ]
//! "#;
//! let file = XlConfig::parse(text, "web.cfg")?;
//! assert_eq!(file.number("memory")?, Some(512));
//!
//! let meaning = file.domain_config(&Host::new(4), &XlConf::default())?;
//! assert_eq!(meaning.config.b_info.max_memkb, Some(512 * 1024));
//! assert_eq!(meaning.config.disks[0].vdev.as_deref(), Some("xvda"));
//! assert!(meaning.warnings.is_empty());
//!
//! let wrong = XlConfig::parse("name = 'web'\ntype = 'qemu'", "wrong.cfg")?;
//! let refused = wrong.domain_config(&Host::new(4), &XlConf::default()).unwrap_err();
//! assert!(refused.to_string().starts_with("wrong.cfg:2: type: "), "{refused}");
//! # Ok::<(), libxl::Error>(())
//! ```

mod meaning;
mod report;
mod source;
mod specs;

use std::{
    ffi::{CStr, CString, c_char, c_int, c_long},
    fmt, fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr::{self, NonNull},
};

use libxl_sys as sys;

use self::{report::Report, source::Source};
use crate::{
    Error, ErrorKind, Result,
    config::Pci,
    raw::{Owned, c_string, copy_str},
};

pub use self::{
    meaning::{Complaint, Host, KEYS, Key, Meaning, XlConf},
    source::Place,
    specs::{parse_disk, parse_rdm, parse_vif_rate},
};

/// A value in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A text or a number; the grammar does not distinguish the two.
    String(String),
    /// A list.
    List(Vec<Value>),
}

/// A configuration of libxlutil, and its complaints.
struct Raw {
    raw: NonNull<sys::XLU_Config>,
    report: Report,
}

// SAFETY: plain memory and a stream of its own, tied to no thread.
unsafe impl Send for Raw {}

impl Raw {
    fn new(function: &'static str, name: &str) -> Result<Self> {
        let name = c_string(function, "name", name)?;
        let report = Report::new(function)?;
        // SAFETY: a stream that outlives the configuration, and a NUL-terminated name, which is
        // copied.
        let raw = unsafe { sys::xlu_cfg_init(report.stream.as_ptr().cast(), name.as_ptr()) };
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw, report }),
            None => Err(Error::new(ErrorKind::NoMemory, function)),
        }
    }

    fn as_ptr(&self) -> *mut sys::XLU_Config {
        self.raw.as_ptr()
    }

    /// Turns an errno value that is not 0 into an error with libxlutil's complaints.
    fn check(&self, function: &'static str, errno: c_int) -> Result<()> {
        if errno == 0 {
            return Ok(());
        }
        let report = self.report.take();
        let report = report.trim().replace('\n', "; ");
        let (kind, reason) = match errno {
            // Some functions pass on a code of libxl's.
            ..0 => (ErrorKind::Invalid, "not understood".to_owned()),
            libc::EINVAL => (ErrorKind::Invalid, "not understood".to_owned()),
            libc::ERANGE | libc::EOVERFLOW => (ErrorKind::Invalid, "out of range".to_owned()),
            libc::ENOMEM => (ErrorKind::NoMemory, "not enough memory".to_owned()),
            other => {
                let error = std::io::Error::from_raw_os_error(other);
                (ErrorKind::Io, error.to_string())
            }
        };
        let message = if report.is_empty() { reason } else { report };
        Err(Error::new(kind, function).with_message(message))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: live, destroyed once, before its stream.
        unsafe { sys::xlu_cfg_destroy(self.raw.as_ptr()) };
    }
}

/// A file of keys and values that has been read.
#[doc(alias = "XLU_Config")]
#[doc(alias = "xlu_cfg_destroy")]
pub struct XlConfig(Raw, Source);

impl fmt::Debug for XlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XlConfig")
            .field("name", &self.1.name)
            .finish_non_exhaustive()
    }
}

impl XlConfig {
    /// Parses a text; `name` stands for the file in complaints.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] with the place of the mistake.
    #[doc(alias = "xlu_cfg_init")]
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        Self::parse_bytes(text.as_bytes(), Source::new(name, text.as_bytes()))
    }

    #[doc(alias = "xlu_cfg_readdata")]
    fn parse_bytes(text: &[u8], source: Source) -> Result<Self> {
        const FUNCTION: &str = "xlu_cfg_readdata";
        let raw = Raw::new(FUNCTION, &source.name)?;
        let length = c_int::try_from(text.len()).map_err(|_| {
            Error::new(ErrorKind::Invalid, FUNCTION).with_message(format!(
                "{}: {} bytes are too many",
                source.name,
                text.len()
            ))
        })?;
        // SAFETY: xlu_cfg_readdata copies `length` bytes into a configuration that is fresh.
        let errno = unsafe { sys::xlu_cfg_readdata(raw.as_ptr(), text.as_ptr().cast(), length) };
        raw.check(FUNCTION, errno)?;
        Self(raw, source).all_text()
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Invalid`] with the place of the
    /// mistake.
    #[doc(alias = "xlu_cfg_readfile")]
    pub fn read(path: &Path) -> Result<Self> {
        const FUNCTION: &str = "xlu_cfg_readfile";
        let name = path.display().to_string();
        let raw = Raw::new(FUNCTION, &name)?;
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| {
            Error::new(ErrorKind::Invalid, FUNCTION).with_message("path: contains a NUL byte")
        })?;
        // SAFETY: xlu_cfg_readfile opens a NUL-terminated path and fills a configuration that is
        // fresh.
        let errno = unsafe { sys::xlu_cfg_readfile(raw.as_ptr(), c_path.as_ptr()) };
        raw.check(FUNCTION, errno)?;
        // The text is needed only to find keys that `xl` does not know.
        let text = fs::read(path).unwrap_or_default();
        Self(raw, Source::new(&name, &text)).all_text()
    }

    /// Returns the text of a key; `None` if the file does not have the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a list.
    #[doc(alias = "xlu_cfg_get_string")]
    pub fn string(&self, name: &str) -> Result<Option<String>> {
        let mut value: *const c_char = ptr::null();
        let found = self.get("xlu_cfg_get_string", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_string(cfg, name, &raw mut value, 0) }
        })?;
        // SAFETY: on success a string of the configuration's.
        Ok(found.then(|| unsafe { copy_str(value) }).flatten())
    }

    /// Returns the number of a key; `None` if the file does not have the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a value that is no number.
    #[doc(alias = "xlu_cfg_get_long")]
    pub fn number(&self, name: &str) -> Result<Option<i64>> {
        let mut value: c_long = 0;
        let found = self.get("xlu_cfg_get_long", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_long(cfg, name, &raw mut value, 0) }
        })?;
        #[allow(clippy::useless_conversion)] // c_long is not 64 bits wide everywhere.
        Ok(found.then(|| i64::from(value)))
    }

    /// As [`number`](Self::number), within bounds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a value that is no number, or out of bounds.
    #[doc(alias = "xlu_cfg_get_bounded_long")]
    pub fn number_within(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>> {
        let mut value: c_long = 0;
        let bound = |bound: i64, limit| c_long::try_from(bound).unwrap_or(limit);
        let (min, max) = (bound(min, c_long::MIN), bound(max, c_long::MAX));
        let found = self.get("xlu_cfg_get_bounded_long", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_bounded_long(cfg, name, min, max, &raw mut value, 0) }
        })?;
        #[allow(clippy::useless_conversion)] // As above.
        Ok(found.then(|| i64::from(value)))
    }

    /// Returns the yes or no of a key, 1 or 0 in the file; `None` if the file does not have the
    /// key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for any other value.
    #[doc(alias = "xlu_cfg_get_defbool")]
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        let mut value = sys::libxl_defbool { val: 0 };
        let found = self.get("xlu_cfg_get_defbool", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_defbool(cfg, name, &raw mut value, 0) }
        })?;
        // Positive is yes, negative no.
        Ok((found && value.val != 0).then_some(value.val > 0))
    }

    /// Returns the list of a key; `None` if the file does not have the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a value that is no list.
    #[doc(alias = "xlu_cfg_get_list")]
    #[doc(alias = "xlu_cfg_get_listitem2")]
    #[doc(alias = "xlu_cfg_value_type")]
    #[doc(alias = "xlu_cfg_value_get_string")]
    #[doc(alias = "xlu_cfg_value_get_list")]
    pub fn list(&self, name: &str) -> Result<Option<Vec<Value>>> {
        let mut list = ptr::null_mut();
        let found = self.get("xlu_cfg_get_list", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place for the list;
            // the length is not asked for.
            unsafe { sys::xlu_cfg_get_list(cfg, name, &raw mut list, ptr::null_mut(), 0) }
        })?;
        if !found {
            return Ok(None);
        }
        self.items(list).map(Some)
    }

    /// Returns the list of texts of a key; a single text stands for a list of one. `None` if the
    /// file does not have the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a list with a list in it.
    #[doc(alias = "xlu_cfg_get_list_as_string_list")]
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        if let Ok(Some(one)) = self.quietly_string(name) {
            return Ok(Some(vec![one]));
        }
        let mut list: sys::libxl_string_list = ptr::null_mut();
        let found = self.get("xlu_cfg_get_list_as_string_list", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_list_as_string_list(cfg, name, &raw mut list, 0) }
        })?;
        if !found {
            return Ok(None);
        }
        let mut strings = Vec::new();
        let mut at = list;
        // SAFETY: an array of strings with a NULL at its end, or NULL.
        while let Some(one) = unsafe { at.as_ref().and_then(|text| copy_str(*text)) } {
            strings.push(one);
            // SAFETY: not yet at the end.
            at = unsafe { at.add(1) };
        }
        // SAFETY: ours to free, once.
        unsafe { sys::libxl_string_list_dispose(&raw mut list) };
        // libxlutil ends the list at an inner list, and reports success.
        let whole = self.list(name)?.map_or(0, |list| list.len());
        if strings.len() != whole {
            return Err(
                Error::new(ErrorKind::Invalid, "xlu_cfg_get_list_as_string_list")
                    .with_message(format!("{name}: the list has a list in it")),
            );
        }
        Ok(Some(strings))
    }

    fn quietly_string(&self, name: &str) -> Result<Option<String>> {
        let mut value: *const c_char = ptr::null();
        let found = self.get("xlu_cfg_get_string", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_string(cfg, name, &raw mut value, 1) }
        })?;
        // SAFETY: on success a string of the configuration's.
        Ok(found.then(|| unsafe { copy_str(value) }).flatten())
    }

    fn items(&self, list: *mut sys::XLU_ConfigList) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        for index in 0.. {
            // SAFETY: a list of this configuration; beyond its end there is NULL.
            let item = unsafe { sys::xlu_cfg_get_listitem2(list, index) };
            if item.is_null() {
                break;
            }
            items.push(self.value(item)?);
        }
        Ok(items)
    }

    fn value(&self, value: *mut sys::XLU_ConfigValue) -> Result<Value> {
        let cfg = self.0.as_ptr();
        // SAFETY: a value of this configuration.
        if unsafe { sys::xlu_cfg_value_type(value) } == sys::XLU_ConfigValueType::XLU_LIST {
            let mut list = ptr::null_mut();
            // SAFETY: as above, and a place for the list.
            let errno = unsafe { sys::xlu_cfg_value_get_list(cfg, value, &raw mut list, 0) };
            self.0.check("xlu_cfg_value_get_list", errno)?;
            return Ok(Value::List(self.items(list)?));
        }
        let mut text = ptr::null_mut();
        // SAFETY: as above, and a place for the text, which stays the configuration's.
        let errno = unsafe { sys::xlu_cfg_value_get_string(cfg, value, &raw mut text, 0) };
        self.0.check("xlu_cfg_value_get_string", errno)?;
        // SAFETY: on success a string of the configuration's.
        Ok(Value::String(unsafe { copy_str(text) }.unwrap_or_default()))
    }

    /// Fails if a value is not UTF-8: the bytes could only be replaced, and a path with replaced
    /// bytes is another path.
    fn all_text(self) -> Result<Self> {
        for key in self.keys() {
            let mut text: *const c_char = ptr::null();
            let mut list = ptr::null_mut();
            let is_string = self.get("xlu_cfg_get_string", key, |cfg, key| {
                // SAFETY: a configuration that was read, a NUL-terminated name, a place.
                unsafe { sys::xlu_cfg_get_string(cfg, key, &raw mut text, 1) }
            });
            let good = if let Ok(true) = is_string {
                // SAFETY: on success a string of the configuration's.
                unsafe { is_text(text) }
            } else {
                let found = self.get("xlu_cfg_get_list", key, |cfg, key| {
                    // SAFETY: as above; the length is not asked for.
                    unsafe { sys::xlu_cfg_get_list(cfg, key, &raw mut list, ptr::null_mut(), 1) }
                });
                !matches!(found, Ok(true)) || self.is_list_of_text(list)
            };
            if !good {
                let place = match self.place(key) {
                    Some(Place::Line(line)) => format!("{}:{line}", self.name()),
                    Some(Place::Override(text)) => format!("{text:?}"),
                    None => self.name().to_owned(),
                };
                return Err(Error::new(ErrorKind::Invalid, "xlu_cfg_readdata")
                    .with_message(format!("{place}: {key}: has bytes that are not UTF-8")));
            }
        }
        self.0.report.take();
        Ok(self)
    }

    fn is_list_of_text(&self, list: *mut sys::XLU_ConfigList) -> bool {
        let cfg = self.0.as_ptr();
        for index in 0.. {
            // SAFETY: a list of this configuration; beyond its end there is NULL.
            let item = unsafe { sys::xlu_cfg_get_listitem2(list, index) };
            if item.is_null() {
                break;
            }
            let (mut inner, mut text) = (ptr::null_mut(), ptr::null_mut());
            // SAFETY: a value of this configuration, and places for what is found in it, which stays
            // the configuration's.
            let good = unsafe {
                if sys::xlu_cfg_value_type(item) == sys::XLU_ConfigValueType::XLU_LIST {
                    sys::xlu_cfg_value_get_list(cfg, item, &raw mut inner, 1) != 0
                        || self.is_list_of_text(inner)
                } else {
                    sys::xlu_cfg_value_get_string(cfg, item, &raw mut text, 1) != 0 || is_text(text)
                }
            };
            if !good {
                return false;
            }
        }
        true
    }

    /// Returns true if the file has the name; passes on the errors of `get`.
    fn get(
        &self,
        function: &'static str,
        name: &str,
        get: impl FnOnce(*mut sys::XLU_Config, *const c_char) -> c_int,
    ) -> Result<bool> {
        let name = c_string(function, "name", name)?;
        match get(self.0.as_ptr(), name.as_ptr()) {
            libc::ESRCH => Ok(false),
            errno => self.0.check(function, errno).map(|()| true),
        }
    }
}

/// Returns true if a C string is NULL or UTF-8.
///
/// # Safety
///
/// `raw` is NULL, or NUL-terminated.
unsafe fn is_text(raw: *const c_char) -> bool {
    // SAFETY: as the caller promises.
    raw.is_null() || unsafe { CStr::from_ptr(raw) }.to_str().is_ok()
}

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
fn parse_pci_with(spec: &str, preset: &Pci) -> Result<Pci> {
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
        fresh.rdm_policy = specs::policy_to_c(preset);
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
        rdm_policy: specs::policy(raw.rdm_policy),
        #[cfg(libxl_have = "device_pci_name")]
        // SAFETY: of an initialised structure.
        name: unsafe { copy_str(raw.name) },
        ..Pci::new(0, raw.bus, raw.dev, raw.func)
    })
}

#[cfg(test)]
mod tests;
