//! A stream with any content arrives as it was sent, from libxl and to it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| libxl::fuzzing::relay(bytes));
