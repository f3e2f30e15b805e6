//! SIGCHLD.

use libxl::{Context, ErrorKind};

use crate::stand_in::simulated;

extern "C" fn handler(_: libc::c_int) {}

fn action() -> libc::sighandler_t {
    // SAFETY: an action is plain data.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks for the present action only.
    unsafe { libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut now) };
    now.sa_sigaction
}

fn set(to: libc::sighandler_t) {
    // SAFETY: a handler that does nothing, or the default.
    unsafe { libc::signal(libc::SIGCHLD, to) };
}

#[test]
fn a_handler_of_the_programs_survives_every_context() {
    simulated(
        "signals::a_handler_of_the_programs_survives_every_context",
        || {
            let ours = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
            let (first, second) = (Context::open().unwrap(), Context::open().unwrap());
            let libxls = action();
            assert!(libxls != libc::SIG_DFL && libxls != ours);
            set(ours);
            drop(first);
            assert_eq!(action(), ours, "one of two has gone");
            drop(second);
            assert_eq!(action(), ours, "the last one has gone");
            let error = Context::open().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            set(libc::SIG_DFL);
            drop(Context::open().unwrap());
            assert_eq!(action(), libc::SIG_DFL);
        },
    );
}
