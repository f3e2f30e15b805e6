//! Features of the libxl that is linked.

use libxl_sys as sys;

/// The version of the libxl this crate was built against, such as `4.17.0`.
pub const BUILT_FOR: &str = sys::VERSION;

/// Returns true if the headers declare `LIBXL_HAVE_<feature>`. `feature` is in lower case.
///
/// Check features rather than version numbers: distributions backport.
#[must_use]
pub fn have(feature: &str) -> bool {
    sys::HAVE.binary_search(&feature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::have;

    #[test]
    fn a_feature_of_every_supported_version_is_found() {
        assert!(have("ao_abort"));
        assert!(!have("no_such_feature"));
    }
}
