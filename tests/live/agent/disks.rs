//! Disks of the agent's domains: raw files and qcow2 images behind a real blkback, and a guest that mounts and writes
//! them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::host::{App, Host, domid};

const HASH: &str = "c0ffee";

/// Runs a program of dom0.
#[track_caller]
pub(super) fn tool(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/xen/bin")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {error}");
    String::from_utf8(out.stdout).unwrap()
}

/// Makes an image with a file system of 32 MiB and a file in it, in the directory of verified images below its hash.
pub(super) fn image(host: &Host) -> PathBuf {
    let dir = host.path("verified").join(HASH);
    let content = host.path("content");
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir_all(&content).unwrap();
    fs::write(content.join("greeting"), "from the image\n").unwrap();
    let path = dir.join("disk.raw");
    let text = path.to_str().unwrap();
    tool(
        "mke2fs",
        &[
            "-q",
            "-t",
            "ext4",
            "-d",
            content.to_str().unwrap(),
            text,
            "32M",
        ],
    );
    path
}

/// Returns the content of the file `name` in the file system of a disk.
fn content(disk: &Path, name: &str) -> String {
    tool(
        "debugfs",
        &["-R", &format!("cat /{name}"), disk.to_str().unwrap()],
    )
}

fn copy(host: &Host, app: &App) -> PathBuf {
    host.path("img").join(format!("{HASH}-{}.raw", app.key))
}

pub(super) fn put(host: &Host, app: &App, disk: &Value, changes: &Value) {
    let mut all = json!({"DiskConfigList": [disk], "RootDev": "/dev/ram0"});
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    host.put(app, "PV", "", &all);
}

pub(super) const MOUNT: &str =
    "modprobe ext4; until [ -b /dev/xvda ]; do sleep 0.1; done; mount -t ext4 /dev/xvda /mnt";

#[test]
fn a_guest_mounts_and_writes_its_copy_of_a_raw_image() {
    let host = Host::start();
    let image = image(&host);
    let before = fs::read(&image).unwrap();
    let app = host.app("raw");
    let disk =
        json!({"ImageSha256": HASH, "Format": "raw", "Preserve": true, "Maxsizebytes": 48 << 20});
    put(&host, &app, &disk, &json!({}));
    let up = host.wait_up(&app);
    let shown = &up["DiskStatusList"][0];
    assert_eq!(
        shown["ActiveFileLocation"],
        copy(&host, &app).to_str().unwrap()
    );
    assert_eq!(shown["FileLocation"], image.to_str().unwrap());
    let mut shell = host.shell(&app);
    let said = shell.run(&format!("{MOUNT} && cat /mnt/greeting"));
    assert!(said.contains("from the image"), "{said}");
    let sectors = shell.run("cat /sys/block/xvda/size");
    assert!(sectors.contains("98304"), "48 MiB: {sectors}");
    shell.run("echo from the guest >/mnt/answer && umount /mnt && sync");

    // After a reboot from inside, the guest has the same disk.
    shell_reboot(&host, &app, &up);
    let mut shell = host.shell(&app);
    let said = shell.run(&format!("{MOUNT} && cat /mnt/answer && umount /mnt"));
    assert!(said.contains("from the guest"), "{said}");

    put(&host, &app, &disk, &json!({"Activate": false}));
    host.wait_state(&app, "HALTED");
    assert_eq!(content(&copy(&host, &app), "answer"), "from the guest\n");
    assert!(
        fs::read(&image).unwrap() == before,
        "the image is as it was"
    );
    host.remove(&app);
    host.wait_gone(&app);
    assert!(!copy(&host, &app).exists());
}

/// Reboots the guest, and waits for the next domain.
fn shell_reboot(host: &Host, app: &App, up: &Value) {
    host.outsider(app).reboot().wait().unwrap();
    host.wait(app, "another domain", |s| {
        s["StateName"] == "RUNNING" && domid(s) != domid(up)
    });
    host.wait_up(app);
}

#[test]
fn a_guest_mounts_and_writes_a_qcow2_image_in_place() {
    let host = Host::start();
    let raw = image(&host);
    let app = host.app("qcow2");
    let path = host.path("in,place='x'.qcow2");
    let text = path.to_str().unwrap();
    tool(
        "qemu-img",
        &["convert", "-O", "qcow2", raw.to_str().unwrap(), text],
    );
    let disk = json!({"FileLocation": text, "Format": "qcow2", "Maxsizebytes": 1_u64 << 30});
    put(&host, &app, &disk, &json!({}));
    host.wait_up(&app);
    let mut shell = host.shell(&app);
    let said = shell.run(&format!("{MOUNT} && cat /mnt/greeting"));
    assert!(said.contains("from the image"), "{said}");
    let sectors = shell.run("cat /sys/block/xvda/size");
    assert!(sectors.contains("2097152"), "1 GiB: {sectors}");
    shell.run("echo from the guest >/mnt/answer && umount /mnt && sync");
    host.remove(&app);
    host.wait_gone(&app);
    let back = host.path("back.raw");
    tool("qemu-img", &["check", text]);
    tool(
        "qemu-img",
        &["convert", "-O", "raw", text, back.to_str().unwrap()],
    );
    assert_eq!(content(&back, "answer"), "from the guest\n");
}

/// A read-only disk is the image itself, which the guest cannot change.
#[test]
fn a_disc_is_only_read() {
    let host = Host::start();
    let image = image(&host);
    let app = host.app("disc");
    let disk = json!({"ImageSha256": HASH, "Devtype": "cdrom"});
    put(&host, &app, &disk, &json!({}));
    let up = host.wait_up(&app);
    let active = &up["DiskStatusList"][0]["ActiveFileLocation"];
    assert_eq!(active, image.to_str().unwrap());
    let mut shell = host.shell(&app);
    let said = shell.run(
        "modprobe ext4; until [ -b /dev/xvda ]; do sleep 0.1; done; mount -r -t ext4 /dev/xvda /mnt; cat /mnt/greeting",
    );
    assert!(said.contains("from the image"), "{said}");
    shell.run("! dd if=/dev/zero of=/dev/xvda bs=512 count=1");
    shell.run("umount /mnt");
    host.remove(&app);
    host.wait_gone(&app);
    assert!(image.exists());
}

/// The agent checks for room before it writes. Where this does not help, nothing is left behind.
#[test]
fn nothing_is_lost_on_a_full_disk() {
    let full = tempfile::tempdir().unwrap();
    let dir = full.path().to_str().unwrap().to_owned();
    tool("mount", &["-t", "tmpfs", "-o", "size=8M", "none", &dir]);
    let _mounted = Mounted(dir.clone());
    let host = Host::start_with(&["--image-dir", &dir, "--config", "timer.boot.retry:10"]);
    let verified = host.path("verified").join(HASH);
    fs::create_dir_all(&verified).unwrap();
    fs::write(verified.join("disk.raw"), vec![1; 12 << 20]).unwrap();
    let other = Path::new(&dir).join("other");
    fs::write(&other, "somebody's").unwrap();
    let app = host.app("full");
    let disk = json!({"ImageSha256": HASH, "Preserve": true});
    let tiny = json!({"DiskConfigList": [disk]});
    host.put_tiny(&app, "PV", "", &tiny);
    let failed = host.wait(&app, "three tries", |s| s["BootFailed"] == true);
    let words = failed["LastErr"].as_str().unwrap();
    let begin = format!("boot failed: {dir}: no room for a copy of ");
    assert!(words.starts_with(&begin), "{words}");
    assert!(words.contains("it takes 12 MiB, 7 MiB are free"), "{words}");
    let names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["other"]);
    assert_eq!(fs::read(&other).unwrap(), b"somebody's");
    // The next try finds the room that is made here.
    tool("mount", &["-o", "remount,size=32M", &dir]);
    host.wait(&app, "a later try", |s| s["StateName"] == "RUNNING");
    host.remove(&app);
    host.wait_gone(&app);
}

struct Mounted(String);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.0]).status();
    }
}
