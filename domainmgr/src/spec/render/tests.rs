//! Both outputs against golden files. `UPDATE_GOLDEN=1` writes them anew; read the difference before committing it.

use std::fs;
use std::path::Path;

use super::*;
use crate::frontends::eve;
use crate::host::cloudinit;
use crate::spec::adapters::{Assigned, PciDevice};
use crate::spec::domain::Spec;

#[path = "../../../tests/golden/cases.rs"]
mod cases;

use cases::CASES;

fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap();
    assert_eq!(found, wanted, "{name}");
}

fn load(case: &str) -> Spec {
    let text = CASES.iter().find(|(name, _)| *name == case).unwrap().1;
    let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8".parse().unwrap();
    let found = eve::understand(uuid, text.as_bytes()).unwrap();
    let mut spec = found.spec.unwrap_or_else(|e| panic!("{case}: {e}"));
    // The path of a copy, or of the disk for cloud-init, is known only on the host.
    for disk in spec.disks.iter_mut().filter(|d| d.path.is_empty()) {
        disk.path = format!("/ready/{}", disk.vdev);
    }
    spec
}

#[test]
fn xl_cfg_text() {
    for (case, _) in CASES {
        golden(&format!("{case}.cfg"), &xl_cfg(&load(case)));
    }
}

#[test]
fn libxl_json() {
    for (case, _) in CASES {
        let config = domain_config(&load(case));
        config.validate().unwrap();
        let text = serde_json::to_string_pretty(&config).unwrap() + "\n";
        golden(&format!("{case}.libxl.json"), &text);
    }
}

#[test]
fn adapters_are_in_both() {
    let device = |text: &str, relaxed| PciDevice {
        address: text.parse().unwrap(),
        relaxed,
    };
    let assigned = Assigned {
        pci: vec![device("00:10.0", false), device("0001:07:14.3", true)],
        irqs: vec![4, 3],
        io_ports: vec![(0x3f8, 0x3ff), (0x60, 0x60)],
        serials: vec!["/dev/ttyS1".to_owned()],
    };
    for case in ["pv", "hvm"] {
        let spec = load(case).with(&assigned);
        golden(&format!("{case}-assigned.cfg"), &xl_cfg(&spec));
        let config = domain_config(&spec);
        config.validate().unwrap();
        let text = serde_json::to_string_pretty(&config).unwrap() + "\n";
        golden(&format!("{case}-assigned.libxl.json"), &text);
    }
}

/// A guest recognises its machine by addresses, disks, firmware and the data for cloud-init.
#[test]
fn an_edit_that_does_not_concern_the_guest_gives_it_the_same_machine() {
    let build = |more: &str| {
        let key = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let text = format!(
            r#"{{"UUIDandVersion":{{"UUID":"{key}","Version":"1"}},"DisplayName":"app","AppNum":3,"VirtualizationMode":"HVM",
            "Memory":65536,"EnableVnc":true,"CloudInitUserData":"aGk=","VifList":[{{}},{{"Bridge":"b"}}],
            "DiskConfigList":[{{"FileLocation":"/a"}},{{"FileLocation":"/b","Devtype":"cdrom"}}]}}"#
        );
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        let more: serde_json::Map<_, _> =
            serde_json::from_str(&format!("{{{}}}", more.trim_start_matches(','))).unwrap();
        config.as_object_mut().unwrap().extend(more);
        let text = config.to_string();
        let found = eve::understand(key.parse().unwrap(), text.as_bytes()).unwrap();
        let spec = found.spec.unwrap();
        let seed = cloudinit::image(spec.seed().unwrap());
        let mut config = serde_json::to_value(domain_config(&spec)).unwrap();
        // These fields are for people, and for the toolstack.
        config["c_info"]["name"].take();
        config["on_crash"].take();
        (config, seed)
    };
    let first = build("");
    for more in [
        r#","UUIDandVersion":{"UUID":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","Version":"2"}"#,
        r#","Activate":true"#,
        r#","DisplayName":"another""#,
        r#","AppNum":4"#,
        r#","OnCrash":"restart""#,
        r#","VncPasswd":"""#,
        r#","CPUs":"","MaxMem":0,"Nonsense":1"#,
        r#","pubsub-large-CloudInitUserData":"aGk=""#,
    ] {
        assert_eq!(build(more), first, "{more}");
    }
    assert_ne!(build(r#","CloudInitUserData":"aG8=""#).1, first.1);
    assert_ne!(build(r#","CloudInitVersion":2"#).1, first.1);
}
