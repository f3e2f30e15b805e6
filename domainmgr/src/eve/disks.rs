//! From a `DiskConfig` to a [`Disk`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::build::path;
use super::{DiskConfig, DomainConfig, FieldError};
use crate::cloudinit::Seed;
use crate::disks::name;
use crate::limits;
use crate::spec::{Copied, Disk, Format, Image, Mode};

type Result<T> = std::result::Result<T, FieldError>;

/// The name of the disk at `index` in the guest.
pub(super) fn vdev(index: usize) -> String {
    let letter = u8::try_from(index).map_or('?', |i| char::from(b'a'.saturating_add(i)));
    format!("xvd{letter}")
}

pub(super) fn disks(key: Uuid, list: &[DiskConfig], mode: Mode) -> Result<Vec<Disk>> {
    if list.len() > limits::DISKS {
        return Err(FieldError::new(
            "DiskConfigList",
            format!("{} disks, at most {}", list.len(), limits::DISKS),
        ));
    }
    let mut disks: Vec<Disk> = Vec::new();
    for (i, config) in list.iter().enumerate() {
        let mut disk = disk(i, config, mode)?;
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

/// Returns the disk for cloud-init; `None` if there is no user data for it.
pub(super) fn seed(key: Uuid, c: &DomainConfig) -> Result<Option<Disk>> {
    let bad = |reason: String| Err(FieldError::new("CloudInitUserData", reason));
    match c.meta_data_type {
        // EVE's MetaDataNone.
        1 => return Ok(None),
        // A drive; 3 is one whose files come as the parts of a message in the user data.
        0 | 3 => {}
        other => {
            let eves = if other == 2 {
                ", EVE's MetaDataOpenStack"
            } else {
                ""
            };
            return Err(FieldError::new(
                "MetaDataType",
                format!("expected 0, a drive, or 1, nothing, found {other}{eves}"),
            ));
        }
    }
    let mut encoded = c.cloud_init_user_data.0.clone();
    encoded.retain(|c| !c.is_ascii_whitespace());
    if encoded.is_empty() {
        return Ok(None);
    }
    if c.disk_config_list.len() >= limits::DISKS {
        return bad(format!(
            "its disk has no place beside {} others, at most {}",
            c.disk_config_list.len(),
            limits::DISKS - 1
        ));
    }
    let user_data = match STANDARD.decode(encoded) {
        Ok(user_data) => user_data,
        Err(e) => return bad(format!("not base64: {e}")),
    };
    if c.meta_data_type == 3 && is_multipart(&user_data) {
        return Err(FieldError::new(
            "MetaDataType",
            "the parts of the user data do not become files on the drive: only 0 and 1 are possible with it",
        ));
    }
    Ok(Some(Disk {
        path: String::new(),
        image: None,
        shared: false,
        seed: Some(Seed::new(key, c.cloud_init_version, user_data)),
        format: Format::Raw,
        // A PVH guest, and an HVM guest beyond its emulated drives, never connects to a CD-ROM drive; each can read a disk.
        cdrom: false,
        least_size: 0,
        vdev: vdev(limits::DISKS - 1),
        read_only: true,
        as_it_is: false,
        attached: None,
    }))
}

/// Returns whether the user data is a MIME message of several parts. The header is read as leniently as by Go and Python.
fn is_multipart(user_data: &[u8]) -> bool {
    let head = &user_data[..user_data.len().min(16 << 10)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let head = head.trim_start_matches('\u{feff}').trim_start();
    let mut fields: Vec<String> = Vec::new();
    for line in head.lines().take_while(|line| !line.is_empty()) {
        match fields.last_mut() {
            // A line that begins with a blank continues the field before it.
            Some(field) if line.starts_with([' ', '\t']) => field.push_str(line),
            _ => fields.push(line.to_owned()),
        }
    }
    let mut fields = fields.iter().filter_map(|field| field.split_once(':'));
    fields.any(|(name, value)| {
        name.trim_end() == "content-type" && value.trim_start().starts_with("multipart/")
    })
}

fn disk(i: usize, d: &DiskConfig, mode: Mode) -> Result<Disk> {
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
    // EVE's way to say that it is a CD-ROM, since 2020.
    let iso = d.format.eq_ignore_ascii_case("iso");
    let format = if d.format.is_empty() || iso {
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
                    format!(
                        "expected one of {}, iso, found {:?}",
                        known.join(", "),
                        d.format
                    ),
                );
            }
        }
    };
    if i64::try_from(d.maxsizebytes).is_err() {
        return bad(
            "Maxsizebytes",
            format!("{} bytes are more than a disk can have", d.maxsizebytes),
        );
    }
    let disc = match d.devtype.to_ascii_lowercase().as_str() {
        "" => iso,
        "hdd" => false,
        "cdrom" => true,
        _ => {
            return bad(
                "Devtype",
                format!("expected \"hdd\", \"cdrom\" or \"\", found {:?}", d.devtype),
            );
        }
    };
    // A disc is never written to.
    let read_only = d.read_only || disc;
    if mode == Mode::Hvm && disc && i >= limits::IDE_DRIVES {
        return bad(
            "Devtype",
            format!(
                "the CD-ROM drives of an HVM domain are among its first {} disks",
                limits::IDE_DRIVES
            ),
        );
    }
    if mode == Mode::Hvm && read_only && !disc && i < limits::IDE_DRIVES {
        return bad(
            "ReadOnly",
            format!(
                "QEMU emulates no hard disks that cannot be written to: make it a \"cdrom\", or put it behind the first {} \
                 disks",
                limits::IDE_DRIVES
            ),
        );
    }
    // A PVH guest never connects to a CD-ROM drive.
    let cdrom = disc && mode != Mode::Pvh;
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
            // Lower case, so that one image has one hash.
            sha256: d.image_sha256.to_ascii_lowercase(),
            location: d.file_location.clone(),
            copy: None,
        })
    } else {
        return bad(
            "ImageSha256",
            format!("expected hexadecimal digits, found {:?}", d.image_sha256),
        );
    };
    if d.shared && image.is_some() {
        return bad(
            "Shared",
            "an image is everybody's already, and its copies are each one domain's".to_owned(),
        );
    }
    if d.shared && format != Format::Raw && !read_only {
        return bad(
            "Shared",
            format!(
                "two that write to one {} file destroy it, whatever its guests do: only a raw disk can be shared",
                format.word()
            ),
        );
    }
    if d.shared && d.maxsizebytes != 0 {
        return bad(
            "Maxsizebytes",
            "a disk that is shared stays as large as it is: others may be using it".to_owned(),
        );
    }
    let disk = Disk {
        path: d.file_location.clone(),
        image,
        shared: d.shared,
        seed: None,
        format,
        cdrom,
        least_size: d.maxsizebytes,
        vdev: vdev(i),
        read_only,
        as_it_is: false,
        attached: None,
    };
    // For an image that is copied, the path of the copy counts instead.
    if disk.image.is_none() || disk.read_only {
        if let Some(why) = limits::bad_disk_path(mode, &disk, &d.file_location) {
            return bad("FileLocation", why);
        }
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_parts_is_known_by_its_header() {
        for (text, several) in [
            ("Content-Type: multipart/mixed; boundary=x\n\n--x", true),
            (
                "Content-Type:\r\n multipart/mixed;\r\n boundary=x\r\n",
                true,
            ),
            ("content-type :\tMultipart/mixed\n", true),
            (
                "\n\r\nMIME-Version: 1.0\nContent-Type: multipart/mixed\n",
                true,
            ),
            ("\u{feff}Content-Type: multipart/mixed\n", true),
            ("Subject: x\n Content-Type: multipart/mixed\n", false),
            (
                "Content-Type: text/plain\n\nContent-Type: multipart/mixed\n",
                false,
            ),
            ("#cloud-config\nx: 1\n", false),
            ("", false),
        ] {
            assert_eq!(is_multipart(text.as_bytes()), several, "{text:?}");
        }
    }
}
