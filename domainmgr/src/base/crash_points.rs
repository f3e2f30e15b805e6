//! For tests: the agent ends at a chosen point, as if it had been killed there.
//!
//! Two things keep an agent that looks after real domains from doing so by accident. In the program `domainmgr` nothing but
//! a simulation arms a point. On a real Xen only another program does, the example `domainmgr-crash-points`, which is built
//! for tests alone; and as long as `DOMAINMGR_CRASH_POINT` is not set, it does what `domainmgr` does.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// The number of the point at which a simulated agent is killed, in the order in which it passes them.
pub const VARIABLE: &str = "DOMAINMGR_SIMULATE_CRASH";

static LEFT: AtomicU32 = AtomicU32::new(0);
static LATER_MS: AtomicU64 = AtomicU64::new(0);
static TELL: AtomicBool = AtomicBool::new(false);

/// Has the process end at the point that it passes as the `nth`, if any.
pub fn arm(nth: u32) {
    LEFT.store(nth, Ordering::SeqCst);
}

/// The same, so many milliseconds later; and it says which points it passes.
pub fn arm_and_tell(nth: u32, later_ms: u64) {
    LATER_MS.store(later_ms, Ordering::SeqCst);
    TELL.store(true, Ordering::SeqCst);
    arm(nth);
}

/// A point at which it may end: before or after something that outlives it.
pub fn point(what: &str) {
    if LEFT.load(Ordering::Relaxed) == 0 {
        return;
    }
    if TELL.load(Ordering::Relaxed) {
        eprintln!("passes: {what}");
    }
    let one_less = |left: u32| left.checked_sub(1);
    if LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) != Ok(1) {
        return;
    }
    eprintln!("crash point: {what}");
    match LATER_MS.load(Ordering::SeqCst) {
        0 => die(),
        // In the middle of what comes next.
        pause => drop(thread::spawn(move || {
            thread::sleep(Duration::from_millis(pause));
            die();
        })),
    }
}

/// Nothing is tidied up on the way.
fn die() {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        thread::park();
    }
}
