//! The state of domains, as Xen reports it.

use std::{ffi::c_int, fmt, slice};

use libxl_sys as sys;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Context, DomId, DomainId, Error, ErrorKind, Result, ShutdownReason, config::DomainType,
    id::uuid_from, logger::expecting_failure, raw::Owned,
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

/// Information that Xen has about a domain at one moment (`libxl_dominfo`).
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
        let mut info = Self::from_raw(Owned::<sys::libxl_dominfo>::new().get());
        info.cpu_time_ns = cpu_time_ns;
        change(&mut info);
        info
    }

    fn from_raw(raw: &sys::libxl_dominfo) -> Self {
        Self {
            domid: DomId(raw.domid),
            uuid: uuid_from(&raw.uuid),
            domain_type: domain_type(raw.domain_type),
            running: raw.running,
            blocked: raw.blocked,
            paused: raw.paused,
            shutdown: raw.shutdown,
            dying: raw.dying,
            never_stop: raw.never_stop,
            // The guest chose the number; libxl's name for it would be NULL beyond the known ones.
            shutdown_reason: raw
                .shutdown
                .then(|| ShutdownReason(u8::try_from(raw.shutdown_reason.0).unwrap_or(u8::MAX))),
            outstanding_memkb: raw.outstanding_memkb,
            current_memkb: raw.current_memkb,
            shared_memkb: raw.shared_memkb,
            paged_memkb: raw.paged_memkb,
            max_memkb: raw.max_memkb,
            cpu_time_ns: raw.cpu_time,
            vcpu_max_id: raw.vcpu_max_id,
            vcpu_online: raw.vcpu_online,
            cpupool: raw.cpupool,
            ssidref: raw.ssidref,
        }
    }
}

fn domain_type(raw: sys::libxl_domain_type) -> Option<DomainType> {
    match raw {
        sys::libxl_domain_type::LIBXL_DOMAIN_TYPE_PV => Some(DomainType::Pv),
        sys::libxl_domain_type::LIBXL_DOMAIN_TYPE_HVM => Some(DomainType::Hvm),
        sys::libxl_domain_type::LIBXL_DOMAIN_TYPE_PVH => Some(DomainType::Pvh),
        _ => None,
    }
}

impl Context {
    /// Returns the state of the domain that has this domid now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if there is none.
    #[doc(alias = "libxl_domain_info")]
    pub fn domain_info(&self, domid: DomId) -> Result<DomainInfo> {
        let info = Owned::<sys::libxl_dominfo>::new();
        let mark = self.log_mark();
        // A domain that does not exist is an expected answer; libxl since 4.18 logs it as an error.
        // SAFETY: a live context and an initialised structure.
        let rc = expecting_failure(|| unsafe {
            sys::libxl_domain_info(self.enter().ptr(), info.as_ptr(), domid.0)
        });
        // An id that is too large for Xen loses its upper bits, and one of the reserved ids stands
        // for the calling domain: libxl since 4.18 then answers about another domain.
        let rc = if rc == 0 && info.get().domid != domid.0 {
            sys::libxl_error::ERROR_DOMAIN_NOTFOUND.0
        } else {
            rc
        };
        if rc == 0 {
            Ok(DomainInfo::from_raw(info.get()))
        } else {
            Err(Error::from_code("libxl_domain_info", rc)
                .with_domain(Some(domid))
                .with_log(self.own_log_since(mark)))
        }
    }

    /// Returns all domains, dom0 included, in the order of their domids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_list_domain")]
    #[doc(alias = "libxl_dominfo_list_free")]
    pub fn list_domains(&self) -> Result<Vec<DomainInfo>> {
        let mark = self.log_mark();
        let mut count: c_int = 0;
        // SAFETY: a live context and a place for the count.
        let list = unsafe { sys::libxl_list_domain(self.enter().ptr(), &raw mut count) };
        if list.is_null() {
            // dom0 always exists, so NULL is an error, whatever the count.
            return Err(Error::new(ErrorKind::Failed, "libxl_list_domain")
                .with_message("Xen did not give a list of domains")
                .with_log(self.own_log_since(mark)));
        }
        let len = usize::try_from(count).unwrap_or(0);
        // SAFETY: not NULL, so an array of `count` structures.
        let infos = unsafe { slice::from_raw_parts(list, len) }
            .iter()
            .map(DomainInfo::from_raw)
            .collect();
        // SAFETY: the array and the count that libxl gave, freed once.
        unsafe { sys::libxl_dominfo_list_free(list, count) };
        Ok(infos)
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainInfo, DomainState, sys};
    use crate::{ShutdownReason, raw::Owned};

    fn info(change: impl FnOnce(&mut sys::libxl_dominfo)) -> DomainInfo {
        let raw = Owned::<sys::libxl_dominfo>::new();
        // SAFETY: initialised, and not shared.
        change(unsafe { &mut *raw.as_ptr() });
        DomainInfo::from_raw(raw.get())
    }

    #[test]
    fn the_reason_is_only_read_after_a_shutdown() {
        let running = info(|raw| raw.shutdown_reason = sys::libxl_shutdown_reason(-1));
        assert_eq!(running.shutdown_reason, None);
        assert_eq!(running.state(), DomainState::Running);
    }

    #[test]
    fn any_reason_a_guest_gives_is_kept() {
        let odd = info(|raw| {
            raw.shutdown = true;
            raw.shutdown_reason = sys::libxl_shutdown_reason(200);
        });
        assert_eq!(odd.state(), DomainState::Shutdown(ShutdownReason(200)));
    }

    #[test]
    fn dying_outranks_shut_down_outranks_paused() {
        let shut = info(|raw| {
            (raw.shutdown, raw.paused) = (true, true);
            raw.shutdown_reason = sys::libxl_shutdown_reason(2);
        });
        assert_eq!(shut.state(), DomainState::Shutdown(ShutdownReason::SUSPEND));
        assert_eq!(
            info(|raw| (raw.shutdown, raw.dying) = (true, true)).state(),
            DomainState::Dying
        );
        assert_eq!(info(|raw| raw.paused = true).state(), DomainState::Paused);
    }
}
