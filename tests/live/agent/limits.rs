//! Each row of `docs/limits.md`: Xen really refuses, or fails to fulfil, what `domainmgr check` refuses.
//!
//! The tests bypass the checks: they change a spec that passes them, and give it to libxl.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use domainmgr::{
    frontends::eve,
    spec::limits,
    spec::{IoMem, Mode, Spec},
    toolstack::{self, Life, Limits, Session, ShutdownReason},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::disks::tool;
use crate::support::{LONG, context, unique, wait_for};

/// Variable that includes the rows of HVM domains. Each of them starts a device model, which takes half a minute in the emulated lab, and what
/// Xen and QEMU refuse changes only with their versions.
const ALL: &str = "LAB_LIMITS";

struct Xen {
    session: Box<dyn Session>,
    dir: tempfile::TempDir,
    /// Modes and fields of specs that have started. Several rows may share a spec, which is built once.
    within: HashSet<(String, String)>,
}

impl Xen {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d", "e", "with, comma"] {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            file.set_len(1 << 20).unwrap();
        }
        let xen = toolstack::libxl::open().unwrap();
        Self {
            session: xen.session().unwrap(),
            dir,
            within: HashSet::new(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Returns a spec that `check` accepts.
    fn spec(&self, mode: &str, changes: &Value) -> Spec {
        let key = Uuid::new_v4();
        let (kernel, mib) = match mode {
            "HVM" => ("/share/guest/tiny-hvm", 32),
            _ => ("/share/guest/tiny", 4),
        };
        let mut config = json!({
            "UUIDandVersion": {"UUID": key.to_string()},
            "DisplayName": unique("limit"),
            "AppNum": 1,
            "Kernel": kernel,
            "Memory": mib << 10,
            "VirtualizationMode": mode,
        });
        for (name, value) in changes.as_object().unwrap() {
            config[name] = value.clone();
        }
        let found = eve::understand(key, config.to_string().as_bytes()).unwrap();
        found.spec.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Builds the domain, removes it, and returns libxl's error, if any.
    fn build(&mut self, spec: &Spec) -> Result<(), String> {
        let built = self.session.create(spec, &Limits::default());
        self.clean(spec);
        built.map(drop).map_err(|e| e.message)
    }

    fn clean(&mut self, spec: &Spec) {
        let left = self.session.find(&|uuid| uuid == spec.uuid).unwrap();
        for seen in left {
            let _ = self.session.destroy(seen.id, &Limits::default());
        }
    }

    #[track_caller]
    fn is_refused(&mut self, row: &str, mode: &str, changes: &Value, beyond: impl Fn(&mut Spec)) {
        if mode == "HVM" && env::var_os(ALL).is_none() {
            println!("{row}: not tried with HVM: {ALL} is not set");
            return;
        }
        let mut spec = self.spec(mode, changes);
        if self.within.insert((mode.to_owned(), changes.to_string())) {
            let within = self.build(&spec);
            assert_eq!(within, Ok(()), "{row}: what check accepts starts");
        }
        beyond(&mut spec);
        let refused = self.build(&spec);
        println!("{row}: {refused:?}");
        assert!(
            refused.is_err(),
            "{row}: Xen takes it: the row, and the check, can go"
        );
    }
}

fn disk(path: &str) -> Value {
    json!({"FileLocation": path})
}

#[test]
fn what_is_too_much_for_interfaces() {
    let mut xen = Xen::new();
    let vif = |name: &str| json!({"VifList": [{"Bridge": "xenbr0", "Vif": name}]});
    let longest = vif("limit-15-letter");
    let longest_emulated = vif("limit-11-le");
    xen.is_refused("interface", "PV", &longest, |spec| {
        spec.nics[0].vif = Some("limit-16-letters".into());
    });
    xen.is_refused("emulated interface", "HVM", &longest_emulated, |spec| {
        spec.nics[0].vif = Some("limit-12-let".into());
    });
    for name in ["a:b", "a/b"] {
        xen.is_refused("letters of an interface", "PV", &longest, |spec| {
            spec.nics[0].vif = Some(name.into());
        });
    }
    for name in ["all", "default"] {
        xen.is_refused("a name that Linux keeps", "PV", &longest, |spec| {
            spec.nics[0].vif = Some(name.into());
        });
    }
    // For the tap, QEMU's own script fails.
    tool("ip", &["link", "add", "limith", "type", "dummy"]);
    tool("ip", &["link", "add", "limitt-emu", "type", "dummy"]);
    for (mode, free, taken) in [
        ("PV", &longest, "limith"),
        ("HVM", &longest_emulated, "limith"),
        ("HVM", &longest_emulated, "limitt"),
    ] {
        xen.is_refused("an interface of the host's", mode, free, |spec| {
            spec.nics[0].vif = Some(taken.into());
        });
    }
    for name in ["limith", "limitt-emu"] {
        tool("ip", &["link", "del", name]);
    }
    let cards = vec![json!({"Bridge": "xenbr0"}); limits::EMULATED_CARDS];
    xen.is_refused(
        "emulated cards",
        "HVM",
        &json!({"VifList": cards}),
        |spec| {
            let mut one = spec.nics[0].clone();
            one.mac[5] ^= 1;
            spec.nics.push(one);
        },
    );
    let mtu = json!({"VifList": [{"Bridge": "xenbr0", "Vif": "limitm", "MTU": limits::MTU.end()}]});
    // Nothing is refused here: the script continues, and the interface gets another MTU.
    let mut spec = xen.spec("PV", &mtu);
    for (wanted, comes_true) in [(*limits::MTU.end(), true), (limits::MTU.end() + 1, false)] {
        spec.nics[0].mtu = Some(wanted);
        xen.session.create(&spec, &Limits::default()).unwrap();
        let found = fs::read_to_string("/sys/class/net/limitm/mtu").unwrap();
        xen.clean(&spec);
        assert_eq!(
            found.trim() == wanted.to_string(),
            comes_true,
            "MTU {wanted}: {found}"
        );
    }
    xen.is_refused("emulated card", "PV", &longest, |spec| {
        spec.nics[0].kind = Some(domainmgr::spec::NicKind::Ioemu);
    });
}

#[test]
fn what_is_too_much_for_disks() {
    let mut xen = Xen::new();
    let path = |name: &str| xen.path(name);
    let [a, b, c, d, e, comma] = ["a", "b", "c", "d", "e", "with, comma"].map(path);
    let five: Vec<Value> = [&a, &b, &c, &d, &e].map(|p| disk(p)).to_vec();
    xen.is_refused(
        "CD-ROM drive",
        "HVM",
        &json!({"DiskConfigList": five}),
        |spec| {
            (spec.disks[4].cdrom, spec.disks[4].read_only) = (true, true);
        },
    );
    let one = json!({"DiskConfigList": [disk(&a)]});
    xen.is_refused("read-only hard disk", "HVM", &one, |spec| {
        spec.disks[0].read_only = true;
    });
    xen.is_refused("comma", "HVM", &one, |spec| {
        spec.disks[0].path.clone_from(&comma);
    });
    let umlaut = xen.path("\u{e4}");
    fs::copy(&a, &umlaut).unwrap();
    xen.is_refused("beyond ASCII", "PV", &one, |spec| {
        spec.disks[0].path.clone_from(&umlaut);
    });
    let backslash = xen.path("\\");
    fs::copy(&a, &backslash).unwrap();
    xen.is_refused("backslash", "PV", &one, |spec| {
        spec.disks[0].path.clone_from(&backslash);
    });
    xen.is_refused("= in a name", "HVM", &one, |spec| {
        spec.name = format!("a={}", spec.name);
    });
    let qcow2 = xen.path("disk.qcow2");
    let blank = xen.path("with blank.qcow2");
    tool("qemu-img", &["create", "-q", "-f", "qcow2", &qcow2, "1M"]);
    fs::copy(&qcow2, &blank).unwrap();
    let served = json!({"DiskConfigList": [{"FileLocation": qcow2, "Format": "qcow2"}]});
    // Nothing is refused here: an older QEMU logs that it cannot open the file, and the guest waits for its disk.
    let mut spec = xen.spec("PV", &served);
    let mut took = None;
    for (path, comes_true) in [(&qcow2, true), (&blank, false)] {
        spec.disks[0].path.clone_from(path);
        let id = xen.session.create(&spec, &Limits::default()).unwrap();
        let state = format!("/local/domain/0/backend/qdisk/{id}/51712/state");
        let waits_for_guest = || tool("xenstore-read", &[&state]).trim() == "2";
        let begin = Instant::now();
        // The second disk gets several times as long as the first took.
        let patience = took.map_or(LONG, |took: Duration| 4 * took + Duration::from_secs(5));
        let mut ready = waits_for_guest();
        while !ready && begin.elapsed() < patience {
            thread::sleep(Duration::from_millis(100));
            ready = waits_for_guest();
        }
        took = Some(begin.elapsed());
        xen.clean(&spec);
        // QEMU 10, which comes with Xen 4.20, can open it.
        let old = context().version_info().unwrap().minor < 20;
        assert_eq!(ready, comes_true || !old, "{path:?}");
    }
    xen.is_refused("27th disk", "PV", &one, |spec| {
        spec.disks[0].vdev = "xvd{".into();
    });
}

#[test]
fn what_is_too_much_for_the_rest() {
    let mut xen = Xen::new();
    for mode in ["PVH", "HVM"] {
        let most = limits::vcpus(if mode == "HVM" { Mode::Hvm } else { Mode::Pvh });
        // As few vCPUs as possible run, but each takes its memory.
        let memory = json!({"MaxCpus": most, "Memory": 64 << 10});
        xen.is_refused("vCPUs", mode, &memory, |spec| spec.max_vcpus = most + 1);
    }
    // An HVM domain with more than the video memory but less than the limit may be built, but its firmware has no
    // room.
    for (mode, beyond) in [("PV", 3), ("PVH", 1), ("HVM", 8)] {
        let least = limits::least_memory(match mode {
            "PV" => Mode::Pv,
            "PVH" => Mode::Pvh,
            _ => Mode::Hvm,
        });
        let memory = json!({"Memory": least.0 << 10});
        xen.is_refused("memory", mode, &memory, |spec| spec.memory_mib = beyond);
    }
    let processors = context().max_cpus().unwrap();
    xen.is_refused("processors", "PVH", &json!({"CPUs": "0"}), |spec| {
        spec.cpus = vec![processors + 8];
    });
    let elsewhere = "192.0.2.7".parse().unwrap();
    let screen = json!({"EnableVnc": true});
    for mode in ["PV", "HVM"] {
        xen.is_refused("address of a screen", mode, &screen, |spec| {
            spec.vnc.as_mut().unwrap().listen = elsewhere;
        });
    }
    xen.is_refused("interrupt of Xen's timer", "PV", &json!({}), |spec| {
        spec.irqs = vec![0];
    });
    xen.is_refused("pages beyond the last", "PV", &json!({}), |spec| {
        spec.io_mem = vec![IoMem {
            start: (1 << 40) - 1,
            count: 2,
        }];
    });
    let empty = xen.path("empty-kernel");
    fs::write(&empty, "").unwrap();
    xen.is_refused("empty kernel", "PVH", &json!({}), |spec| {
        spec.kernel = Some(empty.clone());
    });
    xen.is_refused("device tree", "PVH", &json!({}), |spec| {
        spec.dt_dev = vec!["/smb/gpio@f7020000".to_owned()];
    });
    let screen = json!({"EnableVnc": true, "VncDisplay": limits::VNC_DISPLAY});
    xen.is_refused("VNC display", "PV", &screen, |spec| {
        spec.vnc.as_mut().unwrap().display = Some(limits::VNC_DISPLAY + 1);
    });
}

/// Nothing is refused here: libxl truncates the command line, and the guest does not see the words at the end.
#[test]
fn the_command_line_of_a_pv_guest_is_cut_off() {
    let mut xen = Xen::new();
    let words = " lab.action=poweroff lab.after=1";
    let mut started = Vec::new();
    for beyond in [true, false] {
        let mut spec = xen.spec("PV", &json!({}));
        let most = limits::PV_COMMAND_LINE;
        let padding = most - spec.cmdline().len() - 1 - if beyond { 0 } else { words.len() };
        spec.extra = format!("{} {}{words}", spec.extra, "x".repeat(padding));
        assert_eq!(
            spec.cmdline().len(),
            most + if beyond { words.len() } else { 0 }
        );
        let id = xen.session.create(&spec, &Limits::default()).unwrap();
        xen.session.unpause(id, &Limits::default()).unwrap();
        started.push(id);
    }
    let life = |xen: &mut Xen, id| xen.session.info(id).unwrap().map(|seen| seen.life);
    let ends = Life::Shutdown(ShutdownReason::POWEROFF);
    wait_for("the end of the one that heard", || {
        life(&mut xen, started[1]) == Some(ends)
    });
    let deaf = life(&mut xen, started[0]);
    for id in started {
        xen.session.destroy(id, &Limits::default()).unwrap();
    }
    assert_eq!(
        deaf,
        Some(Life::Running),
        "it has heard all: the row can go"
    );
}
