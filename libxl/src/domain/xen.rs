//! Domains as the hypervisor lists them, by libxenctrl, the library that libxl itself asks.
//!
//! `libxl_domain_info` and `libxl_list_domain` also ask the hypervisor for the name of each domain's security label. That is
//! one more call for each domain, which takes longer than everything else: with a hundred domains, twenty times as long.

use std::{
    ffi::c_int,
    mem::MaybeUninit,
    ptr::NonNull,
    sync::{Mutex, PoisonError},
};

use libxl_sys as sys;
use once_cell::sync::OnceCell;

use crate::{DomId, Error, ErrorKind, LogLevel, Result, logger::Logger};

pub(super) const FUNCTION: &str = "xc_domain_getinfolist";
/// Number of domains that are asked for at once.
const AT_ONCE: usize = 256;

/// The connection of this process. It is never closed, because libxl's contexts come and go.
static CONNECTION: OnceCell<Mutex<Connection>> = OnceCell::new();

struct Connection {
    xch: NonNull<sys::xc_interface>,
    /// libxenctrl logs to it for as long as the connection is open.
    logger: Logger,
}

// SAFETY: a handle that any thread may use, one at a time.
unsafe impl Send for Connection {}

impl Connection {
    fn open() -> Result<Mutex<Self>> {
        let failed = || Error::new(ErrorKind::Failed, "xc_interface_open");
        let logger = Logger::new(Some(LogLevel::Warn)).ok_or_else(failed)?;
        let (ours, none) = (logger.as_ptr(), 0);
        // SAFETY: a logger that lives as long as the connection.
        let xch = unsafe { sys::xc_interface_open(ours, ours, none) };
        let xch = NonNull::new(xch).ok_or_else(|| {
            failed()
                .with_message("there is no connection to the hypervisor")
                .with_log(logger.since(0))
        })?;
        Ok(Mutex::new(Self { xch, logger }))
    }

    /// Fills `place` with domains from `first` on, and returns their number.
    fn list(&self, first: u32, place: &mut [MaybeUninit<sys::xc_domaininfo_t>]) -> Result<usize> {
        let mark = self.logger.mark();
        let most = u32::try_from(place.len()).unwrap_or(u32::MAX);
        // SAFETY: an open connection, and a place for so many domains.
        let count: c_int = unsafe {
            sys::xc_domain_getinfolist(self.xch.as_ptr(), first, most, place.as_mut_ptr().cast())
        };
        let errno = std::io::Error::last_os_error();
        usize::try_from(count).map_err(|_| {
            Error::new(ErrorKind::Failed, FUNCTION)
                .with_message(format!("Xen did not give a list of domains: {errno}"))
                .with_log(self.logger.since(mark))
        })
    }
}

fn with<T>(ask: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let connection = CONNECTION.get_or_try_init(Connection::open)?;
    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
    ask(&connection)
}

/// Returns the domain that has this domid now, translated by `translate`.
pub(super) fn one<T>(
    domid: DomId,
    translate: impl FnOnce(&sys::xc_domaininfo_t) -> T,
) -> Result<Option<T>> {
    with(|connection| {
        let mut place = [MaybeUninit::uninit()];
        if connection.list(domid.0, &mut place)? == 0 {
            return Ok(None);
        }
        // SAFETY: Xen has filled it.
        let raw = unsafe { place[0].assume_init_ref() };
        // Xen answers with the next domain, if there is none with this domid, and an id that is too large for it loses its
        // upper bits.
        Ok((u32::from(raw.domain) == domid.0).then(|| translate(raw)))
    })
}

/// Returns all domains, translated by `translate`.
pub(super) fn all<T>(translate: impl Fn(&sys::xc_domaininfo_t) -> T) -> Result<Vec<T>> {
    with(|connection| {
        let mut all = Vec::new();
        let mut next = 0;
        let mut place = Vec::with_capacity(AT_ONCE);
        loop {
            place.clear();
            let count = connection.list(next, place.spare_capacity_mut())?;
            // SAFETY: Xen has filled so many, and not more than there is room for.
            unsafe { place.set_len(count.min(place.capacity())) };
            all.extend(place.iter().map(&translate));
            match place.last() {
                Some(last) if place.len() >= AT_ONCE => next = u32::from(last.domain) + 1,
                _ => return Ok(all),
            }
        }
    })
}
