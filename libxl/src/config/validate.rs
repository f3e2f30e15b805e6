//! What can be checked without libxl.

use super::{DomainConfig, Invalid};

impl DomainConfig {
    /// Checks what libxl would get wrong without saying so.
    ///
    /// # Errors
    ///
    /// The first field that must not reach libxl.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.c_info.name.is_empty() {
            return Err(Invalid::new("c_info.name", "is empty"));
        }
        Ok(())
    }
}
