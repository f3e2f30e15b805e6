use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use uuid::Uuid;

use super::*;
use crate::spec::{Copied, Mode};

const KEY: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

/// The content of an image.
const CONTENT: &[u8] = &[7; 512];

struct Place {
    dir: tempfile::TempDir,
    heard: Vec<Progress>,
    limits: Limits,
    queue: Arc<Queue>,
    whole: BTreeSet<String>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["img", "verified/aa"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        Self {
            dir,
            heard: Vec::new(),
            limits: Limits::default(),
            queue: Arc::new(copies_at_once()),
            whole: BTreeSet::new(),
        }
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn image(&self, content: &[u8]) {
        fs::write(self.at("verified/aa/image"), content).unwrap();
    }

    fn copies(&self) -> Vec<String> {
        crate::store::list(&self.dir.path().join("img")).unwrap()
    }

    fn prepare(&mut self, disk: &Disk, copies: Copies) -> Result<Disk, String> {
        let spec = Spec {
            disks: vec![disk.clone()],
            ..blank()
        };
        let (img, verified) = (
            self.dir.path().join("img"),
            self.dir.path().join("verified"),
        );
        let heard = &mut self.heard;
        let mut bounds = Bounds {
            limits: &self.limits,
            queue: &self.queue,
            progress: &mut |p| heard.push(p),
            rate: None,
        };
        let places = Places {
            copies: &img,
            images: &verified,
            seeds: &img,
        };
        prepare(&spec, places, copies, &self.whole, &mut bounds)
            .map(|mut s| s.disks.remove(0))
            .map_err(|f| match f {
                Failure::Config(e) => e.to_string(),
                Failure::Other(e) => e,
                Failure::Aborted => "aborted".to_owned(),
            })
    }
}

fn blank() -> Spec {
    let text = format!(
        r#"{{"UUIDandVersion":{{"UUID":"{KEY}"}},"DisplayName":"a","Kernel":"/k","Memory":16384}}"#
    );
    let config = crate::eve::parse(text.as_bytes()).unwrap();
    let spec = crate::eve::spec(KEY.parse().unwrap(), &config).unwrap();
    assert_eq!(spec.mode, Mode::Pv);
    spec
}

/// A read/write disk from the image `aa`.
fn copied(preserve: bool) -> Disk {
    Disk {
        shared: false,
        path: String::new(),
        image: Some(Image {
            sha256: "aa".into(),
            location: String::new(),
            copy: Some(Copied {
                name: name::of("aa", uuid(), 0, Format::Raw),
                preserve,
            }),
        }),
        seed: None,
        format: Format::Raw,
        cdrom: false,
        as_it_is: false,
        attached: None,
        least_size: 0,
        vdev: "xvda".into(),
        read_only: false,
    }
}

fn in_place(path: String, format: Format) -> Disk {
    Disk {
        path,
        image: None,
        format,
        ..copied(false)
    }
}

fn uuid() -> Uuid {
    KEY.parse().unwrap()
}

#[test]
fn a_guest_writes_to_a_copy_that_is_private() {
    let mut place = Place::new();
    place.image(CONTENT);
    let ready = place.prepare(&copied(false), Copies::Fresh).unwrap();
    assert_eq!(ready.path, place.at(&format!("img/aa-{KEY}.raw")));
    assert_eq!(ready.image.unwrap().location, place.at("verified/aa/image"));
    assert_eq!(fs::read(&ready.path).unwrap(), CONTENT);
    assert_eq!(fs::metadata(&ready.path).unwrap().mode() & 0o777, 0o600);
    fs::write(&ready.path, "written").unwrap();
    assert_eq!(fs::read(place.at("verified/aa/image")).unwrap(), CONTENT);
    assert_eq!(place.copies().len(), 1);
}

#[test]
fn what_a_guest_wrote_is_kept_as_long_as_it_should_be() {
    for (preserve, copies, kept) in [
        (false, Copies::Fresh, false),
        (false, Copies::Keep, true),
        (true, Copies::Fresh, true),
        (true, Copies::Keep, true),
    ] {
        let mut place = Place::new();
        place.image(CONTENT);
        let ready = place.prepare(&copied(preserve), Copies::Fresh).unwrap();
        fs::write(&ready.path, "written").unwrap();
        place.prepare(&copied(preserve), copies).unwrap();
        let now = fs::read(&ready.path).unwrap();
        assert_eq!(now == b"written", kept, "{preserve} {copies:?}");
    }
}

#[test]
fn a_preserved_copy_needs_no_image_any_more() {
    let mut place = Place::new();
    place.image(CONTENT);
    place.prepare(&copied(true), Copies::Fresh).unwrap();
    fs::remove_dir_all(place.at("verified/aa")).unwrap();
    place.prepare(&copied(true), Copies::Fresh).unwrap();
    let error = place.prepare(&copied(false), Copies::Fresh).unwrap_err();
    assert_eq!(
        error,
        format!(
            "DiskConfigList[0].ImageSha256: {}: No such file or directory (os error 2)",
            place.at("verified/aa")
        )
    );
}

#[test]
fn half_a_copy_is_never_taken_for_a_whole_one() {
    let mut place = Place::new();
    place.image(CONTENT);
    // The file that a killed agent leaves.
    let half = place.at(&format!("img/.aa-{KEY}.raw.tmp"));
    fs::write(&half, "con, and much that is not of the image").unwrap();
    let ready = place.prepare(&copied(true), Copies::Fresh).unwrap();
    assert_eq!(fs::read(&ready.path).unwrap(), CONTENT);
    assert_eq!(place.copies().len(), 1, "{:?}", place.copies());
}

#[test]
fn an_aborted_copy_leaves_nothing() {
    let mut place = Place::new();
    place.image(&[1; 9 << 20]);
    place.limits.abort.abort();
    // On a file system that shares blocks there is nothing to abort.
    match place.prepare(&copied(true), Copies::Fresh) {
        Err(error) => {
            assert_eq!(error, "aborted");
            assert_eq!(place.copies(), [""; 0]);
        }
        Ok(_) => assert!(place.heard.is_empty()),
    }
}

#[test]
fn holes_stay_holes() {
    let mut place = Place::new();
    let image = fs::File::create(place.at("verified/aa/image")).unwrap();
    image.set_len(1 << 30).unwrap();
    image.write_all_at(b"begin", 0).unwrap();
    image.write_all_at(b"middle", 400 << 20).unwrap();
    let ready = place.prepare(&copied(false), Copies::Fresh).unwrap();
    let copy = fs::File::open(&ready.path).unwrap();
    let found = copy.metadata().unwrap();
    assert_eq!(found.len(), 1 << 30);
    assert!(found.blocks() * 512 < 4 << 20, "{} blocks", found.blocks());
    let mut bytes = [0; 6];
    copy.read_exact_at(&mut bytes, 400 << 20).unwrap();
    assert_eq!(&bytes, b"middle");
    copy.read_exact_at(&mut bytes[..5], 0).unwrap();
    assert_eq!(&bytes[..5], b"begin");
}

#[test]
fn which_file_is_the_image_is_beyond_doubt() {
    let mut place = Place::new();
    let error = place.prepare(&copied(false), Copies::Fresh).unwrap_err();
    assert!(error.ends_with("verified/aa: no image in it"), "{error}");
    place.image(CONTENT);
    fs::write(place.at("verified/aa/other"), "2").unwrap();
    let error = place.prepare(&copied(false), Copies::Fresh).unwrap_err();
    assert!(
        error.ends_with("verified/aa: 2 files in it, expected one image"),
        "{error}"
    );
}

#[test]
fn a_disk_grows_and_never_shrinks() {
    let mut place = Place::new();
    place.image(&[7; 4096]);
    for (least, size) in [(0, 4096), (1, 4096), (1_000_001, 1_000_448), (5, 1_000_448)] {
        let disk = Disk {
            least_size: least,
            ..copied(true)
        };
        let ready = place.prepare(&disk, Copies::Fresh).unwrap();
        assert_eq!(fs::metadata(&ready.path).unwrap().len(), size);
    }
    // A new copy has its size from the start.
    let disk = Disk {
        least_size: 8192,
        ..copied(false)
    };
    let ready = place.prepare(&disk, Copies::Fresh).unwrap();
    let content = fs::read(&ready.path).unwrap();
    assert_eq!((content.len(), content[4095], content[4096]), (8192, 7, 0));
}

#[test]
fn names_with_syntax_in_them_are_only_names() {
    let mut place = Place::new();
    for odd in ["a,b=c,'rw'", "x\"y'z", " lead", "trail,", "-rf", "$(id)"] {
        let path = place.at(odd);
        let mut content = odd.as_bytes().to_vec();
        content.resize(512, 0);
        fs::write(&path, &content).unwrap();
        let mut disk = copied(false);
        disk.image.as_mut().unwrap().location.clone_from(&path);
        let ready = place.prepare(&disk, Copies::Fresh).unwrap();
        assert_eq!(fs::read(ready.path).unwrap(), content);
        place
            .prepare(&in_place(path, Format::Raw), Copies::Fresh)
            .unwrap();
    }
}

#[test]
fn discarding_removes_what_is_ours_and_nothing_else() {
    let mut place = Place::new();
    place.image(CONTENT);
    place.prepare(&copied(false), Copies::Fresh).unwrap();
    for other in ["notes", "aa-00000000-0000-0000-0000-000000000001.raw"] {
        fs::write(place.at(&format!("img/{other}")), "").unwrap();
    }
    fs::write(place.at(&format!("img/.bb-{KEY}-2.vhd.tmp")), "").unwrap();
    discard_all(&place.dir.path().join("img"), uuid()).unwrap();
    assert_eq!(
        place.copies(),
        ["aa-00000000-0000-0000-0000-000000000001.raw", "notes"]
    );
}

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

#[test]
fn a_copy_whose_hash_is_in_capitals_is_the_same_copy() {
    let old = |place: &Place| place.at(&format!("img/AA-{KEY}.raw"));
    let ours = name::of("aa", uuid(), 0, Format::Raw);
    for known in [false, true] {
        let mut place = Place::new();
        place.image(CONTENT);
        fs::write(old(&place), "written").unwrap();
        if known {
            place.whole.insert(format!("AA-{KEY}.raw"));
        }
        let ready = place.prepare(&copied(true), Copies::Fresh).unwrap();
        assert_eq!(ready.path, old(&place));
        let copy = ready.image.unwrap().copy.unwrap();
        assert_eq!(copy.name, format!("AA-{KEY}.raw"), "as it is remembered");
        assert_eq!(place.copies().len(), 1);

        // A copy that a guest has written to must not be replaced in silence.
        fs::remove_file(old(&place)).unwrap();
        let again = place.prepare(&copied(true), Copies::Keep);
        assert_eq!(again.is_err(), known, "{again:?}");
    }
    // With two copies, the right one is not known.
    let mut place = Place::new();
    place.image(CONTENT);
    for path in [old(&place), place.at(&format!("img/{ours}"))] {
        fs::write(path, "written").unwrap();
    }
    let refused = place.prepare(&copied(true), Copies::Keep).unwrap_err();
    assert!(refused.contains("nobody knows which"), "{refused}");
    place.whole.insert(format!("AA-{KEY}.raw"));
    let ready = place.prepare(&copied(true), Copies::Keep).unwrap();
    assert_eq!(ready.path, old(&place), "the one that the guest has had");
    place.whole.insert(ours.clone());
    assert!(place.prepare(&copied(true), Copies::Keep).is_err());
    // Both copies are removed when no domain needs them, and the file of somebody else stays.
    let other = place.at(&format!("img/AA-{}.raw", KEY.to_uppercase()));
    fs::write(&other, "notes").unwrap();
    discard(&place.dir.path().join("img"), std::slice::from_ref(&ours)).unwrap();
    assert_eq!(place.copies().len(), 1);
    fs::write(old(&place), "written").unwrap();
    place.whole.clear();
    let ready = place.prepare(&copied(false), Copies::Fresh).unwrap();
    assert_eq!(ready.path, place.at(&format!("img/{ours}")));
    assert_eq!(place.copies().len(), 2);
}

#[test]
fn the_directory_of_an_image_may_be_written_in_capitals() {
    let mut place = Place::new();
    fs::rename(place.at("verified/aa"), place.at("verified/aA")).unwrap();
    fs::write(place.at("verified/aA/image"), CONTENT).unwrap();
    let ready = place.prepare(&copied(false), Copies::Fresh).unwrap();
    assert_eq!(fs::read(ready.path).unwrap(), CONTENT);
    assert_eq!(ready.image.unwrap().location, place.at("verified/aA/image"));
}

#[test]
fn a_disk_has_whole_sectors() {
    let mut place = Place::new();
    for (size, error, doubt) in [
        (0, Some("the file is empty"), false),
        (511, Some("its 511 bytes are less than a sector"), true),
        (512, None, false),
        (1000, None, true),
        (1024, None, false),
    ] {
        let path = place.at("disk");
        fs::write(&path, vec![0; size]).unwrap();
        let disk = in_place(path, Format::Raw);
        let found = place.prepare(&disk, Copies::Fresh);
        assert_eq!(found.is_err(), error.is_some(), "{size}: {found:?}");
        if let (Err(e), Some(why)) = (found, error) {
            assert!(e.contains(why), "{e}");
        }
        let spec = Spec {
            disks: vec![disk],
            ..blank()
        };
        let doubts = doubts(&spec);
        assert_eq!(doubts.len(), usize::from(doubt), "{size}: {doubts:?}");
    }
    // A file that grows ends with a sector.
    fs::write(place.at("disk"), "x").unwrap();
    let grows = Disk {
        least_size: 1000,
        ..in_place(place.at("disk"), Format::Raw)
    };
    let ready = place.prepare(&grows, Copies::Fresh).unwrap();
    assert_eq!(fs::metadata(ready.path).unwrap().len(), 1024);
}

#[test]
fn a_loop_device_without_a_file_is_no_disk() {
    let unbound = |n: &u32| {
        let size = fs::read_to_string(format!("/sys/block/loop{n}/size")).unwrap_or_default();
        size.trim() == "0" && fs::File::open(format!("/dev/loop{n}")).is_ok()
    };
    // Only root can open a loop device, and a container may have none.
    let Some(n) = (0..8).find(unbound) else {
        return;
    };
    let disk = in_place(format!("/dev/loop{n}"), Format::Raw);
    let refused = Place::new().prepare(&disk, Copies::Fresh).unwrap_err();
    assert!(refused.contains("the device is empty"), "{refused}");
}
