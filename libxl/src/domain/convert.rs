//! Configurations to C and back.

use libxl_sys as sys;

use crate::{Context, Error, ErrorKind, Result, config::DomainConfig, raw::Owned};

impl Context {
    /// Makes libxl's structure.
    pub(crate) fn config_to_c(
        &self,
        config: &DomainConfig,
    ) -> Result<Owned<sys::libxl_domain_config>> {
        config.validate().map_err(|e| {
            Error::new(ErrorKind::Invalid, "libxl_domain_config_from_json")
                .with_message(e.to_string())
        })?;
        self.make_c(config)
    }

    /// Reads libxl's structure.
    pub(super) fn config_from_c(
        &self,
        raw: &Owned<sys::libxl_domain_config>,
    ) -> Result<DomainConfig> {
        self.read_c(raw.as_ptr())
    }
}
