//! The fields about the end of the domain when the host goes down.

use super::fields::Result;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
use crate::spec::with_host::{OnHostStop, WithHost, check_after};

/// # Errors
/// The first field that is wrong.
pub fn with_host(c: &DomainConfig) -> Result<WithHost> {
    check_after(&c.after).map_err(|e| FieldError::new("After", e))?;
    let on_stop = OnHostStop::parse(&c.on_host_stop);
    Ok(WithHost {
        priority: c.priority,
        after: c.after.clone(),
        on_stop: on_stop.map_err(|e| FieldError::new("OnHostStop", e))?,
    })
}
