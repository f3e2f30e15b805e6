//! Formats of disks.

use super::*;

/// A qcow2 image of so many bytes, with clusters of 64 KiB.
fn qcow2(size: u64) -> Vec<u8> {
    let mut image = vec![0; 4 << 16];
    image[..4].copy_from_slice(b"QFI\xfb");
    for (at, value) in [
        (4, 3_u32),
        (20, 16),
        (36, u32::try_from(size.div_ceil(1 << 29)).unwrap()),
        (56, 1),
        (96, 4),
        (100, 104),
    ] {
        image[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    // The header, a table of tables of references, one of those, the first table.
    for (at, value) in [(24, size), (40, 3 << 16), (48, 1 << 16)] {
        image[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }
    image[1 << 16..(1 << 16) + 8].copy_from_slice(&(2_u64 << 16).to_be_bytes());
    for cluster in 0..4 {
        image[(2 << 16) + 2 * cluster + 1] = 1;
    }
    image
}

#[test]
fn the_format_is_what_the_header_says() {
    let mut place = Place::new();
    let mut fixed = vec![0; 4096];
    fixed.extend_from_slice(b"conectix");
    fixed.resize(4096 + 512, 0);
    fixed[4096 + 63] = 2;
    let mut dynamic = fixed.clone();
    dynamic[..8].copy_from_slice(b"conectix");
    dynamic[4096 + 63] = 3;
    let mut difference = dynamic.clone();
    difference[4096 + 63] = 4;
    let mut qcow = vec![0; 512];
    qcow[..8].copy_from_slice(b"QFI\xfb\0\0\0\x01");
    let qcow_with = |at: usize| {
        let mut image = qcow.clone();
        image[at] = 1;
        image
    };
    let with = |at: usize, value: u8| {
        let mut image = qcow2(1 << 30);
        image[at] = value;
        image
    };
    let by_header = |wanted: &str, found: &str| {
        format!("expected the format {wanted:?}, found by its header: {found:?}")
    };
    let backing =
        "the image is only what differs from another file: flatten it, as with qemu-img convert";
    let encrypted = "the image is encrypted: decrypt it, as with qemu-img convert";
    for (content, format, error) in [
        (b"anything".to_vec(), Format::Raw, String::new()),
        (fixed.clone(), Format::Vhd, String::new()),
        (dynamic.clone(), Format::Vhd, String::new()),
        (qcow.clone(), Format::Qcow, String::new()),
        (qcow2(1 << 30), Format::Qcow2, String::new()),
        (qcow2(1 << 30), Format::Raw, by_header("raw", "qcow2")),
        (fixed, Format::Raw, by_header("raw", "vhd")),
        (
            b"anything".to_vec(),
            Format::Qcow2,
            by_header("qcow2", "raw"),
        ),
        (Vec::new(), Format::Vhd, by_header("vhd", "raw")),
        (qcow.clone(), Format::Qcow2, by_header("qcow2", "qcow")),
        (
            b"KDMV, and so on".to_vec(),
            Format::Raw,
            by_header("raw", "vmdk"),
        ),
        (
            dynamic[..4096].to_vec(),
            Format::Vhd,
            "the image is cut off: a vhd has a footer".into(),
        ),
        (difference, Format::Vhd, backing.into()),
        (with(14, 1), Format::Qcow2, backing.into()),
        (
            with(79, 4),
            Format::Qcow2,
            "the data of the image is in another file: flatten it, as with qemu-img convert".into(),
        ),
        (
            with(79, 2),
            Format::Qcow2,
            "the image is marked as corrupt: qemu-img check -r all".into(),
        ),
        (qcow_with(15), Format::Qcow, backing.into()),
        (qcow_with(39), Format::Qcow, encrypted.into()),
        (with(35, 1), Format::Qcow2, encrypted.into()),
        (
            with(7, 9),
            Format::Qcow2,
            "qcow2 of version 9, expected 2 or 3".into(),
        ),
        (
            qcow2(1 << 30)[..196_620].to_vec(),
            Format::Qcow2,
            "the image is cut off: 196620 bytes, its tables end at 196624: copy it again".into(),
        ),
    ] {
        let mut content = content;
        if format == Format::Raw {
            content.resize(content.len().max(512), 0);
        }
        place.image(&content);
        let mut disk = copied(false);
        disk.format = format;
        let found = place.prepare(&disk, Copies::Fresh);
        let wanted = format!(
            "DiskConfigList[0].Format: {}: {error}",
            place.at("verified/aa/image")
        );
        if error.is_empty() {
            found.unwrap();
        } else {
            assert_eq!(found.unwrap_err(), wanted);
            assert_eq!(place.copies(), [""; 0], "{wanted}");
        }
        discard_all(&place.dir.path().join("img"), uuid()).unwrap();
    }
}

/// A guest may write anything to its raw disk and still boot again.
#[test]
fn a_raw_disk_may_look_like_anything_once_a_guest_has_it() {
    let mut place = Place::new();
    place.image(CONTENT);
    let ready = place.prepare(&copied(true), Copies::Fresh).unwrap();
    fs::write(&ready.path, qcow2(1 << 30)).unwrap();
    place.prepare(&copied(true), Copies::Fresh).unwrap();
    let path = place.at("own");
    fs::write(&path, qcow2(1 << 30)).unwrap();
    place
        .prepare(&in_place(path, Format::Raw), Copies::Fresh)
        .unwrap();
}

#[test]
fn a_qcow2_image_grows_where_its_tables_have_room() {
    let mut place = Place::new();
    let path = place.at("disk.qcow2");
    let mut image = qcow2(1 << 30);
    // The bytes behind the table need not be zero.
    image[(3 << 16) + 16] = 0xff;
    fs::write(&path, image).unwrap();
    let disk = |least_size| Disk {
        least_size,
        ..in_place(path.clone(), Format::Qcow2)
    };
    place.prepare(&disk(5 << 30), Copies::Fresh).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[24..32], (5_u64 << 30).to_be_bytes());
    assert_eq!(bytes[36..40], 10_u32.to_be_bytes());
    assert_eq!(bytes[3 << 16..(3 << 16) + 80], [0; 80]);
    place.prepare(&disk(1 << 20), Copies::Fresh).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes, "never smaller");
    let error = place.prepare(&disk(5 << 40), Copies::Fresh).unwrap_err();
    assert_eq!(
        error,
        format!(
            "DiskConfigList[0].Maxsizebytes: {path}: its tables have no room for 5497558138880 bytes: enlarge it with qemu-img resize"
        )
    );
    // `qemu-img`, by the authors of the specification, can check the image.
    if let Ok(out) = Command::new("qemu-img").args(["info", &path]).output() {
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.contains("(5368709120 bytes)"), "{text}");
        let check = Command::new("qemu-img")
            .args(["check", &path])
            .output()
            .unwrap();
        assert!(
            check.status.success(),
            "{}",
            String::from_utf8_lossy(&check.stdout)
        );
    }
}

#[test]
fn a_large_image_with_little_in_it_takes_little_room() {
    let mut place = Place::new();
    let image = fs::File::create(place.at("verified/aa/image")).unwrap();
    // More than any disk has room for.
    image.set_len(1 << 40).unwrap();
    let found = place.prepare(&copied(false), Copies::Fresh);
    assert!(found.is_ok(), "{found:?}");
}
