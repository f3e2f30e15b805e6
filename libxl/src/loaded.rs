//! Check that the loaded libxl is the one that this crate was built for.

use std::{
    ffi::CStr,
    sync::atomic::{AtomicBool, Ordering},
};

use libxl_sys as sys;

use crate::{Error, ErrorKind, Result, have::BUILT_FOR};

/// Fails if another libxl is loaded, because its structures would have another layout.
///
/// libxl has no function that returns its own version (`libxl_get_version_info` is about the
/// hypervisor), and `libxl_ctx_alloc` accepts every caller. But each release has its own SONAME.
pub(crate) fn check(function: &'static str) -> Result<()> {
    // A library that was the right one stays the right one: it is never unloaded.
    static IS_RIGHT: AtomicBool = AtomicBool::new(false);
    if IS_RIGHT.load(Ordering::Relaxed) {
        return Ok(());
    }
    // SAFETY: takes nothing; the string belongs to a library that stays loaded.
    let loaded = unsafe { sys::libxl_sys_loaded_soname().as_ref() };
    // SAFETY: as above, NUL-terminated.
    let loaded = loaded.map(|loaded| unsafe { CStr::from_ptr(loaded) });
    compare(function, loaded.map(CStr::to_string_lossy).as_deref())?;
    IS_RIGHT.store(true, Ordering::Relaxed);
    Ok(())
}

fn compare(function: &'static str, loaded: Option<&str>) -> Result<()> {
    match loaded {
        Some(loaded) if loaded != sys::SONAME => Err(Error::new(ErrorKind::Unsupported, function)
            .with_message(format!(
                "this program was built for libxl {BUILT_FOR} ({}), but {loaded} is loaded",
                sys::SONAME
            ))),
        // A program that contains libxl itself has no other one loaded.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{compare, sys};
    use crate::ErrorKind;

    #[test]
    fn another_libxl_is_refused() {
        compare("f", Some(sys::SONAME)).unwrap();
        compare("f", None).unwrap();
        let error = compare("f", Some("libxenlight.so.4.99")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("but libxenlight.so.4.99 is loaded"), "{text}");
    }
}
