//! The grammar of `xl.cfg`: files of names and values, and the small languages of disks, PCI devices
//! and rates that stand in them.
//!
//! A file is read with `xl`'s own parser, libxlutil. What a name means is not its business: the
//! hundreds of them that `xl` knows are `xl`'s own, and [`DomainConfig`](crate::DomainConfig) has
//! libxl's. What the *values* of `disk`, `pci`, `rdm` and of a `vif`'s `rate` mean, it does know.
//!
//! ```
//! use libxl::xlcfg::{Value, XlConfig, parse_vif_rate};
//!
//! let text = r#"
//!     name = "web"
//!     memory = 512
//!     disk = [ "/dev/vg/web,raw,xvda,rw", "/images/data.qcow2,qcow2,xvdb,ro" ]
//! "#;
//! let config = XlConfig::parse(text, "web.cfg")?;
//! assert_eq!(config.string("name")?.as_deref(), Some("web"));
//! assert_eq!(config.number("memory")?, Some(512));
//! assert_eq!(config.list("disk")?.map(|disks| disks.len()), Some(2));
//! assert_eq!(config.string("nothing")?, None);
//!
//! let wrong = XlConfig::parse("memory = = 3", "wrong.cfg").unwrap_err();
//! assert!(wrong.to_string().contains("wrong.cfg:1"), "{wrong}");
//!
//! assert_eq!(parse_vif_rate("1MB/s@20ms")?.rate_bytes_per_interval, Some(20_000));
//! # Ok::<(), libxl::Error>(())
//! ```

use std::{
    ffi::{CString, c_char, c_int, c_long, c_void},
    fmt,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr::{self, NonNull},
};

use libxl_sys as sys;

use crate::{
    Context, Error, ErrorKind, Result,
    config::{Disk, Nic, Pci, RdmReserve, RdmReservePolicy, RdmReserveStrategy},
    raw::{Owned, c_string, copy_str},
};

/// A value in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A text or a number, which are the same.
    String(String),
    /// A list.
    List(Vec<Value>),
}

/// Where libxlutil writes its complaints: a stream into memory.
struct Report {
    stream: NonNull<libc::FILE>,
    /// From Box::into_raw: the stream keeps a pointer to both.
    text: *mut Text,
}

struct Text {
    at: *mut c_char,
    length: usize,
}

impl Report {
    fn new(function: &'static str) -> Result<Self> {
        let text = Box::into_raw(Box::new(Text {
            at: ptr::null_mut(),
            length: 0,
        }));
        // SAFETY: two places that live as long as the stream.
        let stream = unsafe { libc::open_memstream(&raw mut (*text).at, &raw mut (*text).length) };
        match NonNull::new(stream) {
            Some(stream) => Ok(Self { stream, text }),
            None => {
                // SAFETY: from Box::into_raw, and nobody came to know it.
                drop(unsafe { Box::from_raw(text) });
                Err(Error::new(ErrorKind::NoMemory, function))
            }
        }
    }

    /// What has been written since the last call.
    fn take(&self) -> String {
        // SAFETY: a live stream; after the flush its text is complete, and ends with a NUL.
        unsafe {
            libc::fflush(self.stream.as_ptr());
            let text = copy_str((*self.text).at).unwrap_or_default();
            libc::rewind(self.stream.as_ptr());
            // The next text is seen to its own end.
            libc::fflush(self.stream.as_ptr());
            text
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: a live stream, closed once; its text is from malloc then, and ours.
        unsafe {
            libc::fclose(self.stream.as_ptr());
            libc::free((*self.text).at.cast::<c_void>());
            drop(Box::from_raw(self.text));
        }
    }
}

/// An empty configuration of libxlutil's, for its complaints.
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

    /// Makes an error of an errno value that is not 0, with what was complained about.
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

/// A file of names and values that has been read.
#[doc(alias = "XLU_Config")]
#[doc(alias = "xlu_cfg_destroy")]
pub struct XlConfig(Raw);

impl fmt::Debug for XlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XlConfig").finish_non_exhaustive()
    }
}

impl XlConfig {
    /// Reads a text; `name` stands for the file in complaints.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] with the place of what is wrong.
    #[doc(alias = "xlu_cfg_init")]
    #[doc(alias = "xlu_cfg_readdata")]
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        const FUNCTION: &str = "xlu_cfg_readdata";
        let raw = Raw::new(FUNCTION, name)?;
        let length = c_int::try_from(text.len()).map_err(|_| {
            Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("{name}: {} bytes are too many", text.len()))
        })?;
        // SAFETY: a fresh configuration and `length` bytes, which are copied.
        let errno = unsafe { sys::xlu_cfg_readdata(raw.as_ptr(), text.as_ptr().cast(), length) };
        raw.check(FUNCTION, errno)?;
        Ok(Self(raw))
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Invalid`] with the place of what is
    /// wrong.
    #[doc(alias = "xlu_cfg_readfile")]
    pub fn read(path: &Path) -> Result<Self> {
        const FUNCTION: &str = "xlu_cfg_readfile";
        let raw = Raw::new(FUNCTION, &path.display().to_string())?;
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| {
            Error::new(ErrorKind::Invalid, FUNCTION).with_message("path: contains a NUL byte")
        })?;
        // SAFETY: a fresh configuration and a NUL-terminated path.
        let errno = unsafe { sys::xlu_cfg_readfile(raw.as_ptr(), path.as_ptr()) };
        raw.check(FUNCTION, errno)?;
        Ok(Self(raw))
    }

    /// The text that belongs to a name; `None` if the file does not have it.
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

    /// The number that belongs to a name; `None` if the file does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is no number.
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

    /// The same, within bounds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is no number, or out of bounds.
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

    /// The yes or no that belongs to a name, 1 or 0; `None` if the file does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is neither.
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

    /// The list that belongs to a name; `None` if the file does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is no list.
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

    /// The list of texts that belongs to a name; a single text stands for a list of one. `None` if
    /// the file does not have it.
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
        // libxlutil ends the list where a list is in it, and reports success.
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

    /// Whether the file has the name; the errors of `get` are passed on.
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

impl Context {
    /// Reads a disk as `xl.cfg` has it: `/dev/vg/web,raw,xvda,rw`, or with names for the parts:
    /// `format=qcow2, vdev=xvdb, access=ro, target=/images/data.qcow2`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] with what is wrong.
    #[doc(alias = "xlu_disk_parse")]
    pub fn parse_disk(&self, spec: &str) -> Result<Disk> {
        const FUNCTION: &str = "xlu_disk_parse";
        let config = Raw::new(FUNCTION, "disk")?;
        let text = c_string(FUNCTION, "disk", spec)?;
        let specs = [text.as_ptr()];
        let disk = Owned::<sys::libxl_device_disk>::new();
        // SAFETY: a configuration for complaints, one text, and an initialised structure.
        let errno =
            unsafe { sys::xlu_disk_parse(config.as_ptr(), 1, specs.as_ptr(), disk.as_ptr()) };
        config.check(FUNCTION, errno)?;
        self.read_c(disk.as_ptr())
    }
}

/// Reads a PCI device as `xl.cfg` has it: an address with options, `07:00.1@5,permissive=1`.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] with what is wrong.
#[doc(alias = "xlu_pci_parse_spec_string")]
pub fn parse_pci(spec: &str) -> Result<Pci> {
    #[cfg(libxl_have = "device_pci_name")]
    return pci(
        "xlu_pci_parse_spec_string",
        spec,
        sys::xlu_pci_parse_spec_string,
    );
    // Up to Xen 4.14 that was one function.
    #[cfg(not(libxl_have = "device_pci_name"))]
    pci("xlu_pci_parse_bdf", spec, sys::xlu_pci_parse_bdf)
}

/// Reads the address of a PCI device. [`Pci`] can do that as well, and without libxl.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] with what is wrong.
#[doc(alias = "xlu_pci_parse_bdf")]
pub fn parse_pci_bdf(address: &str) -> Result<Pci> {
    pci("xlu_pci_parse_bdf", address, sys::xlu_pci_parse_bdf)
}

type ParsePci =
    unsafe extern "C" fn(*mut sys::XLU_Config, *mut sys::libxl_device_pci, *const c_char) -> c_int;

/// Refuses what libxlutil would not survive. An address that ends before its function sends it to an
/// uninitialised place in memory (Xen 4.15 to 4.22), and one that means all functions ends the
/// process (up to 4.14).
fn survives(spec: &str) -> std::result::Result<(), &'static str> {
    // An address comes first, or behind a name.
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

fn pci(function: &'static str, spec: &str, parse: ParsePci) -> Result<Pci> {
    let config = Raw::new(function, "pci")?;
    let text = c_string(function, "pci", spec)?;
    survives(spec).map_err(|why| {
        Error::new(ErrorKind::Invalid, function).with_message(format!("pci: {spec:?}: {why}"))
    })?;
    let raw = Owned::<sys::libxl_device_pci>::new();
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
        rdm_policy: policy(raw.rdm_policy.0),
        #[cfg(libxl_have = "device_pci_name")]
        // SAFETY: of an initialised structure.
        name: unsafe { copy_str(raw.name) },
        ..Pci::new(0, raw.bus, raw.dev, raw.func)
    })
}

/// Reads what `xl.cfg` says about reserved memory of devices: `strategy=host`.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] with what is wrong. The libxlutil of Xen 4.17 refuses every `policy=` here.
#[doc(alias = "xlu_rdm_parse")]
pub fn parse_rdm(spec: &str) -> Result<RdmReserve> {
    const FUNCTION: &str = "xlu_rdm_parse";
    let config = Raw::new(FUNCTION, "rdm")?;
    let text = c_string(FUNCTION, "rdm", spec)?;
    let raw = Owned::<sys::libxl_rdm_reserve>::new();
    // SAFETY: a configuration for complaints, an initialised structure and a text.
    let errno = unsafe { sys::xlu_rdm_parse(config.as_ptr(), raw.as_ptr(), text.as_ptr()) };
    config.check(FUNCTION, errno)?;
    let raw = raw.get();
    // SAFETY: literals of libxl's, or NULL.
    let strategy = unsafe {
        copy_str(sys::libxl_rdm_reserve_strategy_to_string(
            sys::libxl_rdm_reserve_strategy(raw.strategy.0),
        ))
    };
    Ok(RdmReserve {
        strategy: strategy.and_then(|word| word.parse::<RdmReserveStrategy>().ok()),
        policy: policy(raw.policy.0),
    })
}

/// The word for a policy; the one that means "not said" is none.
fn policy(raw: c_int) -> Option<RdmReservePolicy> {
    // SAFETY: a literal of libxl's, or NULL.
    let word = unsafe {
        copy_str(sys::libxl_rdm_reserve_policy_to_string(
            sys::libxl_rdm_reserve_policy(raw),
        ))
    };
    word.and_then(|word| word.parse().ok())
}

/// Reads the rate of a `vif` as `xl.cfg` has it, `10MB/s` or `1MB/s@20ms`, into a NIC that is
/// otherwise empty.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] with what is wrong.
#[doc(alias = "xlu_vif_parse_rate")]
pub fn parse_vif_rate(rate: &str) -> Result<Nic> {
    const FUNCTION: &str = "xlu_vif_parse_rate";
    let config = Raw::new(FUNCTION, "vif")?;
    let text = c_string(FUNCTION, "rate", rate)?;
    let raw = Owned::<sys::libxl_device_nic>::new();
    // SAFETY: a configuration for complaints, a text and an initialised structure.
    let errno = unsafe { sys::xlu_vif_parse_rate(config.as_ptr(), text.as_ptr(), raw.as_ptr()) };
    config.check(FUNCTION, errno)?;
    Ok(Nic {
        rate_bytes_per_interval: Some(raw.get().rate_bytes_per_interval),
        rate_interval_usecs: Some(raw.get().rate_interval_usecs),
        ..Nic::default()
    })
}

#[cfg(test)]
mod tests;
