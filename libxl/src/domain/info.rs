//! What Xen says about domains.

use std::{ffi::c_int, fmt, slice};

use libxl_sys as sys;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Context, DomId, DomainId, Error, ErrorKind, Result, ShutdownReason, config::DomainType,
    id::uuid_from, logger::expecting_failure, raw::Owned,
};

/// The state of a domain, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DomainState {
    /// It runs, waits for something to happen, or waits for a CPU.
    Running,
    /// A toolstack has paused it.
    Paused,
    /// It has stopped and waits for the toolstack. With [`ShutdownReason::SUSPEND`] it may be
    /// resumed.
    Shutdown(ShutdownReason),
    /// It is dead: its memory is being given back, or is still held by another domain.
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

/// What Xen says about a domain at one moment (`libxl_dominfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "libxl_dominfo")]
pub struct DomainInfo {
    /// Its id.
    pub domid: DomId,
    /// Its UUID; nil for dom0.
    pub uuid: Uuid,
    /// PV or HVM; `None` for what this libxl has no word for. Xen itself knows no third kind: PVH
    /// shows as HVM, and only [`retrieve_configuration`](crate::Domain::retrieve_configuration)
    /// tells them apart.
    pub domain_type: Option<DomainType>,
    /// A virtual CPU is running at this very moment.
    pub running: bool,
    /// All virtual CPUs wait for an event.
    pub blocked: bool,
    /// A toolstack has paused it.
    pub paused: bool,
    /// It has shut down; see [`Self::shutdown_reason`].
    pub shutdown: bool,
    /// It is being torn down.
    pub dying: bool,
    /// It is the domain that xenstore runs in, which no toolstack may stop. Not set for dom0, which
    /// none may stop either: what stops all domains leaves out both.
    pub never_stop: bool,
    /// Why it shut down, if it has.
    pub shutdown_reason: Option<ShutdownReason>,
    /// Memory promised to it and not yet given, in KiB.
    pub outstanding_memkb: u64,
    /// Memory it has, in KiB.
    pub current_memkb: u64,
    /// Memory it shares with others, in KiB.
    pub shared_memkb: u64,
    /// Memory that is paged out, in KiB.
    pub paged_memkb: u64,
    /// Memory it may have at most, in KiB.
    pub max_memkb: u64,
    /// CPU time of all its virtual CPUs together since it was made, in nanoseconds.
    pub cpu_time_ns: u64,
    /// The highest id of a virtual CPU.
    pub vcpu_max_id: u32,
    /// Virtual CPUs that are online.
    pub vcpu_online: u32,
    /// The id of its CPU pool.
    pub cpupool: u32,
    /// Its FLASK security id.
    pub ssidref: u32,
}

impl DomainInfo {
    /// Which domain it is.
    #[must_use]
    pub fn id(&self) -> DomainId {
        DomainId {
            domid: self.domid,
            uuid: self.uuid,
        }
    }

    /// The flags as one word: the last stage of life that applies.
    #[must_use]
    pub fn state(&self) -> DomainState {
        match self.shutdown_reason {
            _ if self.dying => DomainState::Dying,
            Some(reason) => DomainState::Shutdown(reason),
            None if self.paused => DomainState::Paused,
            None => DomainState::Running,
        }
    }

    /// Of a domain that runs and has run for this long, but for what is changed.
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
    /// The state of the domain that has this id now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if there is none.
    #[doc(alias = "libxl_domain_info")]
    pub fn domain_info(&self, domid: DomId) -> Result<DomainInfo> {
        let info = Owned::<sys::libxl_dominfo>::new();
        let mark = self.log_mark();
        // That there is no such domain is an answer; libxl since 4.18 logs it as an error.
        // SAFETY: a live context and an initialised structure.
        let rc = expecting_failure(|| unsafe {
            sys::libxl_domain_info(self.enter().ptr(), info.as_ptr(), domid.0)
        });
        // An id that is too large for Xen loses its upper bits on the way, and one of the reserved
        // ones stands for the asking domain: libxl since 4.18 answers about another domain then.
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

    /// All domains, dom0 included, in the order of their ids.
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
            // dom0 always exists, so no list is an error; the count says nothing then.
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
        // SAFETY: initialised, and nobody else knows it.
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
