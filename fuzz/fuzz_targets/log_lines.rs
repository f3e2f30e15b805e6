//! Lines and progress with any content pass through libxl's logger.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| libxl::fuzzing::log(bytes));
