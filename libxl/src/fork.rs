//! A fork for libxl that leaves no stuck lock in the child.
//!
//! libxl forks for long work, such as destroying a domain, and the child calls Xen without an exec.
//! libxentoolcore and libxencall each have one lock for the whole process, which they hold for
//! moments only, but do not protect against a fork: a lock that another thread holds at that moment
//! stays locked in the child. The child then waits for ever, and libxl for the child (seen on Xen
//! 4.17, with a few threads that destroy domains). Only those libraries can reach the locks, so the
//! child tries them out before libxl gets it, and a child that is stuck is replaced.

use std::{
    ffi::c_void,
    os::fd::{AsFd, OwnedFd},
    ptr,
    time::{Duration, Instant},
};

use libc::pid_t;
use libxl_sys as sys;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, read, write},
    pipe::{PipeFlags, pipe_with},
};

/// Time that the first of `TRIES` children has to answer.
///
/// Each further child has twice as long as the one before it, so that a slow computer is not taken
/// for a lock.
const PATIENCE: Duration = Duration::from_millis(250);
const TRIES: u32 = 7;

/// The function that libxl calls instead of `fork`, by `libxl_childproc_hooks`.
pub(crate) unsafe extern "C" fn replacement(_: *mut c_void) -> pid_t {
    fork(call_xen)
}

/// Takes the locks, and gives them back.
fn call_xen() {
    // SAFETY: a connection that only the child knows. Without a logger xencall makes one itself. A
    // call that fails has not waited for a lock, which is enough here.
    unsafe {
        let xen = sys::xencall_open(ptr::null_mut(), 0);
        if xen.is_null() {
            return;
        }
        let page = sys::xencall_alloc_buffer_pages(xen, 1);
        if !page.is_null() {
            sys::xencall_free_buffer_pages(xen, page, 1);
        }
        sys::xencall_close(xen);
    }
}

/// Forks, and replaces a child in which `attempt` does not return in time.
fn fork(attempt: fn()) -> pid_t {
    let mut patience = PATIENCE;
    for _ in 0..TRIES {
        let Ok((reader, writer)) = pipe_with(PipeFlags::CLOEXEC) else {
            break;
        };
        // SAFETY: in the child nothing of Rust's is used that another thread might have locked.
        match unsafe { libc::fork() } {
            -1 => return -1,
            0 => {
                drop(reader);
                attempt();
                let _ = write(&writer, &[0]);
                return 0;
            }
            child => {
                drop(writer);
                if answers(&reader, patience) {
                    return child;
                }
                // SAFETY: a child of ours that no other code knows yet. A program that reaps all
                // children may have reaped it already.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    while libc::waitpid(child, ptr::null_mut(), 0) == -1
                        && Errno::from_io_error(&std::io::Error::last_os_error())
                            == Some(Errno::INTR)
                    {}
                }
            }
        }
        patience *= 2;
    }
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() = libc::EAGAIN };
    -1
}

/// Returns true if the child writes to the pipe within `patience`.
fn answers(reader: &OwnedFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let mut fds = [PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN)];
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        });
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return false,
            Ok(_) => return read(reader, &mut [0]) == Ok(1),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
#[path = "../tests/program/mod.rs"]
mod program;

#[cfg(test)]
mod tests {
    use std::{cell::UnsafeCell, env, process, sync::mpsc, thread, time::Duration};

    use super::{PATIENCE, fork, program::this_program};

    struct Lock(UnsafeCell<libc::pthread_mutex_t>);

    // SAFETY: only pthread's functions touch it.
    unsafe impl Sync for Lock {}

    static LOCK: Lock = Lock(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));

    fn lock() {
        // SAFETY: an initialised mutex.
        unsafe { libc::pthread_mutex_lock(LOCK.0.get()) };
    }

    fn unlock() {
        // SAFETY: locked by this thread.
        unsafe { libc::pthread_mutex_unlock(LOCK.0.get()) };
    }

    /// Set in the process that [`alone`] starts.
    const ALONE: &str = "LIBXL_TEST_ALONE";

    /// Runs `test` once more in a process of its own, and returns true there.
    ///
    /// The children of this process would keep the descriptors of other tests open, and a peer that
    /// has hung up would seem to be there.
    fn alone(test: &str) -> bool {
        if env::var_os(ALONE).is_some() {
            return true;
        }
        let run = this_program()
            .args(["--exact", test])
            .env(ALONE, process::id().to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
        false
    }

    #[test]
    fn a_child_that_is_forked_while_a_lock_is_held_is_replaced() {
        if !alone("fork::tests::a_child_that_is_forked_while_a_lock_is_held_is_replaced") {
            return;
        }
        let (held, is_held) = mpsc::channel();
        let holder = thread::spawn(move || {
            lock();
            held.send(()).unwrap();
            thread::sleep(PATIENCE + Duration::from_millis(50));
            unlock();
        });
        is_held.recv().unwrap();
        let child = fork(|| {
            lock();
            unlock();
        });
        if child == 0 {
            // SAFETY: ends the child, if it is stuck.
            unsafe { libc::alarm(5) };
            lock();
            // SAFETY: ends it without anything of the parent's.
            unsafe { libc::_exit(7) };
        }
        let mut status = 0;
        // SAFETY: a child of this process and a place for its status.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(ended, child);
        assert!(libc::WIFEXITED(status), "{status}");
        assert_eq!(libc::WEXITSTATUS(status), 7);
        holder.join().unwrap();
    }
}
