//! For tests in a simulation: the agent ends at a chosen point, as if it had been killed there.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// Names the point at which a simulated agent is killed: the how manieth it passes.
pub const VARIABLE: &str = "DOMAINMGR_SIMULATE_CRASH";

static LEFT: AtomicU32 = AtomicU32::new(0);

/// Has the process end at the point that it passes as the `nth`, if any.
pub fn arm(nth: u32) {
    LEFT.store(nth, Ordering::SeqCst);
}

/// A point at which it may end: before or after something that outlives it.
pub fn point(what: &str) {
    if LEFT.load(Ordering::Relaxed) == 0 || LEFT.fetch_sub(1, Ordering::SeqCst) != 1 {
        return;
    }
    eprintln!("crash point: {what}");
    // Nothing is tidied up on the way.
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}
