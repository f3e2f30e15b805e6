//! The files that a domain is built from: kernel, initial RAM disk, boot loader, disks.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use super::disks;
use crate::base::field_error::FieldError;
use crate::spec::Spec;
use crate::spec::limits;
use crate::spec::words;

/// Checks that the files a domain is built from are there and can be read.
///
/// # Errors
/// The first file that is missing or unusable, with the name of its field.
pub fn check(spec: &Spec) -> Result<(), FieldError> {
    for (field, path) in words::files(spec) {
        let wrong = |why: String| FieldError::new(field, format!("{path}: {why}"));
        let found = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
        if !found.is_file() {
            return Err(wrong("not a plain file".to_owned()));
        }
        if found.len() == 0 {
            return Err(wrong("the file is empty".to_owned()));
        }
        File::open(path).map_err(|e| wrong(e.to_string()))?;
        let program = field == words::of(spec).bootloader;
        if program && found.permissions().mode() & 0o111 == 0 {
            return Err(wrong("not executable".to_owned()));
        }
    }
    ramdisk_fits(spec)?;
    if let (true, Some(node)) = (limits::WITHOUT_DEVICE_TREE, spec.dt_dev.first()) {
        let why = format!("{node}: this host has no device tree to give devices from");
        return Err(FieldError::new("DtDev[0]", why));
    }
    disks::check(spec)
}

/// Checks that the memory has room for the initial RAM disk.
///
/// The size of a kernel in memory is not known: most are compressed, and some have parts that are not loaded.
fn ramdisk_fits(spec: &Spec) -> Result<(), FieldError> {
    let Some(path) = &spec.ramdisk else {
        return Ok(());
    };
    let field = words::of(spec).ramdisk;
    let found = fs::metadata(path);
    let found = found.map_err(|e| FieldError::new(field, format!("{path}: {e}")))?;
    let memory = spec.memory_mib << 20;
    if found.len() < memory {
        return Ok(());
    }
    Err(FieldError::new(
        field,
        format!(
            "{path}: its {} bytes do not fit into the {memory} bytes of memory",
            found.len()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Mode;

    #[test]
    fn missing_files_are_named() {
        let mut spec = Spec {
            mode: Mode::Pvh,
            memory_mib: 64,
            ..Spec::default()
        };
        spec.kernel = Some("/no/such/kernel".into());
        assert_eq!(
            check(&spec).unwrap_err().to_string(),
            "Kernel: /no/such/kernel: No such file or directory (os error 2)"
        );
        spec.kernel = Some("/dev".into());
        assert_eq!(
            check(&spec).unwrap_err().to_string(),
            "Kernel: /dev: not a plain file"
        );
        spec.kernel = None;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(spec.memory_mib << 20).unwrap();
        let text = path.to_str().unwrap();
        spec.ramdisk = Some(text.to_owned());
        let bytes = spec.memory_mib << 20;
        assert_eq!(
            check(&spec).unwrap_err().to_string(),
            format!(
                "Ramdisk: {text}: its {bytes} bytes do not fit into the {bytes} bytes of memory"
            )
        );
        file.set_len((spec.memory_mib << 20) - 1).unwrap();
        spec.disks = Vec::new();
        check(&spec).unwrap();
        spec.ramdisk = None;
        spec.bootloader = Some(text.to_owned());
        assert_eq!(
            check(&spec).unwrap_err().to_string(),
            format!("BootLoader: {text}: not executable")
        );
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        check(&spec).unwrap();
        spec.bootloader = None;
        spec.disks = vec![crate::spec::Disk {
            path: "/dev/null".into(),
            image: None,
            shared: false,
            seed: None,
            format: crate::spec::Format::Raw,
            cdrom: false,
            least_size: 0,
            vdev: "xvda".into(),
            read_only: true,
            as_it_is: false,
            attached: None,
        }];
        assert_eq!(
            check(&spec).unwrap_err().to_string(),
            "DiskConfigList[0].FileLocation: /dev/null: neither a plain file nor a block device"
        );
    }
}
