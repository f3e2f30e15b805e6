//! The small languages of libxlutil within some values.

use libxl_sys as sys;

use super::libxlutil::Raw;
use crate::{
    Context, Error, ErrorKind, Result,
    config::{Disk, Nic, RdmReserve, RdmReservePolicy},
    raw::{Owned, c_string, copy_str},
};

/// Parses a disk in the syntax of `xl.cfg`: `/dev/vg/web,raw,xvda,rw`.
///
/// The parts may have names: `format=qcow2, vdev=xvdb, access=ro, target=/images/data.qcow2`.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with a description of the mistake.
#[doc(alias = "xlu_disk_parse")]
pub fn parse_disk(spec: &str) -> Result<Disk> {
    const FUNCTION: &str = "xlu_disk_parse";
    let config = Raw::new(FUNCTION, "disk")?;
    // After a text that it cannot understand, libxlutil ends the process at a line break.
    if spec.contains('\n') {
        return Err(Error::new(ErrorKind::Invalid, FUNCTION)
            .with_message(format!("disk: contains a line break: {spec:?}")));
    }
    let text = c_string(FUNCTION, "disk", spec)?;
    let specs = [text.as_ptr()];
    let disk = Owned::<sys::libxl_device_disk>::new();
    // SAFETY: xlu_disk_parse reads as many NUL-terminated texts as it is told, and fills a structure
    // that was initialised.
    let errno = unsafe { sys::xlu_disk_parse(config.as_ptr(), 1, specs.as_ptr(), disk.as_ptr()) };
    config.check(FUNCTION, errno)?;
    Ok(disk_of(disk.get()))
}

/// The value of a default boolean: positive is yes, negative no, 0 not set.
fn defbool(raw: &sys::libxl_defbool) -> Option<bool> {
    (raw.val != 0).then_some(raw.val > 0)
}

/// Copies libxlutil's result, including the fields of COLO.
fn disk_of(raw: &sys::libxl_device_disk) -> Disk {
    // SAFETY: xlu_disk_parse leaves NULL or NUL-terminated strings, which are the structure's.
    let text = |raw| unsafe { copy_str(raw) };
    // SAFETY: the generated to_string functions return a literal, or NULL for an unknown number.
    let (backend, format) = unsafe {
        (
            copy_str(sys::libxl_disk_backend_to_string(raw.backend)),
            copy_str(sys::libxl_disk_format_to_string(raw.format)),
        )
    };
    let disk = Disk {
        backend_domid: (raw.backend_domid != 0).then_some(raw.backend_domid),
        backend_domname: text(raw.backend_domname),
        pdev_path: text(raw.pdev_path),
        vdev: text(raw.vdev),
        backend: backend.and_then(|word| word.parse().ok()),
        format: format.and_then(|word| word.parse().ok()),
        script: text(raw.script),
        removable: raw.removable != 0,
        readwrite: raw.readwrite != 0,
        is_cdrom: raw.is_cdrom != 0,
        direct_io_safe: raw.direct_io_safe,
        discard_enable: defbool(&raw.discard_enable),
        colo_enable: defbool(&raw.colo_enable),
        colo_restore_enable: defbool(&raw.colo_restore_enable),
        colo_host: text(raw.colo_host),
        colo_port: u32::try_from(raw.colo_port).ok().filter(|&port| port != 0),
        colo_export: text(raw.colo_export),
        active_disk: text(raw.active_disk),
        hidden_disk: text(raw.hidden_disk),
        ..Disk::default()
    };
    with_newer_fields(disk, raw)
}

/// Adds the fields that came with later versions.
fn with_newer_fields(disk: Disk, raw: &sys::libxl_device_disk) -> Disk {
    #[cfg(libxl_have = "device_disk_specification")]
    // SAFETY: as above, the to_string functions return a literal or NULL.
    let (specification, transport) = unsafe {
        (
            copy_str(sys::libxl_disk_specification_to_string(raw.specification)),
            copy_str(sys::libxl_disk_transport_to_string(raw.transport)),
        )
    };
    let _ = raw; // Before Xen 4.17 there are none.
    Disk {
        #[cfg(libxl_have = "device_disk_specification")]
        specification: specification.and_then(|word| word.parse().ok()),
        #[cfg(libxl_have = "device_disk_specification")]
        transport: transport.and_then(|word| word.parse().ok()),
        #[cfg(libxl_have = "disk_trusted")]
        trusted: defbool(&raw.trusted),
        #[cfg(libxl_have = "disk_grant_usage")]
        grant_usage: defbool(&raw.grant_usage),
        ..disk
    }
}

impl Context {
    /// Parses a disk in the syntax of `xl.cfg`; the same as [`parse_disk`], which needs no context.
    ///
    /// # Errors
    ///
    /// As for [`parse_disk`].
    #[doc(alias = "xlu_disk_parse")]
    pub fn parse_disk(&self, spec: &str) -> Result<Disk> {
        parse_disk(spec)
    }
}

/// Parses the settings of `xl.cfg` for reserved memory of devices: `strategy=host`.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with a description of the mistake. The
/// libxlutil of Xen 4.17 refuses every `policy=` here.
#[doc(alias = "xlu_rdm_parse")]
pub fn parse_rdm(spec: &str) -> Result<RdmReserve> {
    const FUNCTION: &str = "xlu_rdm_parse";
    let config = Raw::new(FUNCTION, "rdm")?;
    let text = c_string(FUNCTION, "rdm", spec)?;
    let raw = Owned::<sys::libxl_rdm_reserve>::new();
    // SAFETY: xlu_rdm_parse reads a NUL-terminated text and fills a structure that was initialised.
    let errno = unsafe { sys::xlu_rdm_parse(config.as_ptr(), raw.as_ptr(), text.as_ptr()) };
    config.check(FUNCTION, errno)?;
    let raw = raw.get();
    // SAFETY: the generated to_string function returns a literal or NULL.
    let strategy = unsafe { copy_str(sys::libxl_rdm_reserve_strategy_to_string(raw.strategy)) };
    Ok(RdmReserve {
        strategy: strategy.and_then(|word| word.parse().ok()),
        policy: policy(raw.policy),
    })
}

/// Converts libxl's number of a policy; the number that means "not set" gives `None`.
pub(super) fn policy(raw: sys::libxl_rdm_reserve_policy) -> Option<RdmReservePolicy> {
    // SAFETY: the generated to_string function returns a literal or NULL.
    let word = unsafe { copy_str(sys::libxl_rdm_reserve_policy_to_string(raw)) };
    word.and_then(|word| word.parse().ok())
}

/// Converts a policy to libxl's number.
pub(super) fn policy_to_c(policy: &RdmReservePolicy) -> sys::libxl_rdm_reserve_policy {
    use sys::libxl_rdm_reserve_policy as Raw;
    match policy {
        RdmReservePolicy::Strict => Raw::LIBXL_RDM_RESERVE_POLICY_STRICT,
        RdmReservePolicy::Relaxed => Raw::LIBXL_RDM_RESERVE_POLICY_RELAXED,
        RdmReservePolicy::Other(_) => Raw::LIBXL_RDM_RESERVE_POLICY_INVALID,
    }
}

/// Parses the rate of a `vif` in the syntax of `xl.cfg`, `10MB/s` or `1MB/s@20ms`, into a NIC that
/// is otherwise empty.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with a description of the mistake.
///
/// ```
/// use libxl::xlcfg::parse_vif_rate;
///
/// assert_eq!(parse_vif_rate("1MB/s@20ms")?.rate_bytes_per_interval, Some(20_000));
/// # Ok::<(), libxl::Error>(())
/// ```
#[doc(alias = "xlu_vif_parse_rate")]
pub fn parse_vif_rate(rate: &str) -> Result<Nic> {
    const FUNCTION: &str = "xlu_vif_parse_rate";
    let config = Raw::new(FUNCTION, "vif")?;
    let text = c_string(FUNCTION, "rate", rate)?;
    let raw = Owned::<sys::libxl_device_nic>::new();
    // SAFETY: xlu_vif_parse_rate reads a NUL-terminated text and fills a structure that was
    // initialised.
    let errno = unsafe { sys::xlu_vif_parse_rate(config.as_ptr(), text.as_ptr(), raw.as_ptr()) };
    config.check(FUNCTION, errno)?;
    Ok(Nic {
        rate_bytes_per_interval: Some(raw.get().rate_bytes_per_interval),
        rate_interval_usecs: Some(raw.get().rate_interval_usecs),
        ..Nic::default()
    })
}
