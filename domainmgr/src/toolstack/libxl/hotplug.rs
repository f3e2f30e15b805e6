//! The programs that take the place of Xen's hotplug scripts, where they are installed.
//!
//! A disk or an interface for which nobody has named a script gets one of them, by its path. libxl remembers the path with the
//! domain, so any toolstack takes the device away with the same program.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use libxl::config::{Disk, DiskBackend, DiskFormat, DiskSpecification, DomainConfig, Nic};

/// Directory that the programs are installed in.
pub const HOTPLUG: &str = "/usr/libexec/xen-hotplug";

const BLOCK: &str = "block";
const VIF: &str = "vif-bridge";

/// Where the programs are, if they are installed.
#[derive(Debug)]
pub(super) struct Hotplug {
    dir: PathBuf,
}

impl Hotplug {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Has all devices of a domain connected by the programs.
    pub(super) fn domain(&self, config: &mut DomainConfig) {
        // libxl attaches the first disk to dom0 while a boot loader reads it, and reads a disk without a script as it is.
        let read = usize::from(config.b_info.bootloader.is_some());
        for disk in config.disks.iter_mut().skip(read) {
            self.disk(disk);
        }
        for nic in &mut config.nics {
            self.nic(nic);
        }
    }

    /// Leaves to the host that the domain goes to which programs connect its devices there.
    pub(super) fn forget(&self, config: &mut DomainConfig) {
        let ours = |script: &mut String| Path::new(script).parent() == Some(&self.dir);
        for disk in &mut config.disks {
            disk.script.take_if(ours);
        }
        for nic in &mut config.nics {
            nic.script.take_if(ours);
        }
    }

    pub(super) fn disk(&self, disk: &mut Disk) {
        if is_of_script(disk) {
            disk.script = self.program(BLOCK);
        }
    }

    pub(super) fn nic(&self, nic: &mut Nic) {
        let here = is_here(nic.backend_domname.as_deref(), nic.backend_domid);
        if nic.script.is_none() && here {
            nic.script = self.program(VIF);
        }
    }

    /// Returns the path of a program, if it is installed at present.
    fn program(&self, name: &str) -> Option<String> {
        let path = self.dir.join(name);
        let about = fs::metadata(&path).ok()?;
        let runs = about.is_file() && about.permissions().mode() & 0o111 != 0;
        runs.then(|| path.to_str().map(str::to_owned)).flatten()
    }
}

/// Returns whether the backend is in this domain.
fn is_here(name: Option<&str>, domid: Option<u32>) -> bool {
    name.is_none() && domid.unwrap_or_default() == 0
}

/// Returns whether libxl has the disk served by Linux, through Xen's script `block`. It does not look at the target itself once
/// a script is named.
fn is_of_script(disk: &Disk) -> bool {
    let served = |path: &String| {
        fs::metadata(path)
            .map(|about| about.file_type())
            .is_ok_and(|kind| kind.is_file() || kind.is_block_device())
    };
    disk.script.is_none()
        && is_here(disk.backend_domname.as_deref(), disk.backend_domid)
        && !disk.is_cdrom
        && disk.format == Some(DiskFormat::Raw)
        && matches!(disk.backend, None | Some(DiskBackend::Phy))
        && matches!(disk.specification, None | Some(DiskSpecification::Xen))
        && disk.colo_enable != Some(true)
        && disk.pdev_path.as_ref().is_some_and(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        hotplug: Hotplug,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in [BLOCK, VIF] {
                let path = dir.path().join(name);
                fs::write(&path, "").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            fs::write(dir.path().join("disk"), "").unwrap();
            let hotplug = Hotplug::new(dir.path());
            Self { dir, hotplug }
        }

        fn path(&self, name: &str) -> String {
            self.dir.path().join(name).display().to_string()
        }

        fn disk(&self) -> Disk {
            Disk::raw(self.path("disk"), "xvda")
        }

        fn script(&self, change: impl FnOnce(&mut Disk)) -> Option<String> {
            let mut disk = self.disk();
            change(&mut disk);
            self.hotplug.disk(&mut disk);
            disk.script
        }
    }

    #[test]
    fn what_linux_serves_is_connected_by_the_program() {
        let place = Place::new();
        let block = Some(place.path(BLOCK));
        assert_eq!(place.script(|_| {}), block);
        assert_eq!(place.script(|d| d.backend = Some(DiskBackend::Phy)), block);
        let others: [fn(&mut Disk); 6] = [
            |d| d.backend = Some(DiskBackend::Qdisk),
            |d| d.format = Some(DiskFormat::Qcow2),
            |d| d.is_cdrom = true,
            |d| d.backend_domid = Some(3),
            |d| d.backend_domname = Some("storage".to_owned()),
            |d| d.pdev_path = Some("/nowhere".to_owned()),
        ];
        for other in others {
            assert_eq!(place.script(other), None);
        }
    }

    #[test]
    fn a_script_that_somebody_has_named_stays() {
        let place = Place::new();
        let own = Some("block-nbd".to_owned());
        assert_eq!(
            place.script(|d| d.script = Some("block-nbd".to_owned())),
            own
        );
        let mut nic = Nic {
            script: Some("vif-route".to_owned()),
            ..Nic::default()
        };
        place.hotplug.nic(&mut nic);
        assert_eq!(nic.script.as_deref(), Some("vif-route"));
    }

    #[test]
    fn a_disk_that_a_boot_loader_reads_is_read_as_it_is() {
        let place = Place::new();
        let mut config = DomainConfig::pv("web");
        config.disks = vec![place.disk(), place.disk()];
        config.nics = vec![Nic::default()];
        config.b_info.bootloader = Some("pygrub".to_owned());
        place.hotplug.domain(&mut config);
        assert_eq!(config.disks[0].script, None);
        assert_eq!(config.disks[1].script, Some(place.path(BLOCK)));
        assert_eq!(config.nics[0].script, Some(place.path(VIF)));
    }

    #[test]
    fn without_the_programs_xens_scripts_do_it() {
        let place = Place::new();
        fs::set_permissions(place.path(BLOCK), fs::Permissions::from_mode(0o644)).unwrap();
        fs::remove_file(place.path(VIF)).unwrap();
        assert_eq!(place.script(|_| {}), None);
        let mut nic = Nic::default();
        place.hotplug.nic(&mut nic);
        assert_eq!(nic.script, None);
    }
}
