//! Finds the changes that a running domain cannot have before its next start.

use super::kinds::{Change, Figures};
use super::pci;
use crate::spec::domain::{Mode, NicKind, Spec};
use crate::spec::from_libxl;

/// Returns the reason why a domain that runs with `spec` can have this change only with its next start.
///
/// Returns `None` if the domain can have the change now.
#[must_use]
pub fn later(change: &Change, spec: &Spec) -> Option<String> {
    let hvm = spec.mode == Mode::Hvm;
    match change {
        Change::Set(figures) => figures_later(figures, spec),
        Change::AttachDisk(disk) if hvm && disk.config.is_cdrom => {
            Some("an HVM domain gets its CD-ROM drives when it starts".to_owned())
        }
        Change::DetachDisk(vdev) if hvm && is_drive(spec, vdev) => {
            Some("an HVM domain keeps its CD-ROM drives as long as it runs".to_owned())
        }
        Change::AttachNic(nic)
            if hvm && from_libxl::nic(&nic.config).kind == Some(NicKind::Ioemu) =>
        {
            Some("an HVM domain gets its emulated network cards when it starts".to_owned())
        }
        Change::AttachPci(_) => pci::later(spec),
        Change::Insert { vdev, .. } | Change::Eject { vdev } if !is_drive(spec, vdev) => {
            Some("the drive comes with it".to_owned())
        }
        _ => None,
    }
}

fn is_drive(spec: &Spec, vdev: &str) -> bool {
    spec.disks.iter().any(|d| d.vdev == vdev && d.cdrom)
}

fn figures_later(figures: &Figures, spec: &Spec) -> Option<String> {
    let most = spec.max_memory_mib.unwrap_or(spec.memory_mib);
    if figures.memory_mib.is_some_and(|mib| mib > most) {
        return Some(format!(
            "the domain that runs can have {most} MiB at the most"
        ));
    }
    let vcpus = figures.vcpus?;
    if vcpus > spec.max_vcpus {
        let most = spec.max_vcpus;
        return Some(format!(
            "the domain that runs can have {most} processors at the most"
        ));
    }
    (spec.mode == Mode::Hvm && vcpus < spec.vcpus)
        .then(|| "an HVM domain keeps the processors that it has as long as it runs".to_owned())
}

impl Change {
    /// Returns the part of the change that a domain which runs with `spec` can have now.
    #[must_use]
    pub fn now(&self, spec: &Spec) -> Option<Self> {
        let Self::Set(_) = self else {
            return later(self, spec).is_none().then(|| self.clone());
        };
        let now = self.each().into_iter().filter(|c| later(c, spec).is_none());
        let now = now.fold(Figures::default(), |all, one| match one {
            Self::Set(one) => one.over(all),
            _ => all,
        });
        (!now.is_empty()).then_some(Self::Set(now))
    }

    /// Returns whether the change needs the cooperation of the guest, which a paused guest cannot give.
    #[must_use]
    pub fn needs_guest(&self) -> bool {
        match self {
            Self::Set(figures) => figures.memory_mib.is_some() || figures.vcpus.is_some(),
            _ => true,
        }
    }
}

/// Returns the names of the disks of a spec, for messages.
pub(super) fn disks_of(spec: &Spec) -> String {
    let names: Vec<&str> = spec.disks.iter().map(|d| d.vdev.as_str()).collect();
    names.join(", ")
}

/// Returns the disks that there are, for messages about one that there is not.
pub(super) fn other_disks(spec: &Spec) -> String {
    if spec.disks.is_empty() {
        return "nor any other".to_owned();
    }
    format!("but {}", disks_of(spec))
}
