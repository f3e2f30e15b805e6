//! Applies a change to a spec.
//!
//! Applying a change twice has the same effect as applying it once.

use libxl::config::{self, Bitmap};

use super::kinds::{Change, Figures, mac_of, vdev_of};
use super::pci;
use super::replace::replace;
use crate::spec::disks::Written;
use crate::spec::domain::{Mode, Spec};
use crate::spec::from_libxl;

impl Change {
    /// Returns the spec with this change.
    #[must_use]
    pub fn applied(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        match self {
            Self::Set(figures) => set(&mut spec, figures),
            Self::AttachDisk(disk) => attach_disk(&mut spec, disk),
            Self::DetachDisk(vdev) => {
                spec.disks.retain(|disk| disk.vdev != *vdev);
                if let Some(given) = &mut spec.given {
                    given.disks.retain(|disk| vdev_of(disk) != vdev);
                }
            }
            Self::AttachNic(nic) => attach_nic(&mut spec, nic),
            Self::DetachNic(mac) => detach_nic(&mut spec, *mac),
            Self::AttachPci(device) => pci::attach(&mut spec, device),
            Self::DetachPci(address) => pci::detach(&mut spec, *address),
            Self::Insert { vdev, path } => put_in(&mut spec, vdev, Some(path.as_str())),
            Self::Eject { vdev } => put_in(&mut spec, vdev, None),
        }
        spec
    }

    /// Splits a change of figures into one change for each figure.
    pub(super) fn each(&self) -> Vec<Self> {
        let Self::Set(figures) = self else {
            return vec![self.clone()];
        };
        let none = Figures::default;
        let of = |figures: Figures| Self::Set(figures);
        [
            figures.memory_mib.map(|n| Figures {
                memory_mib: Some(n),
                ..none()
            }),
            figures.vcpus.map(|n| Figures {
                vcpus: Some(n),
                ..none()
            }),
            figures.cpus.clone().map(|cpus| Figures {
                cpus: Some(cpus),
                ..none()
            }),
            figures.weight.map(|n| Figures {
                weight: Some(n),
                ..none()
            }),
            figures.cap.map(|n| Figures {
                cap: Some(n),
                ..none()
            }),
        ]
        .into_iter()
        .flatten()
        .map(of)
        .collect()
    }
}

fn set(spec: &mut Spec, figures: &Figures) {
    if let Some(mib) = figures.memory_mib {
        memory(spec, mib);
    }
    if let Some(vcpus) = figures.vcpus {
        spec.vcpus = vcpus;
        spec.max_vcpus = spec.max_vcpus.max(vcpus);
        if let Some(given) = &mut spec.given {
            let build = &mut given.b_info;
            build.avail_vcpus = Bitmap::first(vcpus);
            let max = build.max_vcpus.unwrap_or(vcpus).max(vcpus);
            build.max_vcpus = Some(max);
            spread(&mut build.vcpu_hard_affinity, max);
        }
    }
    if let Some(cpus) = &figures.cpus {
        spec.cpus.clone_from(cpus);
        let max = spec.max_vcpus;
        if let Some(given) = &mut spec.given {
            let mask: Bitmap = cpus.iter().copied().collect();
            given.b_info.vcpu_hard_affinity = (0..max).map(|_| mask.clone()).collect();
        }
    }
    spec.weight = figures.weight.or(spec.weight);
    spec.cap = figures.cap.or(spec.cap);
    if let Some(given) = &mut spec.given {
        let share = &mut given.b_info.sched_params;
        let number = |n: Option<u32>| n.and_then(|n| i32::try_from(n).ok());
        share.weight = number(figures.weight).or(share.weight);
        share.cap = number(figures.cap).or(share.cap);
    }
}

/// Extends the masks to `max` processors. If all masks are equal, the additional processors get the same one.
fn spread(masks: &mut Vec<Bitmap>, max: u32) {
    let same = masks.windows(2).all(|two| two[0] == two[1]);
    if let (Some(mask), true) = (masks.first().cloned(), same) {
        masks.resize(max.try_into().unwrap_or(usize::MAX), mask);
    }
}

fn memory(spec: &mut Spec, mib: u64) {
    let had = spec.max_memory_mib.unwrap_or(spec.memory_mib);
    // Populate-on-demand memory excludes devices of the host.
    let on_demand = spec.mode == Mode::Pv || !has_devices(spec);
    spec.max_memory_mib = match spec.max_memory_mib {
        _ if mib > had => spec.max_memory_mib.map(|_| mib),
        None if mib < had && on_demand => Some(had),
        max => max,
    };
    spec.memory_mib = mib;
    if let Some(given) = &mut spec.given {
        let kib = mib * 1024;
        given.b_info.target_memkb = Some(kib);
        given.b_info.max_memkb = given.b_info.max_memkb.map(|max| max.max(kib));
    }
}

fn has_devices(spec: &Spec) -> bool {
    let given = spec.given.as_ref().map_or(0, |given| given.pcidevs.len());
    !spec.adapters.is_empty() || given > 0
}

fn attach_disk(spec: &mut Spec, written: &Written<config::Disk>) {
    let mut disk = from_libxl::disk(&written.config);
    let is_it = |vdev: &str| vdev == vdev_of(&written.config);
    if let Some(given) = &mut spec.given {
        replace(&mut given.disks, written.config.clone(), |d| {
            is_it(vdev_of(d))
        });
    } else {
        disk.attached = Some(Box::new(written.clone()));
    }
    replace(&mut spec.disks, disk, |d| is_it(&d.vdev));
}

fn attach_nic(spec: &mut Spec, written: &Written<config::Nic>) {
    let mac = mac_of(&written.config);
    let mut nic = from_libxl::nic(&written.config);
    if !spec.nics.iter().any(|nic| nic.mac == mac) {
        let next = numbers(spec).max().map_or(0, |last| last + 1);
        nic.devid = Some(next).filter(|next| usize::try_from(*next) != Ok(spec.nics.len()));
    } else {
        nic.devid = spec
            .nics
            .iter()
            .find(|n| n.mac == mac)
            .and_then(|n| n.devid);
    }
    if let Some(given) = &mut spec.given {
        replace(&mut given.nics, written.config.clone(), |n| {
            mac_of(n) == mac
        });
        renumber(&mut given.nics);
    } else {
        nic.attached = Some(Box::new(written.clone()));
    }
    replace(&mut spec.nics, nic, |n| n.mac == mac);
}

/// Returns the numbers (`devid`) of the interfaces in the running domain.
fn numbers(spec: &Spec) -> impl Iterator<Item = u32> {
    let all = (0..).zip(&spec.nics);
    all.map(|(i, nic)| nic.devid.unwrap_or(i))
}

fn detach_nic(spec: &mut Spec, mac: [u8; 6]) {
    // The other interfaces keep their numbers as long as the domain runs.
    let numbers: Vec<u32> = numbers(spec).collect();
    for (nic, number) in spec.nics.iter_mut().zip(numbers) {
        nic.devid = Some(number);
    }
    spec.nics.retain(|nic| nic.mac != mac);
    for (i, nic) in (0..).zip(&mut spec.nics) {
        nic.devid = nic.devid.filter(|number| *number != i);
    }
    if let Some(given) = &mut spec.given {
        given.nics.retain(|nic| mac_of(nic) != mac);
        renumber(&mut given.nics);
    }
}

/// Numbers the interfaces in their order, as for a domain that is built.
fn renumber(nics: &mut [config::Nic]) {
    for (i, nic) in (0..).zip(nics) {
        nic.devid = Some(i);
    }
}

/// Returns a CD-ROM drive that contains the disc at `path`, or none.
pub(super) fn drive(vdev: &str, path: Option<&str>) -> Written<config::Disk> {
    let (format, target) = match path {
        // xl takes one comma off the end.
        Some(path) if path.ends_with(',') => ("raw", format!(", target={path},")),
        Some(path) => ("raw", format!(", target={path}")),
        None => ("empty", String::new()),
    };
    Written {
        text: format!("format={format}, vdev={vdev}, access=ro, devtype=cdrom{target}"),
        config: match path {
            Some(path) => config::Disk::cdrom(path, vdev),
            None => config::Disk::empty_cdrom(vdev),
        },
    }
}

/// Puts another disc, or none, into a drive.
fn put_in(spec: &mut Spec, vdev: &str, path: Option<&str>) {
    let with = drive(vdev, path);
    for disk in spec.disks.iter_mut().filter(|d| d.vdev == vdev) {
        let attached = disk.attached.is_some();
        *disk = from_libxl::disk(&with.config);
        disk.attached = attached.then(|| Box::new(with.clone()));
    }
    let given = spec.given.iter_mut().flat_map(|given| &mut given.disks);
    for disk in given.filter(|d| vdev_of(d) == vdev) {
        *disk = with.config.clone();
    }
}

impl Spec {
    /// Returns the spec for building the domain again: without the numbers of the interfaces in the previous domain.
    #[must_use]
    pub fn anew(mut self) -> Self {
        for nic in &mut self.nics {
            nic.devid = None;
        }
        self
    }
}
