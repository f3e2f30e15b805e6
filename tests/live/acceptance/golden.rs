//! Compares the text in `xen/xen<AppNum>.cfg` with the real `xl`: `xl create -n` must read it as the configuration
//! that libxl is given.

use std::{fs, process::Command};

use libxl::config::lost_fields;

use domainmgr::{
    frontends::eve,
    spec::render,
    spec::{Assigned, PciDevice, Spec},
};
use serde_json::Value;

use crate::support::outsider_is_there;

#[path = "../../../domainmgr/tests/golden/cases.rs"]
mod cases;

fn spec(text: &str) -> Spec {
    let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8".parse().unwrap();
    let found = eve::understand(uuid, text.as_bytes()).unwrap();
    let mut spec = found.spec.unwrap();
    // The paths of copies and of the disk for cloud-init are only known on the host.
    for disk in spec.disks.iter_mut().filter(|d| d.path.is_empty()) {
        disk.path = format!("/ready/{}", disk.vdev);
    }
    spec
}

/// Returns every case, and some of them again with adapters of the host.
fn specs() -> Vec<(String, Spec)> {
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
    let mut all = Vec::new();
    for (name, text) in cases::CASES {
        let spec = spec(text);
        if matches!(*name, "pv" | "hvm" | "pv-full") {
            all.push((format!("{name}-assigned"), spec.with(&assigned)));
        }
        all.push(((*name).to_owned(), spec));
    }
    all
}

/// Returns the configuration that `xl` reads from a file, or its error.
fn xl_reads(path: &std::path::Path) -> Result<Value, String> {
    let out = Command::new("xl")
        .args(["create", "-n"])
        .arg(path)
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&out.stdout);
    let start = said
        .find('{')
        .ok_or_else(|| format!("no JSON: {said}{}", String::from_utf8_lossy(&out.stderr)))?;
    let whole: Value = serde_json::from_str(&said[start..]).map_err(|e| format!("{e}: {said}"))?;
    // Without a domain the JSON has only the configuration.
    Ok(whole.get("config").cloned().unwrap_or(whole))
}

#[test]
fn xl_reads_every_golden_text_to_the_same_configuration() {
    if !outsider_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let specs = specs();
    assert!(specs.len() >= 40, "{}", specs.len());
    let mut wrong = Vec::new();
    for (name, spec) in &specs {
        let path = dir.path().join(format!("{name}.cfg"));
        fs::write(&path, render::xl_cfg(spec)).unwrap();
        let theirs = match xl_reads(&path) {
            Ok(theirs) => theirs,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        let ours = serde_json::to_value(render::domain_config(spec)).unwrap();
        // Compared in both directions: no field of either may be missing or different in the other.
        for (which, sent, read) in [("xl", &theirs, &ours), ("ours", &ours, &theirs)] {
            for field in lost_fields(sent, read) {
                wrong.push(format!("{name}: {which} has another {field}"));
            }
        }
        if !wrong.is_empty() && wrong.len() < 9 {
            println!("{name}: xl {theirs}\nours {ours}");
        }
    }
    println!("{} configurations compared", specs.len());
    assert_eq!(wrong, [""; 0], "\n{}", wrong.join("\n"));
}
