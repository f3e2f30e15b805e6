//! The condition that these functions exist: libxl has them on x86 only.

/// Runs the given code where libxl has these functions: on x86.
macro_rules! if_there {
    ($function:literal, $what:expr) => {{
        #[cfg(libxl_have = "psr_generic")]
        {
            $what
        }
        #[cfg(not(libxl_have = "psr_generic"))]
        {
            Err($crate::Context::lacks($function, "psr_generic"))
        }
    }};
}
pub(super) use if_there;
