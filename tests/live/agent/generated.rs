//! DomainConfigs of every kind on a real Xen: each config that `check` accepts must start, and must become what it
//! asks for.
//!
//! `LAB_CONFIGS` sets the number of configs.

use std::{collections::BTreeSet, env, fs, path::Path, sync::Arc};

use domainmgr::{
    frontends::eve,
    host::disks::{self, Bounds, Copies, Places},
    host::files,
    spec::feasibility,
    spec::{Mode, Spec},
    toolstack::{self, ErrorKind, Limits, Session},
};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::disks::tool;
use crate::{acceptance::machine::qemu, support::context};

#[path = "../../../domainmgr/tests/process/common/generate.rs"]
#[allow(unreachable_pub, reason = "another test uses it as well")]
mod generate;

/// Number of configs in an ordinary run. More are useful after a change to this code.
const USUAL: usize = 8;

/// Moves an absolute path into a directory of the test.
fn moved(dir: &Path, field: &mut Value) -> Option<String> {
    let text = field.as_str()?.to_owned();
    if text.starts_with('/') {
        *field = format!("{}{text}", dir.display()).into();
    }
    field.as_str().map(str::to_owned)
}

fn write(path: &str, make: impl FnOnce(&Path)) {
    let path = Path::new(path);
    // `check` must refuse names that no file can have.
    if let Some(parent) = path
        .parent()
        .filter(|_| path.is_absolute() && !path.ends_with(".."))
    {
        if fs::create_dir_all(parent).is_ok() && !path.exists() {
            make(path);
        }
    }
}

/// Adapts a config to this host: an existing bridge, kernel and disks, and little memory.
fn for_this_host(dir: &Path, n: usize, config: &mut Value) {
    for field in [
        "Ramdisk",
        "DeviceTree",
        "IOMem",
        "IRQs",
        "DtDev",
        "BootLoader",
        "VncPasswd",
        "CPUs",
        "MaxMem",
        "IoAdapterList",
    ] {
        config.as_object_mut().unwrap().remove(field);
    }
    let mode = &config["VirtualizationMode"];
    let hvm = *mode == json!(1) || *mode == json!("HVM");
    let kernel = if hvm {
        "/share/guest/tiny-hvm"
    } else {
        "/share/guest/tiny"
    };
    let memory = if hvm { 32 } else { 8 };
    if config["Memory"]
        .as_i64()
        .is_some_and(|kb| kb > 0 && kb < 1 << 40)
    {
        config["Memory"] = json!(memory << 10);
    }
    if config["VncDisplay"]
        .as_u64()
        .is_some_and(|display| display < 99)
    {
        config["VncDisplay"] = json!(200 + n);
    }
    if let Some(path) = moved(dir, &mut config["Kernel"]) {
        write(&path, |path| drop(fs::copy(kernel, path)));
    }
    for disk in config["DiskConfigList"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        disk.as_object_mut().unwrap().remove("ImageSha256");
        disk.as_object_mut().unwrap().remove("Maxsizebytes");
        // Debian 13's QEMU for Xen was built without the driver for VHD.
        let vhd = disk["Format"]
            .as_str()
            .is_some_and(|text| text.eq_ignore_ascii_case("vhd"));
        if vhd && context().version_info().unwrap().minor >= 20 {
            disk["Format"] = json!("raw");
        }
        let format = match &disk["Format"] {
            Value::String(text) if text.eq_ignore_ascii_case("vhd") => "vpc",
            Value::String(text) if text == "qcow2" => "qcow2",
            format if *format == json!(3) => "qcow2",
            _ => "raw",
        };
        if let Some(path) = moved(dir, &mut disk["FileLocation"]) {
            write(&path, |path| match fs::File::create(path) {
                Ok(file) if format == "raw" => file.set_len(1 << 20).unwrap(),
                Ok(_) => drop(tool(
                    "qemu-img",
                    &["create", "-q", "-f", format, path.to_str().unwrap(), "1M"],
                )),
                Err(_) => {}
            });
        }
    }
    for vif in config["VifList"].as_array_mut().into_iter().flatten() {
        if vif["Bridge"]
            .as_str()
            .is_none_or(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            vif["Bridge"] = json!("xenbr0");
        }
    }
}

/// Compares the domain with its spec in Xen, in xenstore and in the arguments of QEMU.
#[track_caller]
fn is_as_asked(spec: &Spec, domid: u32) {
    let ctx = context();
    let domain = ctx.domain_by_domid(libxl::DomId(domid)).unwrap();
    assert_eq!(
        ctx.domid_to_name(libxl::DomId(domid)).as_deref(),
        Some(spec.name.as_str())
    );
    let disks = domain.disk_list().unwrap();
    for asked in &spec.disks {
        let found = disks
            .iter()
            .find(|d| d.vdev.as_deref() == Some(&asked.vdev))
            .unwrap();
        assert_eq!(found.pdev_path.as_deref(), Some(asked.path.as_str()));
        assert_eq!(found.readwrite, !asked.read_only);
        assert_eq!(found.is_cdrom, asked.cdrom);
    }
    assert_eq!(disks.len(), spec.disks.len());
    let nics = domain.nic_list().unwrap();
    let macs: Vec<String> = nics.iter().map(|n| n.mac.unwrap().to_string()).collect();
    let asked: Vec<String> = spec.nics.iter().map(|n| n.address()).collect();
    assert_eq!(macs, asked);
    for name in spec.nics.iter().filter_map(|n| n.vif.as_ref()) {
        assert!(
            fs::metadata(format!("/sys/class/net/{name}")).is_ok(),
            "{name}"
        );
    }
    let config = domain.retrieve_configuration().wait().unwrap();
    assert_eq!(config.b_info.max_vcpus, Some(spec.max_vcpus));
    assert_eq!(config.b_info.cmdline.unwrap_or_default(), spec.cmdline());
    if let Some((_, words)) = qemu(domid) {
        let after = |word: &str| {
            words
                .windows(2)
                .find(|pair| pair[0] == word)
                .map(|pair| pair[1].clone())
        };
        assert_eq!(after("-name").as_deref(), Some(spec.name.as_str()));
        if spec.mode == Mode::Hvm {
            assert_eq!(after("-kernel"), spec.kernel);
            let emulated = |vdev: &str| ["xvda", "xvdb", "xvdc", "xvdd"].contains(&vdev);
            for disk in spec.disks.iter().filter(|d| emulated(&d.vdev)) {
                let file = format!("file={},", disk.path);
                assert!(words.iter().any(|w| w.contains(&file)), "{file}: {words:?}");
            }
        }
    }
}

#[test]
fn what_is_accepted_starts_and_is_as_asked() {
    let cases = env::var("LAB_CONFIGS").map_or(USUAL, |n| n.parse().unwrap());
    let xen = toolstack::libxl::open().unwrap();
    let (mut accepted, mut refused) = (0, 0);
    let mut runner = TestRunner::new(Config {
        // Fixed seed: an ordinary run always tries the same configs, so failures are reproducible.
        rng_seed: RngSeed::Fixed(4711),
        ..Config::default()
    });
    let mut wrong = Vec::new();
    for n in 0..cases {
        let dir = tempfile::tempdir().unwrap();
        let key = Uuid::new_v4();
        let mut config = generate::config(&key.to_string())
            .new_tree(&mut runner)
            .unwrap()
            .current();
        for_this_host(dir.path(), n, &mut config);
        let text = config.to_string();
        let found = eve::understand(key, text.as_bytes());
        let spec = match found.and_then(|found| found.spec) {
            Ok(spec) if files::check(&spec).is_ok() => spec,
            _ => {
                refused += 1;
                continue;
            }
        };
        let mut session: Box<dyn Session> = xen.session().unwrap();
        let facts = session.facts_for(&spec).unwrap();
        if feasibility::check(&spec, &facts).is_err() {
            refused += 1;
            continue;
        }
        let place = |name: &str| dir.path().join(name);
        let (copies, images, seeds) = (place("copies"), place("images"), place("seeds"));
        fs::create_dir_all(&seeds).unwrap();
        let places = Places {
            copies: &copies,
            images: &images,
            seeds: &seeds,
        };
        let mut bounds = Bounds {
            limits: &Limits::default(),
            queue: &Arc::new(disks::copies_at_once()),
            progress: &mut |_| (),
            rate: None,
        };
        let ready = disks::prepare(&spec, places, Copies::Fresh, &BTreeSet::new(), &mut bounds);
        let ready = ready.unwrap_or_else(|e| panic!("{e:?}: {text}"));
        // Two paths to one disk, which the table of owners refuses.
        let paths: BTreeSet<&str> = ready.disks.iter().map(|d| d.path.as_str()).collect();
        if paths.len() < ready.disks.len() {
            refused += 1;
            continue;
        }
        match session.create(&ready, &Limits::default()) {
            Ok(id) => {
                let checked = std::panic::catch_unwind(|| is_as_asked(&ready, id.domid));
                if checked.is_err() {
                    wrong.push(format!("is not as asked: {text}"));
                }
                accepted += 1;
            }
            Err(e) => wrong.push(format!("{e}: {text}")),
        }
        for seen in session.find(&|uuid| uuid == key).unwrap() {
            // A domain that could not be built may already be disappearing.
            if let Err(e) = session.destroy(seen.id, &Limits::default()) {
                assert_eq!(e.kind, ErrorKind::NotFound, "{e}");
            }
        }
    }
    println!("{accepted} accepted and built, {refused} refused");
    assert_eq!(wrong, [""; 0], "\n{}", wrong.join("\n"));
    assert!(accepted > cases / 5, "{accepted}");
}
