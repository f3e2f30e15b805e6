//! From a `DiskConfig` to a [`Disk`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::fields::Result;
use super::texts::path;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::{DiskConfig, DomainConfig};
use crate::host::disks::name;
use crate::spec::limits;
use crate::spec::{Copied, Disk, Format, Image, Mode, Seed};

/// The name of the disk at `index` in the guest.
pub(in crate::frontends::eve) fn vdev(index: usize) -> String {
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

/// An error in a field of the disk at `i`.
fn bad(i: usize, field: &str, reason: impl Into<String>) -> FieldError {
    FieldError::new(format!("DiskConfigList[{i}].{field}"), reason)
}

fn disk(i: usize, d: &DiskConfig, mode: Mode) -> Result<Disk> {
    path(
        &format!("DiskConfigList[{i}].FileLocation"),
        &d.file_location,
    )?;
    let format = format(i, d)?;
    if i64::try_from(d.maxsizebytes).is_err() {
        let reason = format!("{} bytes are more than a disk can have", d.maxsizebytes);
        return Err(bad(i, "Maxsizebytes", reason));
    }
    let disc = is_disc(i, d)?;
    // A disc is never written to.
    let read_only = d.read_only || disc;
    if mode == Mode::Hvm {
        emulated_drive(i, disc, read_only)?;
    }
    let disk = Disk {
        path: d.file_location.clone(),
        image: image(i, d)?,
        shared: d.shared,
        seed: None,
        format,
        // A PVH guest never connects to a CD-ROM drive.
        cdrom: disc && mode != Mode::Pvh,
        least_size: d.maxsizebytes,
        vdev: vdev(i),
        read_only,
        as_it_is: false,
        attached: None,
    };
    if disk.shared {
        sharing(i, &disk)?;
    }
    // For an image that is copied, the path of the copy counts instead.
    if disk.image.is_none() || disk.read_only {
        if let Some(why) = limits::bad_disk_path(mode, &disk, &d.file_location) {
            return Err(bad(i, "FileLocation", why));
        }
    }
    Ok(disk)
}

/// Returns whether the format is EVE's way to say that the disk is a CD-ROM, since 2020.
fn is_iso(d: &DiskConfig) -> bool {
    d.format.eq_ignore_ascii_case("iso")
}

fn format(i: usize, d: &DiskConfig) -> Result<Format> {
    if d.format.is_empty() || is_iso(d) {
        return Ok(Format::Raw);
    }
    let known = Format::ALL
        .iter()
        .find(|f| d.format.eq_ignore_ascii_case(f.word()));
    known.copied().ok_or_else(|| {
        let known: Vec<&str> = Format::ALL.iter().map(|f| f.word()).collect();
        let known = known.join(", ");
        let reason = format!("expected one of {known}, iso, found {:?}", d.format);
        bad(i, "Format", reason)
    })
}

/// Returns whether the disk is a CD-ROM.
fn is_disc(i: usize, d: &DiskConfig) -> Result<bool> {
    match d.devtype.to_ascii_lowercase().as_str() {
        "" => Ok(is_iso(d)),
        "hdd" => Ok(false),
        "cdrom" => Ok(true),
        _ => Err(bad(
            i,
            "Devtype",
            format!("expected \"hdd\", \"cdrom\" or \"\", found {:?}", d.devtype),
        )),
    }
}

/// Checks that QEMU emulates a drive of this kind at this place.
fn emulated_drive(i: usize, disc: bool, read_only: bool) -> Result<()> {
    let drives = limits::IDE_DRIVES;
    if disc && i >= drives {
        let reason =
            format!("the CD-ROM drives of an HVM domain are among its first {drives} disks");
        return Err(bad(i, "Devtype", reason));
    }
    if read_only && !disc && i < drives {
        return Err(bad(
            i,
            "ReadOnly",
            format!(
                "QEMU emulates no hard disks that cannot be written to: make it a \"cdrom\", or put it behind the first \
                 {drives} disks"
            ),
        ));
    }
    Ok(())
}

/// Returns the image of the disk; `None` if the disk is a file or device that is used in place.
fn image(i: usize, d: &DiskConfig) -> Result<Option<Image>> {
    let missing = d.image_sha256.is_empty();
    if missing && d.file_location.is_empty() {
        return Err(bad(i, "ImageSha256", "missing, and FileLocation as well"));
    }
    if missing {
        return Ok(None);
    }
    if !name::is_hash(&d.image_sha256) {
        let reason = format!("expected hexadecimal digits, found {:?}", d.image_sha256);
        return Err(bad(i, "ImageSha256", reason));
    }
    Ok(Some(Image {
        // Lower case, so that one image has one hash.
        sha256: d.image_sha256.to_ascii_lowercase(),
        location: d.file_location.clone(),
        copy: None,
    }))
}

/// Checks that several domains can use the disk at the same time.
fn sharing(i: usize, disk: &Disk) -> Result<()> {
    if disk.image.is_some() {
        return Err(bad(
            i,
            "Shared",
            "an image is everybody's already, and its copies are each one domain's",
        ));
    }
    if disk.format != Format::Raw && !disk.read_only {
        return Err(bad(
            i,
            "Shared",
            format!(
                "two that write to one {} file destroy it, whatever its guests do: only a raw disk can be shared",
                disk.format.word()
            ),
        ));
    }
    if disk.least_size != 0 {
        return Err(bad(
            i,
            "Maxsizebytes",
            "a disk that is shared stays as large as it is: others may be using it",
        ));
    }
    Ok(())
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
