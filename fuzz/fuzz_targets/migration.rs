//! A peer that sends any bytes is accepted or refused, at both ends of a migration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| libxl::fuzzing::migration(bytes));
