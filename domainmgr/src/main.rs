//! The Domain Management Agent.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    domainmgr::cli::main()
}
