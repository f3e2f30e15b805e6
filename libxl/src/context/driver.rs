//! A thread of this crate's own that drives a context, for programs that neither wait on it nor
//! have a loop.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Context, Core};
use crate::{Error, Result, log};

/// It runs libxl's callbacks, whose largest frame is 22 KiB, and whatever waking a task runs.
const STACK: usize = 256 * 1024;

impl Context {
    /// Sees to it that operations on this context get on although nobody waits for them: unless a
    /// loop or a thread drives it already, a thread is begun that ends with the last clone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if no thread can be made.
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
        // What panics in here is a task that is woken.
        let waited = catch_unwind(AssertUnwindSafe(|| core.wait(now, None)));
        if core.pump.has_failed() {
            // Everybody has been woken, and nothing will come any more.
            return;
        }
        if let Ok(Err(error)) = waited {
            log::error!("libxl: cannot wait for events: {error}");
            thread::sleep(Duration::from_secs(1));
        }
    }
}
