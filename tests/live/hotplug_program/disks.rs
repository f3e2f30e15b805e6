//! `block`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{Backend, Backends, SCRIPTS, killed, run};
use crate::support::{hotplug_programs, unique};

/// An empty image, removed at the end.
struct Image(PathBuf);

impl Image {
    fn new() -> Self {
        let path = PathBuf::from(format!("/var/tmp/{}.img", unique("hotplug")));
        fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
        Self(path)
    }

    /// Returns the loop devices of the image.
    fn loops(&self) -> Vec<PathBuf> {
        let all = fs::read_dir("/sys/block").unwrap().flatten();
        let backing = |dir: &Path| fs::read_to_string(dir.join("loop/backing_file"));
        all.map(|entry| entry.path())
            .filter(|dir| backing(dir).is_ok_and(|file| Path::new(file.trim_end()) == self.0))
            .collect()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for dir in self.loops() {
            let node = Path::new("/dev").join(dir.file_name().unwrap());
            let _ = Command::new("losetup").arg("-d").arg(node).status();
        }
        let _ = fs::remove_file(&self.0);
    }
}

/// The result of adding a disk: the words of the script, whether the guest gets the loop device of its image, and
/// whether that is read-only.
fn added(dir: &Path, mode: &str) -> (Option<String>, Option<String>, Vec<String>) {
    let (image, backends) = (Image::new(), Backends::new());
    let backend = backends.of("vbd", 4001);
    backend.disk(4001, &image.0, mode);
    let add = run(dir, "block", &["add"], &backend.variables());
    let words = backend.result();
    assert!(add.status.success(), "{dir:?}: {words:?}, {add:?}");
    let [device] = &image.loops()[..] else {
        panic!("{:?}", image.loops());
    };
    let node = Path::new("/dev").join(device.file_name().unwrap());
    let number = fs::read_to_string(device.join("dev")).unwrap();
    let (major, minor) = number.trim_end().split_once(':').unwrap();
    let hex = |text: &str| format!("{:x}", text.parse::<u32>().unwrap());
    let number = format!("{}:{}", hex(major), hex(minor));
    let node = node.to_str().map(str::to_owned);
    assert_eq!(backend.get("node"), node);
    assert_eq!(backend.get("physical-device-path"), node);
    assert_eq!(backend.get("physical-device"), Some(number));
    let read_only = fs::read_to_string(device.join("ro")).unwrap();
    // A second call changes nothing.
    let again = run(dir, "block", &["add"], &backend.variables());
    let (status, error) = backend.result();
    assert!(again.status.success(), "{dir:?}: {error:?}, {again:?}");
    assert_eq!(image.loops().len(), 1);
    let remove = run(dir, "block", &["remove"], &backend.variables());
    assert!(remove.status.success(), "{remove:?}");
    wait_until_free(&image);
    (status, error, vec![read_only])
}

/// The kernel lets go of a file soon after a loop device was detached.
#[track_caller]
fn wait_until_free(image: &Image) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !image.loops().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", image.loops());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_file_is_attached_as_by_the_script() {
    let connected = Some("connected".to_owned());
    for (mode, read_only) in [("w", "0\n"), ("r", "1\n"), ("w!", "0\n")] {
        let expected = (connected.clone(), None, vec![read_only.to_owned()]);
        assert_eq!(added(Path::new(SCRIPTS), mode), expected, "{mode}");
        assert_eq!(added(hotplug_programs(), mode), expected, "{mode}");
    }
}

/// The words of a script about a disk that it does not connect. `prepare` gets the image and the backend.
fn refused(dir: &Path, prepare: impl Fn(&Image, &Backend<'_>)) -> (Option<String>, Option<String>) {
    let (image, backends) = (Image::new(), Backends::new());
    let backend = backends.of("vbd", 4001);
    backend.disk(4001, &image.0, "w");
    prepare(&image, &backend);
    let add = run(dir, "block", &["add"], &backend.variables());
    assert!(!add.status.success(), "{add:?}");
    assert_eq!(backend.get("physical-device"), None);
    let (status, error) = backend.result();
    // The names of images and loop devices differ.
    let error = error.map(|text| {
        let text = text.replace(image.0.to_str().unwrap(), "IMAGE");
        let words = text.split(' ').map(|word| {
            let is_number = word.starts_with("7:") && word.ends_with(",\nwhich");
            match word {
                _ if is_number => "LOOP,\nwhich",
                _ if word.starts_with("/dev/loop") => "/dev/LOOP",
                _ => word,
            }
        });
        words
            .collect::<Vec<_>>()
            .join(" ")
            .replace(&backends.root, "ROOT")
    });
    (status, error)
}

/// Makes a disk one that cannot be connected.
type Prepare = fn(&Image, &Backend<'_>);

/// Connects the image as a disk of another domain.
fn of_another(image: &Image, backend: &Backend<'_>, mode: &str) {
    let other = backend.all.of("vbd", 4002);
    other.disk(4002, &image.0, mode);
    for (domain, machine) in [(4001, "web"), (4002, "db")] {
        let path = format!("/local/domain/{domain}/vm");
        backend.all.store.write(&path, machine).unwrap();
    }
    let add = run(hotplug_programs(), "block", &["add"], &other.variables());
    assert!(add.status.success(), "{add:?}");
}

#[test]
fn a_disk_is_refused_as_by_the_script() {
    let cases: [(&str, Prepare); 3] = [
        ("a backend that goes already", |_, backend| {
            backend.set("state", "5");
        }),
        ("a file that is read-only", |image, _| {
            fs::set_permissions(&image.0, fs::Permissions::from_mode(0o400)).unwrap();
        }),
        (
            "a block device that another one writes",
            |image, backend| {
                of_another(image, backend, "w");
                backend.set("params", node(image).to_str().unwrap());
            },
        ),
    ];
    for (what, prepare) in cases {
        let by_script = refused(Path::new(SCRIPTS), prepare);
        assert!(by_script.1.is_some(), "{what}: {by_script:?}");
        assert_eq!(refused(hotplug_programs(), prepare), by_script, "{what}");
    }
}

/// Returns the loop device of an image that has one.
fn node(image: &Image) -> PathBuf {
    Path::new("/dev").join(image.loops()[0].file_name().unwrap())
}

/// The script has this check and these texts, too. It compares a hexadecimal number with losetup's decimal one, and finds nobody.
#[test]
fn a_file_that_another_one_uses_is_refused() {
    const HEAD: &str = "File IMAGE is loopback-mounted through LOOP,\nwhich is mounted ";
    let cases: [(&str, Prepare); 3] = [
        (
            "in a guest domain,\nand so cannot be mounted now.",
            |i, b| {
                of_another(i, b, "w");
            },
        ),
        (
            "in a guest domain,\nand so cannot be mounted now.",
            |i, b| {
                of_another(i, b, "r");
            },
        ),
        (
            "read-write in a guest domain,\nand so cannot be mounted read-only now.",
            |i, b| {
                of_another(i, b, "w");
                b.set("mode", "r");
            },
        ),
    ];
    for (text, prepare) in cases {
        let (status, error) = refused(hotplug_programs(), prepare);
        assert_eq!(status.as_deref(), Some("busy"), "{text}");
        assert_eq!(error, Some(format!("{HEAD}{text}")));
    }
}

#[test]
fn what_is_mounted_here_is_not_given_to_a_guest() {
    let image = Image::new();
    let tool = |program: &str, words: &[&str]| {
        let done = Command::new(program).args(words).output().unwrap();
        assert!(done.status.success(), "{program} {words:?}: {done:?}");
    };
    let path = image.0.to_str().unwrap();
    tool("mke2fs", &["-q", "-F", path]);
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    tool("mount", &["-o", "loop", path, place]);
    let said = |scripts: &Path, params: &Path| {
        let backends = Backends::new();
        let backend = backends.of("vbd", 4001);
        backend.disk(4001, params, "r");
        let add = run(scripts, "block", &["add"], &backend.variables());
        assert!(!add.status.success(), "{add:?}");
        backend.result()
    };
    let device = node(&image);
    let by_script = said(Path::new(SCRIPTS), &device);
    let ours = said(hotplug_programs(), &device);
    let of_file = said(hotplug_programs(), &image.0);
    tool("umount", &[place]);
    assert_eq!(ours, by_script);
    for text in [ours.1.unwrap(), of_file.1.unwrap()] {
        let wanted = "is mounted read-write in the privileged domain,\nand so cannot be mounted read-only by a guest.";
        assert!(text.ends_with(wanted), "{text}");
    }
}

#[test]
fn a_program_that_is_killed_leaves_no_loop_device() {
    let (image, backends) = (Image::new(), Backends::new());
    let backend = backends.of("vbd", 4001);
    let variables = backend.variables();
    killed(
        "block",
        &["add"],
        &variables,
        || {
            let _ = Command::new("xenstore-rm").arg(&backend.path).status();
            backend.disk(4001, &image.0, "w");
        },
        || {
            let remove = run(hotplug_programs(), "block", &["remove"], &variables);
            assert!(remove.status.success(), "{remove:?}");
            wait_until_free(&image);
        },
    );
}

#[test]
fn a_loop_device_of_somebody_else_is_not_detached() {
    let (image, other, backends) = (Image::new(), Image::new(), Backends::new());
    let backend = backends.of("vbd", 4001);
    backend.disk(4001, &image.0, "w");
    let theirs = Command::new("losetup")
        .args(["--find", "--show"])
        .arg(&other.0)
        .output()
        .unwrap();
    let theirs = String::from_utf8(theirs.stdout).unwrap();
    // As if the program had been killed before it attached the image, and the loop device been used since.
    backend.set("node", theirs.trim_end());
    let remove = run(
        hotplug_programs(),
        "block",
        &["remove"],
        &backend.variables(),
    );
    assert!(remove.status.success(), "{remove:?}");
    assert_eq!(other.loops().len(), 1);
}
