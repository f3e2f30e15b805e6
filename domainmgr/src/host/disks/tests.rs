use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;
use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::base::queue::Queue;
use crate::spec::{Copied, Disk, Format, Image, Mode, Spec};
use crate::toolstack::Limits;

mod formats;

const KEY: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

/// The content of an image.
const CONTENT: &[u8] = &[7; 512];

struct Place {
    dir: tempfile::TempDir,
    heard: Vec<crate::base::progress::Progress>,
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
        crate::base::store::list(&self.dir.path().join("img")).unwrap()
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
    let config = crate::base::json::parse(text.as_bytes()).unwrap();
    let spec = crate::frontends::eve::spec(KEY.parse().unwrap(), &config).unwrap();
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
