//! Output of a guest and input of a user arrive unchanged, up to the escape. The first byte gives
//! the place where the bytes are split between the two.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((at, bytes)) = bytes.split_first() else { return };
    let (user, guest) = bytes.split_at(usize::from(*at).min(bytes.len()));
    domainmgr::cli::console::fuzz(user, guest);
});
