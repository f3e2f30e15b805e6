//! The methods that write a domain's memory to a file, or read it from there.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use varlink::Call;

use super::service::{Done, Service, complain, refused, until};
use super::wire::{DumpCore, Restore, Save};
use crate::core::Order;
use crate::frontends::eve::DomainStatus;

impl Service {
    pub(super) fn save(&self, call: &mut Call, save: Save) -> varlink::Result<()> {
        if let Err(bad) = self.written(&save.name, save.file.as_deref()) {
            return complain(call, bad);
        }
        let order = Order::Save {
            until: until(save.boot),
            file: save.file,
        };
        self.order(call, &save.name, &order)
    }

    pub(super) fn dump_core(&self, call: &mut Call, dump: DumpCore) -> varlink::Result<()> {
        if let Err(bad) = self.written(&dump.name, dump.file.as_deref()) {
            return complain(call, bad);
        }
        self.order(call, &dump.name, &Order::DumpCore { file: dump.file })
    }

    pub(super) fn restore(&self, call: &mut Call, restore: Restore) -> varlink::Result<()> {
        let name = match self.restored(&restore) {
            Ok(name) => name,
            Err(bad) => return complain(call, bad),
        };
        let file = restore.file;
        self.order(call, &name, &Order::Restore { file })
    }

    /// Returns the name of the domain that is to be restored.
    fn restored(&self, restore: &Restore) -> Done<String> {
        let (name, file) = (restore.name.as_deref(), restore.file.as_deref());
        let Some(file) = file else {
            return name
                .map(str::to_owned)
                .ok_or_else(|| refused("", "neither a domain nor a file is named".to_owned()));
        };
        self.file(name.unwrap_or(file), Some(file))?;
        // Opening a FIFO would wait for its writer, and reading a device might never end.
        let found = std::fs::metadata(file);
        let plain = found.map_err(|e| refused(name.unwrap_or(file), format!("{file}: {e}")))?;
        if !plain.is_file() {
            let why = format!("{file}: not a plain file");
            return Err(refused(name.unwrap_or(file), why));
        }
        let read = self.sources.saved_files.uuid(Path::new(file));
        let uuid = read.map_err(|why| refused(name.unwrap_or(file), why))?;
        if let Some(name) = name {
            let (key, _) = self.find(name)?;
            if key != uuid {
                let why = format!("{file}: it is of another domain, {uuid}");
                return Err(refused(name, why));
            }
        }
        let status = self.sources.board.one(uuid);
        let spent = status.filter(|status| is_spent(status, file, plain.modified().ok()));
        if spent.is_some() && restore.anyway != Some(true) {
            let why = format!(
                "{file}: its guest has gone on from there before, and its disks are no longer as they were then; if they \
                 have been put back, restore it --anyway"
            );
            return Err(refused(name.unwrap_or(file), why));
        }
        Ok(name.map_or_else(|| uuid.to_string(), str::to_owned))
    }

    /// Checks whether the client may have `file` written. One that a domain is saved in is not replaced.
    fn written(&self, name: &str, file: Option<&str>) -> Done<()> {
        self.file(name, file)?;
        let Some(file) = file else { return Ok(()) };
        let path = real(file);
        let all = self.all();
        let saved = all.iter().map(|(_, status)| status);
        let mut saved = saved.filter(|status| !status.saved_in.is_empty());
        match saved.find(|status| real(&status.saved_in) == path) {
            Some(status) => {
                let owner = &status.domain_name;
                Err(refused(name, format!("{file}: {owner} is saved in it")))
            }
            None => Ok(()),
        }
    }

    /// Checks whether the client may have `file` read or written: that happens with the agent's rights.
    fn file(&self, name: &str, file: Option<&str>) -> Done<()> {
        let Some(file) = file else { return Ok(()) };
        if !self.is_root {
            let why =
                "only root may name a file, which is read and written with the agent's rights";
            return Err(refused(name, why.to_owned()));
        }
        if !file.starts_with('/') || file.contains('\0') {
            return Err(refused(name, format!("{file:?}: not an absolute path")));
        }
        Ok(())
    }
}

/// Returns whether the guest of this domain has gone on from `file`, which was written at `written`.
fn is_spent(status: &DomainStatus, file: &str, written: Option<SystemTime>) -> bool {
    // As long as it is there, the domain is the reason.
    let down = status.domain_id == 0;
    let path = real(file);
    let mut same = status
        .spent_files
        .iter()
        .filter(|spent| real(&spent.path) == path);
    let is_older = |since: SystemTime| written.is_none_or(|written| written <= since);
    down && same.any(|spent| spent.since.is_none_or(|since| is_older(since.into())))
}

/// The path without links, if it exists.
fn real(path: &str) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.into())
}
