//! The xl.cfg text of a domain, which is written for people.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Run;
use crate::crash;
use crate::render;
use crate::spec::Spec;
use crate::store;
use crate::toolstack::{Error, ErrorKind};

/// Returns the key of the domain that a file describes.
fn owner(path: &Path) -> Option<Uuid> {
    let text = store::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let uuid = text.lines().find_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("uuid = \"")
            .or_else(|| line.strip_prefix("\"uuid\": \""))
    })?;
    uuid.split('"').next()?.parse().ok()
}

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
        let path = if spec.given.is_some() {
            self.env.dirs.cfgs().join(format!("{}.json", self.key))
        } else {
            self.cfg_path(spec.app_num)
        };
        crash::point("before the cfg is written");
        if let Err(e) = store::write(&path, render::written(spec).as_bytes()) {
            // The file is for people. Without it, the domain can still be built.
            log::warn!(key:% = self.key; "{}: {e}", path.display());
        }
        if let Err(e) = self.remove_cfgs_but(Some(&path)) {
            log::error!(key:% = self.key; "{e}");
        }
        Ok(())
    }

    /// Returns the path of the domain's cfg. App numbers should differ between domains, and files must.
    fn cfg_path(&self, app_num: u32) -> PathBuf {
        let path = self.env.dirs.cfg_of(app_num);
        match owner(&path) {
            Some(other) if other != self.key => {
                log::warn!(key:% = self.key; "AppNum {app_num} is also that of {other}");
                let name = format!("xen{app_num}-{}.cfg", self.key);
                self.env.dirs.cfgs().join(name)
            }
            _ => path,
        }
    }

    /// Removes the cfgs of this key but for `current`, whatever app number they have. A cfg may hold a password.
    pub(super) fn remove_cfgs_but(&self, current: Option<&Path>) -> Result<(), String> {
        let dir = self.env.dirs.cfgs();
        let names = store::list(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut result = Ok(());
        for name in names {
            let path = dir.join(name);
            if Some(path.as_path()) == current || owner(&path) != Some(self.key) {
                continue;
            }
            let gone = store::remove(&path).map_err(|e| format!("{}: {e}", path.display()));
            result = result.and(gone);
        }
        result
    }
}
