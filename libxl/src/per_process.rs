//! State that is valid in this process only and must not survive a fork.
//!
//! A child that goes on in Rust inherits the memory of its parent: tables of the parent's contexts,
//! and locks held by threads that do not exist in the child.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

/// Grows with each fork, from 1.
static GENERATION: AtomicU32 = AtomicU32::new(1);

/// Called by `fork` in the child.
unsafe extern "C" fn forked() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
}

/// Returns a number that no ancestor of this process has had. To ask for the pid would be a system call.
fn generation() -> u32 {
    // No `Once`: a fork while another thread is in it would leave the child waiting.
    static IS_COUNTED: AtomicBool = AtomicBool::new(false);
    if !IS_COUNTED.load(Ordering::SeqCst) {
        // SAFETY: `forked` does nothing but count, which is allowed in the child of a process with threads. Two threads that come at
        // once have it count twice.
        let rc = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        assert_eq!(rc, 0, "pthread_atfork: there is no memory");
        IS_COUNTED.store(true, Ordering::SeqCst);
    }
    GENERATION.load(Ordering::SeqCst)
}

/// A value under a lock, with a separate value in each forked child.
///
/// The child's value begins as the default. The parent's value is neither read nor dropped in the
/// child, and it does not matter which thread holds the parent's lock.
#[derive(Debug, Default)]
pub(crate) struct PerProcess<T> {
    /// Generation of the process that owns the value; 0 before the first lock.
    owner: AtomicU32,
    value: Mutex<T>,
    /// The value of a forked child.
    child: OnceLock<Box<Self>>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            owner: AtomicU32::new(0),
            value: Mutex::new(value),
            child: OnceLock::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let own = generation();
        let mut at = self;
        while let Some(child) = at.child.get() {
            at = child;
        }
        let whose = at
            .owner
            .compare_exchange(0, own, Ordering::SeqCst, Ordering::SeqCst);
        match whose {
            Err(other) if other != own => {
                let child = at.child.get_or_init(Box::default);
                child.lock()
            }
            // The values are tables: a panic between two statements leaves nothing half done.
            _ => at.value.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PerProcess;

    #[test]
    fn a_child_has_one_of_its_own_whoever_held_its_parents() {
        static TABLE: PerProcess<Vec<u32>> = PerProcess::new(Vec::new());
        let mut held = TABLE.lock();
        held.push(1);
        // SAFETY: the child does nothing but allocate, which glibc allows, and end.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child, if it waits for its parent's lock.
            unsafe { libc::alarm(5) };
            let inherited = !TABLE.lock().is_empty();
            TABLE.lock().push(2);
            let kept = *TABLE.lock() == [2];
            // SAFETY: ends it without anything of the parent's.
            unsafe { libc::_exit(if kept && !inherited { 7 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: a child of this process and a place for its status.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(ended, child);
        assert!(libc::WIFEXITED(status), "{status}");
        assert_eq!(libc::WEXITSTATUS(status), 7);
        drop(held);
        assert_eq!(*TABLE.lock(), [1]);
    }
}
