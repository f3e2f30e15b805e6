//! A file with any content is refused with a reason, or is the header of a saved domain, which can be written
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| libxl::fuzzing::save_header(bytes));
