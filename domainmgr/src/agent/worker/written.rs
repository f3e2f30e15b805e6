//! The xl.cfg text of a domain, which is written for people.

use super::run::Run;
use crate::base::crash_points;
use crate::base::store;
use crate::host::files;
use crate::spec::Spec;
use crate::spec::render;
use crate::toolstack::{Error, ErrorKind};

impl Run<'_> {
    /// Checks the files that a domain is built from, and writes the cfg of the domain.
    pub(super) fn prepare(&self, spec: &Spec) -> Result<(), Error> {
        let config = self.env.inputs.path_of(self.key);
        files::check(spec).map_err(|e| {
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
        crash_points::point("before the cfg is written");
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
