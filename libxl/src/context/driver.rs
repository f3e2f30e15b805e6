//! A thread of this crate that drives a context, for programs that neither wait on the context nor
//! have an event loop.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{connection::Context, core::Core};
use crate::{Error, Result, log};

/// Stack size of the thread, in bytes. The thread runs libxl's callbacks, with frames of up to 22
/// KiB, and the wakers of tasks.
const STACK: usize = 256 * 1024;

impl Context {
    /// Keeps operations on this context in progress even if nobody waits for them.
    ///
    /// Starts a thread unless a loop or a thread already drives the context. The thread ends with
    /// the last clone of the context.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the thread cannot be created.
    pub fn drive(&self) -> Result<()> {
        let driver = self.0.driver.lock();
        let mut driver = driver.unwrap_or_else(PoisonError::into_inner);
        if driver.is_some() || self.pump().is_driven() {
            return Ok(());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (core, stopped) = (Arc::clone(self.core()), Arc::clone(&stop));
        thread::Builder::new()
            .name("libxl-driver".into())
            .stack_size(STACK)
            .spawn(move || run(&core, &stopped))
            .map_err(|e| Error::io("pthread_create", e))?;
        *driver = Some(stop);
        Ok(())
    }
}

fn run(core: &Core, stop: &AtomicBool) {
    let _driving = core.pump.drive();
    while !stop.load(Ordering::SeqCst) {
        let now = core.pump.now();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        // A panic in here comes from the waker of a task.
        let waited = catch_unwind(AssertUnwindSafe(|| core.wait(now, None)));
        if core.pump.has_failed() {
            // Every waiter has been woken, and no more events will come.
            return;
        }
        if let Ok(Err(error)) = waited {
            log::error!("libxl: cannot wait for events: {error}");
            thread::sleep(Duration::from_secs(1));
        }
    }
}
