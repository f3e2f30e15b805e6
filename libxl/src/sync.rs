//! Synchronization between threads: from the standard library, or from loom in its tests.
//!
//! `cargo xtask test --loom` tries all orders in which a few threads can go through the queue of
//! events, the pump, a claim, and the handles that end a relay. No other test works with that cfg.
//! Its name is not `loom`, because that cfg changes other crates as well.

pub(crate) use std::sync::PoisonError;
#[cfg(not(all(libxl_loom, test)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool};

#[cfg(all(libxl_loom, test))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool};

/// Runs `body` with all orders of its threads, with at most `switches` preemptions.
#[cfg(all(libxl_loom, test))]
pub(crate) fn model(switches: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(body);
}

/// Model of a [`Bell`](crate::wake::Bell), as a thread that polls it sees it.
#[cfg(all(libxl_loom, test))]
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

#[cfg(all(libxl_loom, test))]
impl Bell {
    #[allow(clippy::unnecessary_wraps)]
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self::default())
    }

    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_all();
    }

    pub(crate) fn silence(&self) {
        *self.rung.lock().unwrap() = false;
    }

    /// Waits until the bell is rung.
    pub(crate) fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
    }
}

#[cfg(all(libxl_loom, test))]
impl crate::wake::Wake for Bell {
    fn wake(&self) {
        self.ring();
    }
}

/// Model of a [`PerProcess`](crate::per_process::PerProcess) without forks.
#[cfg(all(libxl_loom, test))]
#[derive(Debug, Default)]
pub(crate) struct PerProcess<T>(Mutex<T>);

#[cfg(all(libxl_loom, test))]
impl<T> PerProcess<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}
