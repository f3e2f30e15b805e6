//! A client of the control socket may send anything: every reply is a message, and the agent goes on.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| domainmgr::frontends::control::fuzz(bytes));
