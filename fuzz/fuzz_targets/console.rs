//! What a guest prints and a user types arrives as it is, up to the escape. The first byte says where one ends
//! and the other begins.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((at, bytes)) = bytes.split_first() else { return };
    let (user, guest) = bytes.split_at(usize::from(*at).min(bytes.len()));
    domainmgr::cli::console::fuzz(user, guest);
});
