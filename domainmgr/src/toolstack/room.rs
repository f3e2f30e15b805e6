//! Memory for new domains: where dom0 has it all, it gives some back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libxl::{Context, DomId};

use super::{Error, ErrorKind, Limits, Result};
use crate::settings::Autoballoon;

/// What dom0 gets to give memory back, once and again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked.
const TRIES: u32 = 3;

/// Memory that was made free for domains that have not taken it yet.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// Held while memory is made free, and never while a domain is built.
    making: Mutex<()>,
    promised_kib: Mutex<u64>,
}

/// Memory for one domain. When this is dropped, the domain has it, or needs it no more.
#[derive(Debug)]
pub(super) struct Room {
    rooms: Arc<Rooms>,
    kib: u64,
}

impl super::Room for Room {}

impl Drop for Room {
    fn drop(&mut self) {
        let mut promised = self.rooms.promised();
        *promised = promised.saturating_sub(self.kib);
    }
}

impl Rooms {
    fn promised(&self) -> MutexGuard<'_, u64> {
        self.promised_kib
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has dom0 give back what is missing of `kib`.
    ///
    /// # Errors
    /// It does not, or `limits` end the waiting.
    pub(super) fn make(self: &Arc<Self>, xen: &Context, kib: u64, limits: &Limits) -> Result<Room> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = 0;
        for _ in 0..TRIES {
            if limits.abort.is_aborted() {
                return Err(Error::new(ErrorKind::Aborted, "aborted"));
            }
            // What others were promised may be taken already, or not yet.
            let wanted = kib + *self.promised();
            free = xen.free_memory().map_err(super::libxl::error)?;
            if free >= wanted {
                break;
            }
            let missing = i64::try_from(wanted - free).unwrap_or(i64::MAX);
            log::info!(
                "dom0 gives back {} MiB for a new domain",
                (wanted - free).div_ceil(1024)
            );
            let dom0 = xen.domain_by_domid(DomId(0)).map_err(super::libxl::error)?;
            if let Err(e) = dom0.change_memory_target(-missing, false) {
                log::warn!("dom0 gives no more memory back: {e}");
                break;
            }
            if xen.wait_for_free_memory(wanted, PATIENCE).is_ok() {
                free = wanted;
                break;
            }
        }
        if free < kib {
            free = xen.free_memory().map_err(super::libxl::error)?;
        }
        if free < kib {
            return Err(short(kib, free));
        }
        *self.promised() += kib;
        Ok(Room {
            rooms: Arc::clone(self),
            kib,
        })
    }
}

/// Whether dom0 is to give memory back on a Xen that was started with this command line. As with xl: not where an
/// operator has said how much dom0 has.
pub(super) fn is_wanted(policy: Autoballoon, commandline: &str) -> bool {
    match policy {
        Autoballoon::On => true,
        Autoballoon::Off => false,
        Autoballoon::Auto => !commandline
            .split_whitespace()
            .any(|word| word.starts_with("dom0_mem=")),
    }
}

/// What is said when there is no memory to be had.
pub(super) fn short(needed_kib: u64, free_kib: u64) -> Error {
    Error::new(
        ErrorKind::NoMemory,
        format!(
            "Memory: the domain needs {} MiB, {} MiB are free, and dom0 gives no more back: stop another domain, or lower \
             Memory",
            needed_kib.div_ceil(1024),
            free_kib >> 10
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_who_has_said_what_dom0_has_is_obeyed() {
        assert!(is_wanted(Autoballoon::Auto, "console=com1"));
        assert!(!is_wanted(
            Autoballoon::Auto,
            "console=com1 dom0_mem=512M,max:512M"
        ));
        assert!(is_wanted(Autoballoon::On, "dom0_mem=512M"));
        assert!(!is_wanted(Autoballoon::Off, ""));
    }

    #[test]
    fn a_promise_ends_with_its_room() {
        let rooms = Arc::new(Rooms::default());
        *rooms.promised() = 300;
        drop(Room {
            rooms: Arc::clone(&rooms),
            kib: 100,
        });
        assert_eq!(*rooms.promised(), 200);
    }
}
