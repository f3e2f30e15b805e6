//! From a DiskConfig to a [`Disk`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::build::path;
use super::{DiskConfig, DomainConfig, FieldError};
use crate::cloudinit::Seed;
use crate::disks::name;
use crate::spec::{Copied, Disk, Format, Image};

type Result<T> = std::result::Result<T, FieldError>;

/// What libxl can name: `xvda` … `xvdz`.
const MAX_DISKS: usize = 26;

/// The name of the disk at `index` in the guest.
pub(super) fn vdev(index: usize) -> String {
    let letter = u8::try_from(index).map_or('?', |i| char::from(b'a'.saturating_add(i)));
    format!("xvd{letter}")
}

pub(super) fn disks(key: Uuid, list: &[DiskConfig]) -> Result<Vec<Disk>> {
    if list.len() > MAX_DISKS {
        return Err(FieldError::new(
            "DiskConfigList",
            format!("{} disks, at most {MAX_DISKS}", list.len()),
        ));
    }
    let mut disks: Vec<Disk> = Vec::new();
    for (i, config) in list.iter().enumerate() {
        let mut disk = disk(i, config)?;
        if let Some(image) = disk.image.as_mut().filter(|_| !disk.read_only) {
            // Two disks from one image are two copies.
            let same = |d: &&Disk| {
                let copied = d.image.as_ref().filter(|i| i.copy.is_some());
                copied.is_some_and(|i| i.sha256 == image.sha256) && d.format == disk.format
            };
            let nth = disks.iter().filter(same).count();
            image.copy = Some(Copied {
                name: name::of(&image.sha256, key, nth, disk.format),
                preserve: config.preserve,
            });
        }
        disks.push(disk);
    }
    Ok(disks)
}

/// The disk for cloud-init, if there is something for it to read.
pub(super) fn seed(key: Uuid, c: &DomainConfig) -> Result<Option<Disk>> {
    let bad = |reason: String| Err(FieldError::new("CloudInitUserData", reason));
    let mut encoded = c.cloud_init_user_data.0.clone();
    encoded.retain(|c| !c.is_ascii_whitespace());
    if encoded.is_empty() {
        return Ok(None);
    }
    if c.disk_config_list.len() >= MAX_DISKS {
        return bad(format!(
            "its disk has no place beside {} others, at most {}",
            c.disk_config_list.len(),
            MAX_DISKS - 1
        ));
    }
    let user_data = match STANDARD.decode(encoded) {
        Ok(user_data) => user_data,
        Err(e) => return bad(format!("not base64: {e}")),
    };
    Ok(Some(Disk {
        path: String::new(),
        image: None,
        seed: Some(Seed::new(key, &c.uuid_and_version.version, user_data)),
        format: Format::Raw,
        cdrom: true,
        least_size: 0,
        vdev: vdev(MAX_DISKS - 1),
        read_only: true,
    }))
}

fn disk(i: usize, d: &DiskConfig) -> Result<Disk> {
    let bad = |field: &str, reason: String| {
        Err(FieldError::new(
            format!("DiskConfigList[{i}].{field}"),
            reason,
        ))
    };
    path(
        &format!("DiskConfigList[{i}].FileLocation"),
        &d.file_location,
    )?;
    let format = if d.format.is_empty() {
        Format::Raw
    } else {
        let known = Format::ALL
            .iter()
            .find(|f| d.format.eq_ignore_ascii_case(f.word()));
        match known {
            Some(format) => *format,
            None => {
                let known: Vec<&str> = Format::ALL.iter().map(|f| f.word()).collect();
                return bad(
                    "Format",
                    format!("expected one of {}, found {:?}", known.join(", "), d.format),
                );
            }
        }
    };
    // QEMU reads the path from xenstore up to the first white space.
    if format != Format::Raw && d.file_location.contains(char::is_whitespace) {
        return bad(
            "FileLocation",
            format!(
                "QEMU, which serves disks of the format {}, cannot open a path with white space: {:?}",
                format.word(),
                d.file_location
            ),
        );
    }
    let cdrom = match d.devtype.as_str() {
        "" | "hdd" => false,
        "cdrom" => true,
        other => {
            return bad(
                "Devtype",
                format!("expected \"hdd\", \"cdrom\" or \"\", found {other:?}"),
            );
        }
    };
    let image = if d.image_sha256.is_empty() {
        if d.file_location.is_empty() {
            return bad(
                "ImageSha256",
                "missing, and FileLocation as well".to_owned(),
            );
        }
        None
    } else if name::is_hash(&d.image_sha256) {
        Some(Image {
            sha256: d.image_sha256.clone(),
            location: d.file_location.clone(),
            copy: None,
        })
    } else {
        return bad(
            "ImageSha256",
            format!("expected hexadecimal digits, found {:?}", d.image_sha256),
        );
    };
    Ok(Disk {
        path: d.file_location.clone(),
        image,
        seed: None,
        format,
        cdrom,
        least_size: d.maxsizebytes,
        vdev: vdev(i),
        // Nobody writes to a disc.
        read_only: d.read_only || cdrom,
    })
}
