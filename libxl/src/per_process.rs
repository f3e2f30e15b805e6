//! What a process knows, and a child that it forks does not.
//!
//! A child that goes on in Rust inherits the memory of its parent: tables of contexts that are none
//! of its own, and locks that a thread held which it does not have.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU32, Ordering},
};

/// A value under a lock. A forked child has one of its own, which begins as the default; that of its
/// parent is neither looked at nor dropped there, and it does not matter who has it locked.
#[derive(Debug, Default)]
pub(crate) struct PerProcess<T> {
    /// Whose it is; 0 before anybody has asked for it.
    pid: AtomicU32,
    value: Mutex<T>,
    /// That of a child.
    child: OnceLock<Box<Self>>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            pid: AtomicU32::new(0),
            value: Mutex::new(value),
            child: OnceLock::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let own = std::process::id();
        let mut at = self;
        // The newest first: an old process may have had the number that is ours now.
        while let Some(child) = at.child.get() {
            at = child;
        }
        let whose = at
            .pid
            .compare_exchange(0, own, Ordering::SeqCst, Ordering::SeqCst);
        match whose {
            Err(other) if other != own => {
                let child = at.child.get_or_init(Box::default);
                child.lock()
            }
            // A panic in between two statements that change it leaves nothing half done: these are
            // tables.
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
