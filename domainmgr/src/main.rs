//! The Domain Management Agent.
#![forbid(unsafe_code)]
// A function is about one thing. Tests may be longer: they list their cases.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

use std::process::ExitCode;

fn main() -> ExitCode {
    domainmgr::cli::main()
}
