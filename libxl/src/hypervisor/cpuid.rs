//! CPUID policies, as configuration files write them.

use std::ffi::{c_char, c_int};

use libxl_sys as sys;

use crate::{
    Context, Error, ErrorKind, Result,
    config::{CpuidPolicy, DomainConfig},
    raw::{Owned, c_string},
};

impl Context {
    /// Reads one item of a CPUID policy as `xl.cfg` has it: `host`-relative flags such as `sse4_2=0`
    /// or `family=6`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if libxl does not accept the item.
    #[doc(alias = "libxl_cpuid_parse_config")]
    pub fn parse_cpuid(&self, item: &str) -> Result<CpuidPolicy> {
        self.cpuid(
            "libxl_cpuid_parse_config",
            item,
            sys::libxl_cpuid_parse_config,
        )
    }

    /// Reads one item of a CPUID policy in the form of old configurations, a leaf with its
    /// registers: `1:edx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if libxl does not accept the item.
    #[doc(alias = "libxl_cpuid_parse_config_xend")]
    pub fn parse_cpuid_xend(&self, item: &str) -> Result<CpuidPolicy> {
        self.cpuid(
            "libxl_cpuid_parse_config_xend",
            item,
            sys::libxl_cpuid_parse_config_xend,
        )
    }

    fn cpuid(&self, function: &'static str, item: &str, parse: ParseCpuid) -> Result<CpuidPolicy> {
        let config = parse_cpuid_item(function, item, parse)?;
        let config: DomainConfig = self.read_c(config.as_ptr())?;
        Ok(config.b_info.cpuid)
    }
}

/// The shape of the two functions that read an item of a CPUID policy.
type ParseCpuid = unsafe extern "C" fn(*mut sys::libxl_cpuid_policy_list, *const c_char) -> c_int;

/// Returns a configuration that holds only this item.
fn parse_cpuid_item(
    function: &'static str,
    item: &str,
    parse: ParseCpuid,
) -> Result<Owned<sys::libxl_domain_config>> {
    let mut text = c_string(function, "item", item)?.into_bytes_with_nul();
    // The parser of xend's form looks at the third character of a register's name before it has
    // seen that there is a second one.
    text.extend([0, 0]);
    // A policy has a JSON form only within a configuration.
    let config = Owned::<sys::libxl_domain_config>::new();
    // SAFETY: an initialised structure, whose type is set once.
    unsafe {
        sys::libxl_domain_build_info_init_type(
            &raw mut (*config.as_ptr()).b_info,
            sys::libxl_domain_type::LIBXL_DOMAIN_TYPE_PV,
        );
    }
    // SAFETY: the place of a policy in an initialised structure, which owns what comes there, and a
    // text with more NULs at its end than are looked at.
    let rc = unsafe {
        parse(
            &raw mut (*config.as_ptr()).b_info.cpuid,
            text.as_ptr().cast(),
        )
    };
    if rc != 0 {
        return Err(Error::new(ErrorKind::Invalid, function)
            .with_message(format!("{item:?} is no item of a CPUID policy")));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::{parse_cpuid_item, sys};
    use crate::ErrorKind;

    /// Under valgrind this also shows that nothing beyond the items is read.
    #[test]
    fn items_of_a_cpuid_policy_that_end_early_are_refused() {
        const FUNCTION: &str = "libxl_cpuid_parse_config_xend";
        for wrong in [
            "", "1", "1:e", "1:ed", "1:edx", "1:edx=", "1:edx=xx", "1,", "1,0:e",
        ] {
            let error = parse_cpuid_item(FUNCTION, wrong, sys::libxl_cpuid_parse_config_xend)
                .err()
                .unwrap();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong:?}");
        }
        for wrong in ["", "=", "family", "family=", "sse4_2=q", "=1"] {
            let error = parse_cpuid_item("f", wrong, sys::libxl_cpuid_parse_config)
                .err()
                .unwrap();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong:?}");
        }
    }
}
