//! The Domain Management Agent, which can be made to die at a chosen point on a real Xen. For tests; it is not installed.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match domainmgr::crash::arm_on_a_real_xen() {
        Ok(()) => domainmgr::cli::main(),
        Err(e) => {
            eprintln!("domainmgr: {e}");
            ExitCode::FAILURE
        }
    }
}
