//! Changes that a worker makes to a running domain.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::sync::PoisonError;

use super::run::Run;
use crate::agent::env::Report;
use crate::host::owners;
use crate::spec::Spec;
use crate::spec::change::{Change, Figures, mac_of};
use crate::spec::claims::Refusal;
use crate::spec::feasibility;
use crate::spec::from_libxl;
use crate::toolstack::live::make;
use crate::toolstack::{DomainId, Error, ErrorKind, Limits, Need};

impl Run<'_> {
    /// Changes the domain `id` from `before` to `after`.
    ///
    /// Beforehand, the domain takes ownership of what the change adds. It keeps what the change removes until the change has
    /// been made.
    pub(super) fn change(
        &mut self,
        id: DomainId,
        change: &Change,
        before: &Spec,
        after: &Spec,
        limits: &Limits,
    ) -> Result<(), Error> {
        if change.takes() {
            self.take(id, change, after)?;
        }
        let done = self.make(id, change, limits);
        let has = if done.is_ok() { after } else { before };
        if self.env.owners.has(self.key, has) {
            // If nobody listens, the agent is ending anyway.
            let _ = self.env.reports.send(Report::Freed);
        }
        done
    }

    /// Makes the change. dom0 gives back memory for it first, where it may.
    fn make(&mut self, id: DomainId, change: &Change, limits: &Limits) -> Result<(), Error> {
        let settings = &self.env.settings;
        let policy = settings.read().unwrap_or_else(PoisonError::into_inner);
        let policy = policy.autoballoon;
        let session = self.session()?;
        let of_memory = |e: Error| Error::new(e.kind, format!("memory: {e}"));
        // Kept until the domain has its memory.
        let _grant = match change {
            Change::Set(Figures {
                memory_mib: Some(mib),
                ..
            }) => session
                .grant_memory(Need::Growth(id, *mib), policy, limits)
                .map_err(of_memory)?,
            _ => None,
        };
        make(session.as_mut(), id, change, limits)
    }

    /// Makes sure that the things that the change adds exist and belong to nobody else, and takes ownership of them.
    fn take(&mut self, id: DomainId, change: &Change, after: &Spec) -> Result<(), Error> {
        let other = |text: String| Error::new(ErrorKind::Other, text);
        is_there(change).map_err(other)?;
        if let Change::AttachPci(pci) = change {
            let refused = self.env.adapters.refuses(self.key, (&pci.config).into());
            refused.map_or(Ok(()), |why| Err(other(format!("pci: {why}"))))?;
        }
        self.is_free(id, change, after)?;
        let (env, key) = (self.env, self.key);
        let strangers = |uuid| uuid != key && !env.owners.knows(uuid);
        let mut others = self.session()?.taken(&strangers)?;
        others.extend(owners::taken_by_host());
        let taken = owners::check_own_files(after, &env.dirs)
            .and_then(|()| env.owners.take(key, after, &others));
        taken.map_err(|refusal| other(words(change, &refusal)))
    }

    /// Makes sure that the host has no interface of this name.
    fn is_free(&mut self, id: DomainId, change: &Change, after: &Spec) -> Result<(), Error> {
        let Change::AttachNic(nic) = change else {
            return Ok(());
        };
        let session = self.session()?;
        let mac = mac_of(&nic.config);
        if session.nics(id)?.iter().any(|there| mac_of(there) == mac) {
            // This is the wanted interface, attached by an agent that ended before it learned the result.
            return Ok(());
        }
        let alone = Spec {
            mode: after.mode,
            nics: vec![from_libxl::nic(&nic.config)],
            ..Spec::default()
        };
        let facts = session.facts_for(&alone)?;
        feasibility::check(&alone, &facts).map_err(|refusal| {
            let reason = refusal.error().reason;
            Error::new(ErrorKind::Other, format!("nic.vifname: {reason}"))
        })
    }
}

/// Makes sure that the file or block device of a disk exists. The target of a hotplug script is for the script to check.
fn is_there(change: &Change) -> Result<(), String> {
    let path = match change {
        Change::AttachDisk(disk) => from_libxl::disk(&disk.config).path,
        Change::Insert { path, .. } => path.clone(),
        _ => return Ok(()),
    };
    if path.is_empty() {
        return Ok(());
    }
    let found = fs::metadata(&path).map_err(|e| format!("disk: {path}: {e}"))?;
    let kind = found.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(());
    }
    Err(format!(
        "disk: {path}: neither a plain file nor a block device"
    ))
}

/// Returns the text of a refusal, with the operator's name for the refused field.
fn words(change: &Change, refusal: &Refusal) -> String {
    let part = refusal.field.rsplit_once('.').map(|(_, part)| part);
    let field = match (change, part) {
        (Change::AttachNic(_), Some(part)) => format!("nic.{}", part.to_ascii_lowercase()),
        (Change::AttachNic(_), None) => "nic".to_owned(),
        (Change::AttachPci(_), _) => "pci".to_owned(),
        _ => "disk".to_owned(),
    };
    format!("{field}: {}", refusal.reason)
}
