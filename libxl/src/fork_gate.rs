//! No process is forked while a context opens or closes.
//!
//! libxl forks for what takes long, such as taking a domain apart, and the child opens a connection
//! to Xen for that. libxentoolcore keeps all connections of a process in a list, with a lock that
//! knows nothing of forks: if another thread holds it at that moment, because it opens or closes a
//! context, it stays locked in the child, which then waits for ever, and libxl with it.

use std::{cell::UnsafeCell, sync::Once};

struct Gate(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: nothing but pthread's functions, which are made for that, touches what is in it.
unsafe impl Sync for Gate {}

static GATE: Gate = Gate(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));

unsafe extern "C" fn lock() {
    // SAFETY: an initialised mutex that is never destroyed. Neither opening nor closing a context
    // forks, so no thread locks it twice.
    unsafe { libc::pthread_mutex_lock(GATE.0.get()) };
}

unsafe extern "C" fn unlock() {
    // SAFETY: locked by this thread, or in a child by the thread that it was forked from: a mutex
    // of the default type does not tell them apart.
    unsafe { libc::pthread_mutex_unlock(GATE.0.get()) };
}

/// Keeps this process from being forked, and others from doing so, until it is dropped.
pub(crate) struct Closed(());

/// Waits until nobody else has closed it.
pub(crate) fn close() -> Closed {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: three functions that are there for ever. It fails for want of memory only, and
        // then forks are as they would be without it.
        unsafe { libc::pthread_atfork(Some(lock), Some(unlock), Some(unlock)) };
    });
    // SAFETY: as in there.
    unsafe { lock() };
    Closed(())
}

impl Drop for Closed {
    fn drop(&mut self) {
        // SAFETY: locked by `close`, in this thread.
        unsafe { unlock() };
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::close;

    #[test]
    fn a_fork_waits_and_its_child_can_open_contexts() {
        let closed = close();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // SAFETY: the child calls nothing but the gate, and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                drop(close());
                // SAFETY: ends the child, without anything of the parent's.
                unsafe { libc::_exit(7) };
            }
            let mut status = 0;
            // SAFETY: a child of this process and a place for its status.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            sender.send(libc::WEXITSTATUS(status)).unwrap();
        });
        let early = receiver.recv_timeout(Duration::from_millis(300));
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
        drop(closed);
        let status = receiver.recv_timeout(Duration::from_secs(60));
        assert_eq!(status, Ok(7));
    }
}
