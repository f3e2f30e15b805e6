//! Memory for new domains. On a host where dom0 has all memory, dom0 gives some back.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libxl::{Context, DomId, Domain};

use super::translate::error;
use crate::spec::settings::Autoballoon;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::operation::Limits;
use crate::toolstack::{refusals, session};

/// Number of slices that dom0 gets to free memory, each time it is asked.
const PATIENCE: u32 = 10;
/// Number of slices that dom0 may spend without progress. libxl makes each of these last four seconds.
const STALLED: u32 = 3;
/// Number of times that dom0 is asked.
const TRIES: u32 = 3;
/// Length of one wait in libxl. An abort is noticed only between two waits.
const SLICE: Duration = Duration::from_secs(1);

/// Memory that has been freed for domains that have not taken it yet.
#[derive(Debug, Default)]
pub(super) struct MemoryGrants {
    /// Some session is freeing memory. A session does not hold this while it builds its domain.
    making: Mutex<bool>,
    made: Condvar,
    promised_kib: Mutex<u64>,
}

/// Memory promised to one domain. This is dropped once the domain has its memory, or no longer needs it.
#[derive(Debug)]
pub(super) struct MemoryGrant {
    grants: Arc<MemoryGrants>,
    kib: u64,
}

impl session::MemoryGrant for MemoryGrant {}

impl Drop for MemoryGrant {
    fn drop(&mut self) {
        let mut promised = self.grants.promised();
        *promised = promised.saturating_sub(self.kib);
    }
}

/// The right to free memory, which one session has at a time.
struct Turn(Arc<MemoryGrants>);

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.making() = false;
        self.0.made.notify_all();
    }
}

/// Source of memory: Xen and dom0, or a fake in tests.
trait Host {
    fn free(&self) -> Result<u64>;
    /// Memory target of dom0, in KiB.
    fn target(&self) -> Result<u64>;
    fn set_target(&self, kib: u64) -> Result<()>;
    /// Lowers the target of dom0 by `kib` KiB.
    fn lower_target(&self, kib: u64) -> Result<()>;
    /// Waits until `kib` KiB are free, for `time` at most. Returns true if they are.
    fn wait_for_free(&self, kib: u64, time: Duration) -> bool;
    /// Waits until dom0 has reached its target, or has made no progress for `time`. Returns true if the target is reached.
    fn wait_for_target(&self, time: Duration) -> bool;
}

struct Xen<'a> {
    xen: &'a Context,
    dom0: Domain,
}

impl Host for Xen<'_> {
    fn free(&self) -> Result<u64> {
        self.xen.free_memory().map_err(error)
    }

    fn target(&self) -> Result<u64> {
        self.dom0.memory_target().map_err(error)
    }

    fn set_target(&self, kib: u64) -> Result<()> {
        let set = self.dom0.set_memory_target(kib, false);
        set.map_err(error)
    }

    fn lower_target(&self, kib: u64) -> Result<()> {
        let kib = i64::try_from(kib).unwrap_or(i64::MAX);
        let set = self.dom0.change_memory_target(-kib, false);
        set.map_err(error)
    }

    fn wait_for_free(&self, kib: u64, time: Duration) -> bool {
        self.xen.wait_for_free_memory(kib, time).is_ok()
    }

    fn wait_for_target(&self, time: Duration) -> bool {
        self.dom0.wait_for_memory_target(time).is_ok()
    }
}

impl MemoryGrants {
    fn promised(&self) -> MutexGuard<'_, u64> {
        self.promised_kib
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn making(&self) -> MutexGuard<'_, bool> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes dom0 give back what is missing of `kib` KiB. `open` returns a context for that, once it is this caller's turn.
    ///
    /// # Errors
    /// dom0 does not give enough back, or `limits` abort the wait.
    pub(super) fn make<X: Deref<Target = Context>>(
        self: &Arc<Self>,
        open: impl FnOnce() -> Result<X>,
        kib: u64,
        limits: &Limits,
    ) -> Result<MemoryGrant> {
        let _turn = self.turn(limits)?;
        let xen = open()?;
        let dom0 = xen.domain_by_domid(DomId(0)).map_err(error)?;
        self.make_on(&Xen { xen: &xen, dom0 }, kib, limits)
    }

    /// As [`Self::make`], for the caller whose turn it is.
    fn make_on(
        self: &Arc<Self>,
        host: &impl Host,
        kib: u64,
        limits: &Limits,
    ) -> Result<MemoryGrant> {
        if host.free()? < kib + *self.promised() {
            let before = host.target()?;
            if let Err(e) = self.balloon(host, kib, limits) {
                // The memory that dom0 has given back, or was still to give back, is not needed.
                if let Err(e) = host.set_target(before) {
                    log::warn!("dom0 does not get its memory back: {e}");
                }
                return Err(e);
            }
        }
        *self.promised() += kib;
        Ok(MemoryGrant {
            grants: Arc::clone(self),
            kib,
        })
    }

    /// Waits until no other session is freeing memory.
    fn turn(self: &Arc<Self>, limits: &Limits) -> Result<Turn> {
        let weak = Arc::downgrade(self);
        limits.abort.on_abort(move || {
            if let Some(grants) = weak.upgrade() {
                // Under the lock, so that no thread is between its check and its wait.
                drop(grants.making());
                grants.made.notify_all();
            }
        });
        let mut making = self.making();
        while *making {
            unless_aborted(limits)?;
            let waited = self.made.wait(making);
            making = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *making = true;
        drop(making);
        Ok(Turn(Arc::clone(self)))
    }

    fn balloon(&self, host: &impl Host, kib: u64, limits: &Limits) -> Result<()> {
        for _ in 0..TRIES {
            // Other domains may have taken the memory promised to them, or not yet.
            let wanted = kib + *self.promised();
            let free = host.free()?;
            if free >= wanted {
                return Ok(());
            }
            unless_aborted(limits)?;
            let missing = wanted - free;
            log::info!(
                "dom0 gives back {} MiB for a new domain",
                missing.div_ceil(1024)
            );
            if let Err(e) = host.lower_target(missing) {
                log::warn!("dom0 gives no more memory back: {e}");
                break;
            }
            if patiently(limits, PATIENCE, || host.wait_for_free(wanted, SLICE))? {
                return Ok(());
            }
            // Until dom0 has reached its target, a request for the rest would ask for the same memory twice.
            if !patiently(limits, STALLED, || host.wait_for_target(SLICE))? {
                break;
            }
        }
        let free = host.free()?;
        if free < kib {
            return Err(refusals::short_of_memory(kib, free));
        }
        Ok(())
    }
}

fn unless_aborted(limits: &Limits) -> Result<()> {
    if limits.abort.is_aborted() {
        return Err(Error::new(ErrorKind::Aborted, "aborted"));
    }
    Ok(())
}

/// Waits in slices. An abort is noticed between two of them.
fn patiently(limits: &Limits, slices: u32, wait: impl Fn() -> bool) -> Result<bool> {
    for _ in 0..slices {
        unless_aborted(limits)?;
        if wait() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns true if dom0 is to give memory back on a Xen that was started with this command line.
///
/// As with xl, [`Autoballoon::Auto`] means: not if an operator has set the memory of dom0 with `dom0_mem=`.
pub(super) fn is_wanted(policy: Autoballoon, commandline: &str) -> bool {
    match policy {
        Autoballoon::On => true,
        Autoballoon::Off => false,
        Autoballoon::Auto => !commandline
            .split_whitespace()
            .any(|word| word.starts_with("dom0_mem=")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;

    /// A dom0 that gives back at most `pace` in each slice, and does not go below `needs`.
    struct Fake {
        free: Cell<u64>,
        has: Cell<u64>,
        target: Cell<u64>,
        needs: u64,
        pace: u64,
    }

    impl Fake {
        fn new(needs: u64, pace: u64) -> Self {
            Self {
                free: Cell::new(0),
                has: Cell::new(4000),
                target: Cell::new(4000),
                needs,
                pace,
            }
        }

        fn give(&self) -> u64 {
            let spare = self.has.get() - self.target.get().max(self.needs);
            let given = spare.min(self.pace);
            self.has.set(self.has.get() - given);
            self.free.set(self.free.get() + given);
            given
        }
    }

    impl Host for Fake {
        fn free(&self) -> Result<u64> {
            Ok(self.free.get())
        }

        fn target(&self) -> Result<u64> {
            Ok(self.target.get())
        }

        fn set_target(&self, kib: u64) -> Result<()> {
            self.target.set(kib);
            Ok(())
        }

        fn lower_target(&self, kib: u64) -> Result<()> {
            self.set_target(self.target.get() - kib)
        }

        fn wait_for_free(&self, kib: u64, _time: Duration) -> bool {
            self.give();
            self.free.get() >= kib
        }

        fn wait_for_target(&self, _time: Duration) -> bool {
            while self.give() > 0 {}
            self.has.get() <= self.target.get()
        }
    }

    #[test]
    fn a_slow_dom0_is_not_asked_twice_for_the_same() {
        let grants = Arc::new(MemoryGrants::default());
        let host = Fake::new(500, 30);
        let grant = grants.make_on(&host, 1000, &Limits::default()).unwrap();
        assert_eq!(host.target.get(), 3000);
        // Memory that is promised is not promised again.
        let other = grants.make_on(&host, 500, &Limits::default()).unwrap();
        assert_eq!(host.target.get(), 2500);
        drop((grant, other));
        assert_eq!(*grants.promised(), 0);
    }

    #[test]
    fn a_dom0_that_cannot_gets_its_memory_back() {
        let grants = Arc::new(MemoryGrants::default());
        let host = Fake::new(3500, 100);
        let e = grants.make_on(&host, 1000, &Limits::default()).unwrap_err();
        assert_eq!(e.kind, ErrorKind::NoMemory);
        assert_eq!((host.target.get(), *grants.promised()), (4000, 0));
    }

    #[test]
    fn who_waits_for_his_turn_hears_an_abort() {
        let grants = Arc::new(MemoryGrants::default());
        let turn = grants.turn(&Limits::default()).unwrap();
        let limits = Limits::default();
        let abort = limits.abort.clone();
        let theirs = Arc::clone(&grants);
        let waiter = thread::spawn(move || theirs.turn(&limits).err().map(|e| e.kind));
        thread::sleep(Duration::from_millis(20));
        abort.abort();
        assert_eq!(waiter.join().unwrap(), Some(ErrorKind::Aborted));
        drop(turn);
        drop(grants.turn(&Limits::default()).unwrap());
    }

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
        let grants = Arc::new(MemoryGrants::default());
        *grants.promised() = 300;
        drop(MemoryGrant {
            grants: Arc::clone(&grants),
            kib: 100,
        });
        assert_eq!(*grants.promised(), 200);
    }
}
