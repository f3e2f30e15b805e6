//! The xl.cfg text of a domain, which is written for people.

use super::Run;
use crate::crash;
use crate::render;
use crate::spec::Spec;
use crate::store;
use crate::toolstack::{Error, ErrorKind};

impl Run<'_> {
    /// Checks the files that a domain is built from, and writes the cfg of the domain.
    pub(super) fn prepare(&self, spec: &Spec) -> Result<(), Error> {
        let config = self.env.inputs.path_of(self.key);
        render::check_files(spec).map_err(|e| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("{}: {e}", config.display()),
            )
        })?;
        let cfgs = &self.env.cfgs;
        let path = if spec.given.is_some() {
            cfgs.claim_given(self.key)
        } else {
            let (path, other) = cfgs.claim(self.key, spec.app_num);
            if let Some(other) = other {
                let number = spec.app_num;
                log::warn!(key:% = self.key; "AppNum {number} is also that of {other}");
            }
            path
        };
        crash::point("before the cfg is written");
        if let Err(e) = store::publish(&path, render::written(spec).as_bytes()) {
            // The file is for people. Without it, the domain can still be built.
            log::warn!(key:% = self.key; "{}: {e}", path.display());
        }
        if let Err(e) = cfgs.remove_but(self.key, Some(&path)) {
            log::error!(key:% = self.key; "{e}");
        }
        Ok(())
    }
}
