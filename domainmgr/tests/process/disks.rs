//! Disks: images, and the life of their copies, with the real program and a simulated Xen.

use std::fs;
use std::time::Duration;

use crate::common::disks::{
    HASH, LARGE, SLOWLY, copies, copy, disks, image, sector, wait_copying, with,
};
use crate::common::{A, B, Host, domid};
use serde_json::{Value, json};

#[test]
fn a_copy_that_is_not_preserved_is_fresh_at_each_start() {
    let host = Host::start(&[]);
    let image = image(&host, HASH, b"image");
    host.put(A, &disks(&json!({})));
    let up = host.wait_state(A, "RUNNING");
    let disk = &up["DiskStatusList"][0];
    assert_eq!(disk["FileLocation"], image.to_str().unwrap());
    assert_eq!(disk["ActiveFileLocation"], copy(&host, A).to_str().unwrap());
    assert_eq!(disk["Vdev"], "xvda");
    let cfg = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    let line = format!(
        "disk = [\"format=raw, vdev=xvda, access=rw, target={}\"]\n",
        copy(&host, A).display()
    );
    assert!(cfg.contains(&line), "{cfg}");
    fs::write(copy(&host, A), "written").unwrap();

    host.put(A, &with(disks(&json!({})), "Activate", json!(false)));
    host.wait_state(A, "HALTED");
    host.until("the copy to go", || copies(&host).is_empty());
    host.put(A, &disks(&json!({})));
    host.wait_state(A, "RUNNING");
    assert_eq!(fs::read(copy(&host, A)).unwrap(), sector(b"image"));
    host.remove(A);
    host.wait_gone(A);
    assert_eq!(copies(&host), [""; 0]);
    assert!(image.exists());
}

#[test]
fn a_preserved_copy_lives_until_its_config_is_gone() {
    let mut host = Host::start(&[]);
    image(&host, HASH, b"image");
    let config = disks(&json!({"Preserve": true, "Maxsizebytes": 1000}));
    host.put(A, &config);
    host.wait_state(A, "RUNNING");
    assert_eq!(fs::metadata(copy(&host, A)).unwrap().len(), 1024);
    fs::write(copy(&host, A), "written").unwrap();
    host.put(A, &with(config.clone(), "Activate", json!(false)));
    host.wait_state(A, "HALTED");
    // Also while nobody looks after it.
    host.stop();
    host.run(&[]);
    host.put(A, &with(config, "ExtraArgs", json!("again")));
    host.wait_state(A, "RUNNING");
    assert_eq!(&fs::read(copy(&host, A)).unwrap()[..7], b"written");
    host.remove(A);
    host.wait_gone(A);
    assert_eq!(copies(&host), [""; 0]);
}

#[test]
fn a_guest_that_reboots_goes_on_with_its_copy() {
    let host = Host::start(&[]);
    image(&host, HASH, b"image");
    let reboots = "lab.action=reboot lab.after=30 sim.once";
    host.put(A, &with(disks(&json!({})), "ExtraArgs", json!(reboots)));
    let up = host.wait_state(A, "RUNNING");
    fs::write(copy(&host, A), "written").unwrap();
    host.wait(A, "a restart", |s| {
        s["StateName"] == "RUNNING" && domid(s) > domid(&up)
    });
    assert_eq!(fs::read(copy(&host, A)).unwrap(), b"written");
}

#[test]
fn a_copy_keeps_nobody_else_waiting_and_shows_how_far_it_is() {
    let host = Host::start(&SLOWLY);
    image(&host, HASH, &vec![1; LARGE]);
    host.put(A, &disks(&json!({})));
    let busy = wait_copying(&host, A);
    assert_eq!(busy["StateName"], "BOOTING");
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    host.put(B, &json!({"Activate": false}));
    host.wait_state(B, "HALTED");
    assert_eq!(host.status(A).unwrap()["StateName"], "BOOTING");
    host.wait(A, "some of it", |s| {
        let part = s["DiskStatusList"][0]["Progress"].as_u64().unwrap();
        (1..100).contains(&part)
    });
    // A wish to stop need not wait for it either, and leaves nothing of it.
    host.put(A, &with(disks(&json!({})), "Activate", json!(false)));
    let status = host.wait_state(A, "INSTALLED");
    assert_eq!(status["LastErr"], "");
    assert_eq!(copies(&host), [""; 0]);
    assert_eq!(host.domains(), 0);
}

#[test]
fn half_a_copy_is_never_taken_for_a_whole_one() {
    let mut host = Host::start(&SLOWLY);
    let content: Vec<u8> = (1..=251).cycle().take(LARGE).collect();
    image(&host, HASH, &content);
    let config = disks(&json!({"Preserve": true}));
    host.put(A, &config);
    host.wait(A, "some of it", |s| {
        s["DiskStatusList"][0]["Progress"].as_u64() > Some(0)
    });
    host.kill();
    assert_eq!(copies(&host), [format!(".{HASH}-{A}.raw.tmp")]);
    host.run(&[]);
    host.wait_state(A, "RUNNING");
    assert!(fs::read(copy(&host, A)).unwrap() == content, "all of it");
    assert_eq!(copies(&host), [format!("{HASH}-{A}.raw")]);
}

#[test]
fn another_image_is_wished_for_in_the_middle() {
    let host = Host::start(&SLOWLY);
    image(&host, HASH, &vec![1; LARGE]);
    image(&host, "cc", b"small");
    host.put(A, &disks(&json!({})));
    wait_copying(&host, A);
    host.put(A, &disks(&json!({"ImageSha256": "cc"})));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["TriedCount"], 1);
    assert_eq!(copies(&host), [format!("cc-{A}.raw")]);
}

#[test]
fn what_is_read_only_is_used_where_it_is() {
    let host = Host::start(&[]);
    let image = image(&host, HASH, b"image");
    host.put(A, &disks(&json!({"Devtype": "cdrom"})));
    let up = host.wait_state(A, "RUNNING");
    let disk = &up["DiskStatusList"][0];
    assert_eq!(disk["ActiveFileLocation"], image.to_str().unwrap());
    assert_eq!(disk["Devtype"], "cdrom");
    assert_eq!(copies(&host), [""; 0]);
}

/// Each error says what, of which domain and field, and is over once it is put right.
#[test]
fn errors_in_words() {
    let host = Host::start(&[]);
    let config = host.path(&format!("config/{A}.json"));
    let verified = host.path("run/verified");
    let file = host.path("disk");
    fs::write(&file, b"QFI\xfb\0\0\0\x01").unwrap();
    for (change, wanted) in [
        (
            disks(&json!({})),
            format!(
                "DiskConfigList[0].ImageSha256: {}/{HASH}: No such file or directory (os error 2)",
                verified.display()
            ),
        ),
        (
            disks(&json!({"ImageSha256": "", "FileLocation": "/no/such"})),
            "DiskConfigList[0].FileLocation: /no/such: No such file or directory (os error 2)"
                .into(),
        ),
        (
            disks(&json!({"ImageSha256": "", "FileLocation": file, "Format": "qcow2"})),
            format!(
                "DiskConfigList[0].Format: {}: expected the format \"qcow2\", found by its header: \"qcow\"",
                file.display()
            ),
        ),
    ] {
        host.put(A, &change);
        let wanted = format!("boot failed: {}: {wanted}", config.display());
        let failed = host.wait(A, &wanted, |s| s["LastErr"] == wanted);
        assert_eq!(failed["BootFailed"], true);
        assert_eq!(host.domains(), 0);
    }
    image(&host, HASH, b"image");
    host.put(A, &disks(&json!({})));
    assert_eq!(host.wait_state(A, "RUNNING")["LastErr"], "");
}

#[test]
fn two_disks_of_one_image_and_two_domains_of_it_are_four_copies() {
    let host = Host::start(&[]);
    image(&host, HASH, b"image");
    let disk = disks(&json!({}))["DiskConfigList"][0].clone();
    for key in [A, B] {
        host.put(key, &json!({"DiskConfigList": [disk, disk]}));
    }
    for key in [A, B] {
        host.wait_state(key, "RUNNING");
    }
    let wanted: Vec<String> = [A, B]
        .iter()
        .flat_map(|key| [format!("{HASH}-{key}-2.raw"), format!("{HASH}-{key}.raw")])
        .collect();
    assert_eq!(copies(&host), wanted);
    host.remove(A);
    host.wait_gone(A);
    assert_eq!(copies(&host), wanted[2..], "those of the other stay");
}

fn image_status(host: &Host, name: &str) -> Option<Value> {
    let path = host.path(&format!("run/ImageStatus/{name}.json"));
    Some(serde_json::from_slice(&fs::read(path).ok()?).unwrap())
}

#[test]
fn what_copies_there_are_is_said() {
    let mut host = Host::start(&[]);
    image(&host, HASH, b"image");
    let name = format!("{HASH}-{A}.raw");
    host.put(A, &disks(&json!({"Preserve": true})));
    host.until("an ImageStatus", || {
        image_status(&host, &name).is_some_and(|s| s["RefCount"] == 1)
    });
    let status = image_status(&host, &name).unwrap();
    assert_eq!(status["Filename"], name.as_str());
    assert_eq!(status["FileLocation"], copy(&host, A).to_str().unwrap());
    assert_eq!(status["Size"], 512);
    // A file of somebody else is listed as well, and a file that has gone is not.
    host.stop();
    fs::write(host.path("run/img/other"), "123").unwrap();
    fs::write(host.path("run/ImageStatus/gone.raw.json"), "{}").unwrap();
    host.run(&[]);
    host.until("the other", || {
        image_status(&host, "other").is_some_and(|s| s["RefCount"] == 0 && s["Size"] == 3)
    });
    host.until("the one that has gone", || {
        image_status(&host, "gone.raw").is_none()
    });
    host.wait_state(A, "RUNNING");
    host.remove(A);
    host.until("no ImageStatus", || image_status(&host, &name).is_none());
}

#[test]
fn copies_that_nobody_needs_are_removed_after_a_while_and_no_others() {
    let host = Host::start(&["--config", "timer.gc.vdisk:60"]);
    let orphan = format!("{HASH}-cccccccc-0000-4000-8000-000000000003.raw");
    let broken = format!("{HASH}-dddddddd-0000-4000-8000-000000000004.raw");
    fs::create_dir_all(host.path("run/img")).unwrap();
    for name in ["notes.raw", &orphan, &broken] {
        fs::write(host.path("run/img").join(name), "x").unwrap();
    }
    host.put_text("dddddddd-0000-4000-8000-000000000004.json", "{");
    image(&host, HASH, b"image");
    image(&host, "cc", b"other");
    // One that runs while the file names another image, and one that does not run.
    let preserved = disks(&json!({"Preserve": true}));
    host.put(A, &preserved);
    host.put(B, &preserved);
    host.wait_state(A, "RUNNING");
    host.wait_state(B, "RUNNING");
    host.put(A, &disks(&json!({"Preserve": true, "ImageSha256": "cc"})));
    host.put(B, &with(preserved.clone(), "Activate", json!(false)));
    host.wait_state(B, "HALTED");
    std::thread::sleep(Duration::from_secs(120) / host.speed);
    // The agent removes only copies that it remembers to have made.
    let mut left = vec![
        format!("{HASH}-{A}.raw"),
        format!("{HASH}-{B}.raw"),
        orphan,
        broken,
        "notes.raw".to_owned(),
    ];
    left.sort();
    assert_eq!(copies(&host), left);
    // B is to have another image: what it had is not needed any more.
    host.put(
        B,
        &with(
            disks(&json!({"Preserve": true, "ImageSha256": "cc"})),
            "Activate",
            json!(false),
        ),
    );
    host.until("the replaced one to go", || {
        !copies(&host).contains(&format!("{HASH}-{B}.raw"))
    });
    assert!(
        copies(&host).contains(&format!("{HASH}-{A}.raw")),
        "it runs"
    );
}

#[test]
fn cloud_init_gets_a_disk_and_nobody_else_sees_what_is_on_it() {
    let host = Host::start(&[]);
    // "password: hunter2\n"
    let config = json!({"CloudInitUserData": "cGFzc3dvcmQ6IGh1bnRlcjIK"});
    host.put(A, &config);
    let up = host.wait_state(A, "RUNNING");
    let disk = host.path(&format!("run/cloudinit/{A}.cidata"));
    let content = fs::read(&disk).unwrap();
    let has = |text: &str| content.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(has("password: hunter2\n"));
    assert!(has(&format!(
        "instance-id: {A}/25fbac21-2e20-5748-8746-cd62823e9df1\nlocal-hostname: {A}\n"
    )));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&disk).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let shown = &up["DiskStatusList"][0];
    assert_eq!(
        (&shown["Vdev"], &shown["Devtype"]),
        (&json!("xvdz"), &json!(""))
    );
    assert_eq!(shown["ActiveFileLocation"], disk.to_str().unwrap());
    for text in [up.to_string(), host.log()] {
        assert!(
            !text.contains("hunter2") && !text.contains("cGFzc3dvcmQ6"),
            "{text}"
        );
    }
    host.remove(A);
    host.wait_gone(A);
    assert!(!disk.exists());
}

#[test]
fn the_case_of_a_hash_is_no_other_image() {
    let host = Host::start(&[]);
    // The one who put it there wrote it in capitals.
    image(&host, &HASH.to_uppercase(), b"image");
    let config = |hash: &str| disks(&json!({"ImageSha256": hash, "Preserve": true}));
    host.put(A, &config(HASH));
    let up = host.wait_state(A, "RUNNING");
    fs::write(copy(&host, A), "written").unwrap();
    let capitals = config(&HASH.to_uppercase());
    host.put(A, &with(capitals.clone(), "Activate", json!(false)));
    host.wait_state(A, "HALTED");
    host.put(A, &capitals);
    let again = host.wait_state(A, "RUNNING");
    assert!(domid(&again) > domid(&up));
    assert_eq!(fs::read(copy(&host, A)).unwrap(), b"written");
    assert_eq!(copies(&host).len(), 1);
    assert_eq!(again["DiskStatusList"][0]["ImageSha256"], HASH);
}
