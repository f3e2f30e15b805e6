//! An ISO 9660 file system with a few files in its root, with Joliet names beside the plain ones.

/// Size of a sector, in bytes.
const SECTOR: usize = 2048;
/// Positions of the volume descriptors, in sectors. The first sixteen sectors are the system's.
const PRIMARY: usize = 16;
const JOLIET: usize = 17;
const END: usize = 18;
/// Positions of the path tables: little endian, then big endian, of the primary descriptor; then the same of Joliet.
const PATHS: [u32; 4] = [19, 20, 21, 22];
const ROOTS: [u32; 2] = [23, 24];
const FILES: u32 = 25;
/// Size of a path table, in bytes. The root is its only directory.
const PATHS_SIZE: u32 = 10;

struct File<'a> {
    name: &'a str,
    content: &'a [u8],
    sector: u32,
}

/// Returns the image. `files` are in the order of their names, which are short and in small letters.
pub(super) fn image(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut sector = FILES;
    let files: Vec<File<'_>> = files
        .iter()
        .map(|&(name, content)| {
            let file = File {
                name,
                content,
                sector,
            };
            sector += sectors(content.len());
            file
        })
        .collect();
    let mut image = vec![0; sector as usize * SECTOR];
    put(&mut image, PRIMARY, &descriptor(false, label, sector));
    put(&mut image, JOLIET, &descriptor(true, label, sector));
    put(&mut image, END, b"\xffCD001\x01");
    for (joliet, root) in [false, true].into_iter().zip(ROOTS) {
        put(&mut image, root as usize, &directory(joliet, root, &files));
    }
    for (at, (root, big)) in PATHS.into_iter().zip([
        (ROOTS[0], false),
        (ROOTS[0], true),
        (ROOTS[1], false),
        (ROOTS[1], true),
    ]) {
        put(&mut image, at as usize, &paths(root, big));
    }
    for file in &files {
        put(&mut image, file.sector as usize, file.content);
    }
    image
}

fn put(image: &mut [u8], sector: usize, bytes: &[u8]) {
    let at = sector * SECTOR;
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

fn sectors(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SECTOR)).unwrap_or(u32::MAX)
}

fn both32(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

fn both16(value: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&value.to_le_bytes());
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// Returns text of a fixed length, filled up with blanks.
fn text(joliet: bool, content: &str, length: usize) -> Vec<u8> {
    let mut bytes = encoded(joliet, content);
    let blank = encoded(joliet, " ");
    while bytes.len() + blank.len() <= length {
        bytes.extend_from_slice(&blank);
    }
    bytes.resize(length, 0);
    bytes
}

fn encoded(joliet: bool, content: &str) -> Vec<u8> {
    if joliet {
        content.encode_utf16().flat_map(u16::to_be_bytes).collect()
    } else {
        content.as_bytes().to_vec()
    }
}

/// Returns a volume descriptor, which describes the file system.
fn descriptor(joliet: bool, label: &str, size: u32) -> Vec<u8> {
    let (kind, [little, big, ..], root) = if joliet {
        (2, [PATHS[2], PATHS[3]], ROOTS[1])
    } else {
        (1, [PATHS[0], PATHS[1]], ROOTS[0])
    };
    let mut d = vec![kind];
    d.extend_from_slice(b"CD001\x01\0");
    d.extend(text(joliet, "", 32));
    d.extend(text(joliet, label, 32));
    d.extend_from_slice(&[0; 8]);
    d.extend_from_slice(&both32(size));
    let mut escape = [0; 32];
    if joliet {
        // UCS-2, level 3.
        escape[..3].copy_from_slice(b"%/E");
    }
    d.extend_from_slice(&escape);
    d.extend_from_slice(&both16(1));
    d.extend_from_slice(&both16(1));
    d.extend_from_slice(&both16(2048));
    d.extend_from_slice(&both32(PATHS_SIZE));
    d.extend_from_slice(&little.to_le_bytes());
    d.extend_from_slice(&[0; 4]);
    d.extend_from_slice(&big.to_be_bytes());
    d.extend_from_slice(&[0; 4]);
    d.extend(record(&[0], root, 2048, true));
    // Set, publisher, preparer, application; copyright, abstract, bibliography.
    for length in [128, 128, 128, 128, 37, 37, 37] {
        d.extend(text(joliet, "", length));
    }
    for _ in 0..4 {
        // No time is given, so that the same content makes the same image.
        d.extend_from_slice(b"0000000000000000\0");
    }
    d.push(1);
    d
}

/// Returns one entry of a directory.
fn record(name: &[u8], sector: u32, size: u32, directory: bool) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let mut r = vec![0, 0];
    r.extend_from_slice(&both32(sector));
    r.extend_from_slice(&both32(size));
    r.extend_from_slice(&[0; 7]);
    r.push(if directory { 2 } else { 0 });
    r.extend_from_slice(&[0; 2]);
    r.extend_from_slice(&both16(1));
    r.push(length);
    r.extend_from_slice(name);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r[0] = u8::try_from(r.len()).unwrap_or(u8::MAX);
    r
}

fn directory(joliet: bool, root: u32, files: &[File<'_>]) -> Vec<u8> {
    let mut d = record(&[0], root, 2048, true);
    d.extend(record(&[1], root, 2048, true));
    for file in files {
        let name = if joliet {
            encoded(true, file.name)
        } else {
            // The version is part of every plain name.
            format!("{};1", file.name).into_bytes()
        };
        let size = u32::try_from(file.content.len()).unwrap_or(u32::MAX);
        d.extend(record(&name, file.sector, size, false));
    }
    d
}

fn paths(root: u32, big: bool) -> Vec<u8> {
    let mut p = vec![1, 0];
    if big {
        p.extend_from_slice(&root.to_be_bytes());
        p.extend_from_slice(&1_u16.to_be_bytes());
    } else {
        p.extend_from_slice(&root.to_le_bytes());
        p.extend_from_slice(&1_u16.to_le_bytes());
    }
    p.extend_from_slice(&[0, 0]);
    p
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_layout_is_as_the_standard_has_it() {
        let large = vec![b'x'; 5000];
        let image = image("cidata", &[("meta-data", b"m"), ("user-data", &large)]);
        assert_eq!(image.len(), (25 + 1 + 3) * SECTOR);
        for (sector, kind) in [(PRIMARY, 1), (JOLIET, 2), (END, 255)] {
            let at = sector * SECTOR;
            assert_eq!(
                (image[at], &image[at + 1..at + 6]),
                (kind, b"CD001".as_slice())
            );
        }
        let primary = &image[PRIMARY * SECTOR..][..SECTOR];
        assert_eq!(&primary[40..47], b"cidata ");
        assert_eq!(primary[80..84], 29_u32.to_le_bytes());
        assert_eq!(primary[156], 34);
        assert_eq!(primary[881], 1);
        let joliet = &image[JOLIET * SECTOR..][..SECTOR];
        assert_eq!(&joliet[88..91], b"%/E");
        assert_eq!(&joliet[40..44], b"\0c\0i");
        assert_eq!(joliet[881], 1);
        assert_eq!(image[26 * SECTOR..26 * SECTOR + 5000], large);
    }

    /// Other programs can read the image, where they are installed.
    #[test]
    fn others_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");
        std::fs::write(
            &path,
            image("cidata", &[("meta-data", b"m\n"), ("user-data", b"u\n")]),
        )
        .unwrap();
        if let Ok(out) = Command::new("blkid")
            .args(["-p", "-o", "export"])
            .arg(&path)
            .output()
        {
            let said = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(
                said.contains("LABEL=cidata") && said.contains("TYPE=iso9660"),
                "{said}"
            );
        }
        if let Ok(out) = Command::new("bsdtar")
            .arg("-xOf")
            .arg(&path)
            .arg("user-data")
            .output()
        {
            assert_eq!(out.stdout, b"u\n");
        }
    }
}
