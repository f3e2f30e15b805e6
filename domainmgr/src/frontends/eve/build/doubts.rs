//! Fields that take effect, but perhaps not as they were meant.

use super::boot::PYGRUB;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
use crate::spec::{Disk, Spec};

/// Warnings about fields whose effect may surprise.
#[must_use]
pub(in crate::frontends::eve) fn doubts(spec: &Spec, c: &DomainConfig) -> Vec<FieldError> {
    let mut found = Vec::new();
    if spec.bootloader.as_deref() == Some(PYGRUB) && c.boot_loader != PYGRUB {
        let why = format!("libxl's own pygrub runs instead of {}", c.boot_loader);
        found.push(FieldError::new("BootLoader", why));
    }
    // Linux' `next_arg` takes every quotation mark for the start or the end of a quotation, wherever it stands.
    if c.extra_args.matches('"').count() % 2 == 1 {
        found.push(FieldError::new(
            "ExtraArgs",
            "it has an odd number of \": Linux takes everything after the last one for one parameter",
        ));
    }
    for (i, (disk, config)) in spec.disks.iter().zip(&c.disk_config_list).enumerate() {
        let field = |name: &str| format!("DiskConfigList[{i}].{name}");
        if config.format.eq_ignore_ascii_case("iso") && config.devtype.eq_ignore_ascii_case("hdd") {
            found.push(FieldError::new(
                field("Devtype"),
                "hdd, although the Format is iso: the guest gets a hard disk",
            ));
        }
        if let Some(first) = spec.disks[..i].iter().position(|d| same_image(d, disk)) {
            found.push(FieldError::new(
                field("ImageSha256"),
                format!(
                    "DiskConfigList[{first}] has the same image, and their order tells the copies apart: if it changes, the \
                     guest's data change places"
                ),
            ));
        }
    }
    found
}

/// Returns whether both disks are copies of the same image.
fn same_image(a: &Disk, b: &Disk) -> bool {
    let copied = |disk: &Disk| {
        let image = disk.image.as_ref().filter(|image| image.copy.is_some())?;
        Some((image.sha256.clone(), disk.format))
    };
    copied(a).is_some() && copied(a) == copied(b)
}
