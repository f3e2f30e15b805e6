//! Deadlines of operations that nobody waits for. One thread serves the whole process, and exists
//! only while there are deadlines.

use std::{
    sync::{Arc, Condvar, PoisonError, Weak},
    thread,
    time::Instant,
};

use crate::{Error, Result, context::Core, per_process::PerProcess};

/// Stack size of the thread, in bytes. The thread runs libxl's callbacks, whose largest frame is 22
/// KiB.
const STACK: usize = 256 * 1024;

#[derive(Default)]
struct Alarms {
    /// The next deadline on each context.
    due: Vec<(Instant, Weak<Core>)>,
    /// True while the thread exists.
    runs: bool,
}

impl Alarms {
    fn add(&mut self, at: Instant, core: Weak<Core>) {
        self.due.retain(|(_, known)| known.strong_count() > 0);
        match self.due.iter_mut().find(|(_, known)| known.ptr_eq(&core)) {
            Some((known, _)) => *known = at.min(*known),
            None => self.due.push((at, core)),
        }
    }

    fn first(&self) -> Option<usize> {
        let due = self.due.iter().enumerate();
        due.min_by_key(|(_, (at, _))| *at).map(|(index, _)| index)
    }
}

static ALARMS: PerProcess<Option<Alarms>> = PerProcess::new(None);
static SET: Condvar = Condvar::new();

/// Has the deadlines of a context enforced from `at` on.
pub(super) fn set(at: Instant, core: &Arc<Core>) -> Result<()> {
    let mut guard = ALARMS.lock();
    let alarms = guard.get_or_insert_default();
    if !alarms.runs {
        thread::Builder::new()
            .name("libxl-deadlines".into())
            .stack_size(STACK)
            .spawn(run)
            .map_err(|e| Error::io("pthread_create", e))?;
        alarms.runs = true;
    }
    alarms.add(at, Arc::downgrade(core));
    drop(guard);
    SET.notify_all();
    Ok(())
}

fn run() {
    loop {
        let mut guard = ALARMS.lock();
        let alarms = guard.get_or_insert_default();
        let Some(first) = alarms.first() else {
            alarms.runs = false;
            return;
        };
        let (at, now) = (alarms.due[first].0, Instant::now());
        if at > now {
            let woken = SET.wait_timeout(guard, at - now);
            drop(woken.unwrap_or_else(PoisonError::into_inner));
            continue;
        }
        let (_, core) = alarms.due.swap_remove(first);
        // Outside the lock, because this calls libxl, and the program's logger.
        drop(guard);
        let Some(core) = core.upgrade() else { continue };
        core.enforce();
        if let Some(next) = core.next_deadline() {
            let mut guard = ALARMS.lock();
            let alarms = guard.get_or_insert_default();
            alarms.add(next, Arc::downgrade(&core));
        }
    }
}
