//! Conversion of configurations to C and back.

use libxl_sys as sys;

use crate::{
    Context, Error, ErrorKind, Result,
    bitmaps::lengthen,
    config::{Direct, DomainConfig, check_values},
    raw::Owned,
};

impl Context {
    /// Validates a configuration, and converts it to libxl's structure.
    pub(crate) fn config_to_c(
        &self,
        config: &DomainConfig,
    ) -> Result<Owned<sys::libxl_domain_config>> {
        let made = self.make_c_after::<sys::libxl_domain_config>(&Direct(config), |json| {
            json.map_or(Ok(()), check_values)
                .and_then(|()| config.validate_types())
                .map_err(|e| {
                    Error::new(ErrorKind::Invalid, "libxl_domain_config_from_json")
                        .with_message(e.to_string())
                })
        })?;
        if !config.b_info.nodemap.is_empty() {
            // libxl hands the map to Xen, which reads as many bytes as the host has nodes for (4.14
            // to 4.22). libxl's parser makes the map only as long as the last node in it.
            let bytes = self.max_nodes()?.div_ceil(8);
            // SAFETY: initialised, and not shared yet.
            lengthen(unsafe { &mut (*made.as_ptr()).b_info.nodemap }, bytes)?;
        }
        Ok(made)
    }

    /// Converts libxl's structure to a configuration.
    pub(super) fn config_from_c(
        &self,
        raw: &Owned<sys::libxl_domain_config>,
    ) -> Result<DomainConfig> {
        self.read_c(raw.as_ptr())
    }
}
