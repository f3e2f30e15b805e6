//! The Domain Management Agent with crash points: it can be killed at a chosen point on a real Xen. For tests; not installed.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use domainmgr::base::crash_points;

/// Environment variable that chooses the point: `NTH` or `NTH+MS`.
///
/// `NTH` is the number of the point, in the order in which the agent passes them. `MS` is the time between the point and the
/// kill, in milliseconds. With a number that is never reached, the agent only prints the points that it passes.
const VARIABLE: &str = "DOMAINMGR_CRASH_POINT";

/// Arms a point as [`VARIABLE`] says, whatever Xen the agent is to run on.
fn arm() -> Result<(), String> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Ok(());
    };
    let (nth, later) = text.split_once('+').unwrap_or((&text, "0"));
    let bad = |_| format!("{VARIABLE}: expected NTH or NTH+MS, found {text:?}");
    crash_points::arm_and_tell(nth.parse().map_err(bad)?, later.parse().map_err(bad)?);
    Ok(())
}

fn main() -> ExitCode {
    match arm() {
        Ok(()) => domainmgr::cli::main(),
        Err(e) => {
            eprintln!("domainmgr: {e}");
            ExitCode::FAILURE
        }
    }
}
