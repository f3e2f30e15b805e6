//! The state of domains, as Xen reports it.

use std::fmt;

use libxl_sys as sys;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::xen;
use crate::{
    Context, DomId, DomainId, Error, ErrorKind, Result, ShutdownReason, config::DomainType,
};

/// The state of a domain, derived from its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DomainState {
    /// The domain runs, waits for an event, or waits for a CPU.
    Running,
    /// A toolstack has paused the domain.
    Paused,
    /// The domain has stopped and waits for the toolstack. With [`ShutdownReason::SUSPEND`] it may
    /// be resumed.
    Shutdown(ShutdownReason),
    /// The domain is dead. Its memory is being freed, or is still held by another domain.
    Dying,
}

impl fmt::Display for DomainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Paused => f.write_str("paused"),
            Self::Shutdown(reason) => write!(f, "shut down ({reason})"),
            Self::Dying => f.write_str("dying"),
        }
    }
}

/// Information that Xen has about a domain at one moment: `libxl_dominfo`, without the name of the security label.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "libxl_dominfo")]
pub struct DomainInfo {
    /// Domid of the domain.
    pub domid: DomId,
    /// UUID of the domain; nil for dom0.
    pub uuid: Uuid,
    /// PV or HVM; `None` for a type that this crate does not know.
    ///
    /// Xen has no third type: PVH shows as HVM, and only
    /// [`retrieve_configuration`](crate::Domain::retrieve_configuration) tells the two apart.
    pub domain_type: Option<DomainType>,
    /// A vCPU is running at this moment.
    pub running: bool,
    /// All vCPUs wait for an event.
    pub blocked: bool,
    /// A toolstack has paused the domain.
    pub paused: bool,
    /// The domain has shut down; see [`Self::shutdown_reason`].
    pub shutdown: bool,
    /// The domain is being torn down.
    pub dying: bool,
    /// The domain runs xenstore, and no toolstack may stop it. Not set for dom0, which must not be
    /// stopped either: a program that stops all domains leaves out both.
    pub never_stop: bool,
    /// Reason of the shutdown, if the domain has shut down.
    pub shutdown_reason: Option<ShutdownReason>,
    /// Memory promised to the domain but not yet given, in KiB.
    pub outstanding_memkb: u64,
    /// Memory that the domain has, in KiB.
    pub current_memkb: u64,
    /// Memory that the domain shares with others, in KiB.
    pub shared_memkb: u64,
    /// Memory that is paged out, in KiB.
    pub paged_memkb: u64,
    /// Maximum memory of the domain, in KiB.
    pub max_memkb: u64,
    /// CPU time of all vCPUs together since the domain was created, in nanoseconds.
    pub cpu_time_ns: u64,
    /// The highest id of a vCPU.
    pub vcpu_max_id: u32,
    /// Number of vCPUs that are online.
    pub vcpu_online: u32,
    /// Id of the domain's CPU pool.
    pub cpupool: u32,
    /// FLASK security id of the domain.
    pub ssidref: u32,
}

impl DomainInfo {
    /// Identity of the domain.
    #[must_use]
    pub fn id(&self) -> DomainId {
        DomainId {
            domid: self.domid,
            uuid: self.uuid,
        }
    }

    /// Combines the flags into one state: the last stage of life that applies.
    #[must_use]
    pub fn state(&self) -> DomainState {
        match self.shutdown_reason {
            _ if self.dying => DomainState::Dying,
            Some(reason) => DomainState::Shutdown(reason),
            None if self.paused => DomainState::Paused,
            None => DomainState::Running,
        }
    }

    /// Information about a running domain with this CPU time, after `change`.
    #[cfg(test)]
    pub(super) fn for_test(cpu_time_ns: u64, change: impl FnOnce(&mut Self)) -> Self {
        let mut info = Self::from_raw(&nothing());
        info.cpu_time_ns = cpu_time_ns;
        change(&mut info);
        info
    }

    /// As `libxl__xcinfo2xlinfo` has it.
    fn from_raw(raw: &sys::xc_domaininfo_t) -> Self {
        let has = |flag: u32| raw.flags & flag != 0;
        let kib = |pages: u64| pages.saturating_mul(u64::from(sys::XC_PAGE_SIZE) >> 10);
        let reason = raw.flags >> sys::XEN_DOMINF_shutdownshift & sys::XEN_DOMINF_shutdownmask;
        Self {
            domid: DomId(raw.domain.into()),
            uuid: Uuid::from_bytes(raw.handle),
            domain_type: Some(if has(sys::XEN_DOMINF_hvm_guest) {
                DomainType::Hvm
            } else {
                DomainType::Pv
            }),
            running: has(sys::XEN_DOMINF_running),
            blocked: has(sys::XEN_DOMINF_blocked),
            paused: has(sys::XEN_DOMINF_paused),
            shutdown: has(sys::XEN_DOMINF_shutdown),
            dying: has(sys::XEN_DOMINF_dying),
            never_stop: has(sys::XEN_DOMINF_xs_domain),
            // The guest chose the number.
            shutdown_reason: has(sys::XEN_DOMINF_shutdown)
                .then(|| ShutdownReason(u8::try_from(reason).unwrap_or(u8::MAX))),
            outstanding_memkb: kib(raw.outstanding_pages),
            current_memkb: kib(raw.tot_pages),
            shared_memkb: kib(raw.shr_pages),
            paged_memkb: kib(raw.paged_pages),
            max_memkb: kib(raw.max_pages),
            cpu_time_ns: raw.cpu_time,
            vcpu_max_id: raw.max_vcpu_id,
            vcpu_online: raw.nr_online_vcpus,
            cpupool: raw.cpupool,
            ssidref: raw.ssidref,
        }
    }
}

/// A domain without anything.
#[cfg(test)]
fn nothing() -> sys::xc_domaininfo_t {
    // SAFETY: numbers, and arrays of numbers.
    unsafe { std::mem::zeroed() }
}

impl Context {
    /// Returns the state of the domain that has this domid now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if there is none.
    #[doc(alias = "libxl_domain_info")]
    #[doc(alias = "xc_domain_getinfolist")]
    pub fn domain_info(&self, domid: DomId) -> Result<DomainInfo> {
        let found = xen::one(domid, DomainInfo::from_raw);
        let found = found.map_err(|error| error.with_domain(Some(domid)))?;
        found.ok_or_else(|| {
            Error::new(ErrorKind::DomainNotFound, xen::FUNCTION).with_domain(Some(domid))
        })
    }

    /// Returns all domains, dom0 included, in the order of their domids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_list_domain")]
    #[doc(alias = "libxl_dominfo_list_free")]
    #[doc(alias = "xc_domain_getinfolist")]
    pub fn list_domains(&self) -> Result<Vec<DomainInfo>> {
        xen::all(DomainInfo::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainInfo, DomainState, nothing, sys};
    use crate::ShutdownReason;

    fn info(flags: u32, reason: u32) -> DomainInfo {
        let mut raw = nothing();
        raw.flags = flags | reason << sys::XEN_DOMINF_shutdownshift;
        DomainInfo::from_raw(&raw)
    }

    #[test]
    fn the_reason_is_only_read_after_a_shutdown() {
        let running = info(0, 2);
        assert_eq!(running.shutdown_reason, None);
        assert_eq!(running.state(), DomainState::Running);
    }

    #[test]
    fn any_reason_a_guest_gives_is_kept() {
        let odd = info(sys::XEN_DOMINF_shutdown, 200);
        assert_eq!(odd.state(), DomainState::Shutdown(ShutdownReason(200)));
    }

    #[test]
    fn dying_outranks_shut_down_outranks_paused() {
        let (shutdown, paused) = (sys::XEN_DOMINF_shutdown, sys::XEN_DOMINF_paused);
        assert_eq!(
            info(shutdown | paused, 2).state(),
            DomainState::Shutdown(ShutdownReason::SUSPEND)
        );
        assert_eq!(
            info(shutdown | sys::XEN_DOMINF_dying, 0).state(),
            DomainState::Dying
        );
        assert_eq!(info(paused, 0).state(), DomainState::Paused);
    }

    #[test]
    fn pages_become_kib() {
        let mut raw = nothing();
        (raw.tot_pages, raw.max_pages) = (3, u64::MAX);
        let info = DomainInfo::from_raw(&raw);
        assert_eq!((info.current_memkb, info.max_memkb), (12, u64::MAX));
    }
}
