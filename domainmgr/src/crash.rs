//! For tests: the agent ends at a chosen point, as if it had been killed there.
//!
//! Three things keep an agent that looks after real domains from doing so by accident. In the program `domainmgr` nothing
//! but a simulation arms a point. On a real Xen only another program does, `domainmgr-crash-points`, and it is not built,
//! and neither is the function that it calls, without the feature `crash-points`, which no default has. And as long as
//! `DOMAINMGR_CRASH_POINT` is not set, that program does what `domainmgr` does.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// The number of the point at which a simulated agent is killed, in the order in which it passes them.
pub const VARIABLE: &str = "DOMAINMGR_SIMULATE_CRASH";

/// The same for an agent on a real Xen, with the milliseconds after which it is killed: `NTH` or `NTH+MS`. With a number
/// that is never reached it says which points it passes.
#[cfg(feature = "crash-points")]
pub const REAL_VARIABLE: &str = "DOMAINMGR_CRASH_POINT";

static LEFT: AtomicU32 = AtomicU32::new(0);
static LATER_MS: AtomicU64 = AtomicU64::new(0);
static TELL: AtomicBool = AtomicBool::new(false);

/// Has the process end at the point that it passes as the `nth`, if any.
pub fn arm(nth: u32) {
    LEFT.store(nth, Ordering::SeqCst);
}

/// Arms a point as [`REAL_VARIABLE`] says, whatever Xen the agent is to run on.
///
/// # Errors
/// The variable is set, and is not understood.
#[cfg(feature = "crash-points")]
pub fn arm_on_a_real_xen() -> Result<(), String> {
    let Ok(text) = std::env::var(REAL_VARIABLE) else {
        return Ok(());
    };
    let (nth, later) = text.split_once('+').unwrap_or((&text, "0"));
    let bad = |_| format!("{REAL_VARIABLE}: expected NTH or NTH+MS, found {text:?}");
    LATER_MS.store(later.parse().map_err(bad)?, Ordering::SeqCst);
    TELL.store(true, Ordering::SeqCst);
    arm(nth.parse().map_err(bad)?);
    Ok(())
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
