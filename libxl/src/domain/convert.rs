//! Configurations to C and back, through libxl's own JSON.
//!
//! libxl's parser drops what it does not know or finds of the wrong type, and reports success. So
//! what it made of a configuration is read back and compared.

use std::ffi::c_int;

use libxl_sys as sys;
use serde_json::Value;

use crate::{
    Context, Error, ErrorKind, Result,
    config::{DomainConfig, lost_fields, redact, refused_fields},
    have::BUILT_FOR,
    logger::expecting_failure,
    raw::{Owned, c_string, take_str},
};

const FROM: &str = "libxl_domain_config_from_json";
const TO: &str = "libxl_domain_config_to_json";

impl Context {
    /// Makes libxl's structure.
    pub(crate) fn config_to_c(
        &self,
        config: &DomainConfig,
    ) -> Result<Owned<sys::libxl_domain_config>> {
        config
            .validate()
            .map_err(|e| Error::new(ErrorKind::Invalid, FROM).with_message(e.to_string()))?;
        let sent = serde_json::to_value(config)
            .map_err(|e| Error::new(ErrorKind::Invalid, FROM).with_message(e.to_string()))?;
        let mark = self.log_mark();
        let raw = match self.parse(&sent)? {
            (raw, 0) => raw,
            (_, rc) => {
                // libxl names nothing: offer it each field alone, to learn which one it refuses.
                let refused = expecting_failure(|| {
                    refused_fields(&sent, |part| self.parse(part).is_ok_and(|(_, rc)| rc == 0))
                });
                return Err(Error::from_code(FROM, rc)
                    .with_kind(ErrorKind::Invalid)
                    .with_message(format!(
                        "libxl {BUILT_FOR} does not take: {}",
                        refused.join(", ")
                    ))
                    .with_log(self.log_since(mark)));
            }
        };
        let lost = lost_fields(&sent, &self.config_to_json(&raw)?);
        if lost.is_empty() {
            return Ok(raw);
        }
        Err(
            Error::new(ErrorKind::Unsupported, FROM).with_message(format!(
                "libxl {BUILT_FOR} has no place for: {}",
                lost.join(", ")
            )),
        )
    }

    /// Has libxl parse JSON, and returns its verdict.
    fn parse(&self, json: &Value) -> Result<(Owned<sys::libxl_domain_config>, c_int)> {
        let text = c_string(FROM, "configuration", &json.to_string())?;
        let raw = Owned::<sys::libxl_domain_config>::new();
        // SAFETY: a live context, an initialised structure, a NUL-terminated text.
        let rc = unsafe {
            sys::libxl_domain_config_from_json(self.as_ptr(), raw.as_ptr(), text.as_ptr())
        };
        Ok((raw, rc))
    }

    /// Reads libxl's structure.
    pub(super) fn config_from_c(
        &self,
        raw: &Owned<sys::libxl_domain_config>,
    ) -> Result<DomainConfig> {
        let value = self.config_to_json(raw)?;
        serde_json::from_value(value.clone()).map_err(|e| {
            let mut value = value;
            redact(&mut value);
            Error::new(ErrorKind::Failed, TO).with_message(format!("{e} in {value}"))
        })
    }

    fn config_to_json(&self, raw: &Owned<sys::libxl_domain_config>) -> Result<Value> {
        let mark = self.log_mark();
        // SAFETY: a live context and a structure that libxl filled in; the string is for us.
        let text = unsafe {
            take_str(sys::libxl_domain_config_to_json(
                self.as_ptr(),
                raw.as_ptr(),
            ))
        };
        let text =
            text.ok_or_else(|| Error::new(ErrorKind::Failed, TO).with_log(self.log_since(mark)))?;
        serde_json::from_str(&text)
            .map_err(|e| Error::new(ErrorKind::Failed, TO).with_message(e.to_string()))
    }
}
