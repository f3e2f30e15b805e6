//! Changes to running domains on a real Xen: the guest, or Xen itself, must have what was asked for.

use std::fs;
use std::path::{Path, PathBuf};

use libxl::config::Bitmap;
use serde_json::{Value, json};

use super::host::{App, Host, Shell, domid};
use super::orders::{answers, does, verb};
use crate::support::{wait_for, xl, xl_is_there};

/// Memory of the guest, in MiB. It may have twice as much.
const MIB: u64 = 128;

/// Returns a config with room for more memory and vCPUs.
fn roomy() -> Value {
    json!({"MaxMem": 2 * MIB * 1024, "VCpus": 1, "MaxCpus": 2})
}

/// Runs `domainmgr VERB NAME REST`, which must succeed.
#[track_caller]
fn change(host: &Host, app: &App, word: &str, rest: &[&str]) -> String {
    let (code, said) = changes(host, app, word, rest);
    assert_eq!(code, 0, "{word} {rest:?}: {said}");
    said
}

fn changes(host: &Host, app: &App, word: &str, rest: &[&str]) -> (i32, String) {
    // `verb` cannot be used, because it puts the name after all other arguments.
    let program = std::env::current_exe().unwrap().with_file_name("domainmgr");
    let output = std::process::Command::new(program)
        .args([word, &app.name()])
        .args(rest)
        .arg("--control")
        .arg(host.path("run/control.sock"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code().unwrap(), said)
}

/// Parameters of a guest that loads drivers for devices that come later. On its own it only loads those for the
/// devices at its start.
const DRIVERS: &str = "lab.modules=xen-blkfront,xen-netfront";

/// Creates a disk of this many MiB.
fn disk(host: &Host, name: &str, mib: u64) -> PathBuf {
    let path = host.path(name);
    fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path
}

/// Returns the number that a command prints in the guest.
#[track_caller]
fn number(shell: &mut Shell, command: &str) -> u64 {
    let said = shell.run(command);
    // The console also shows the typed command.
    let found = said.lines().rev().find_map(|line| line.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{command}: {said}"))
}

/// Returns the memory of the guest's kernel, in MiB, without the part it keeps for itself.
fn memory_in(shell: &mut Shell) -> u64 {
    number(
        shell,
        "while read what kib rest; do case $what in MemTotal:) echo $((kib / 1024));; esac; done </proc/meminfo",
    )
}

/// Kills the agent and starts another one.
fn again(host: &mut Host, app: &App) {
    host.kill();
    host.start_again();
    wait_for("the socket", || answers(host, app));
}

/// The agent asks for the same in each mode. In a PVH domain, Debian 13's Linux cannot start a processor that comes later ("invalid
/// APIC ID ffff").
#[test]
fn a_guest_gets_other_memory_and_processors() {
    let mut host = Host::start();
    let app = host.app("figures");
    host.put(&app, "PV", "", &roomy());
    let first = host.wait_up(&app);
    let mut shell = host.shell(&app);
    let before = memory_in(&mut shell);
    change(&host, &app, "set", &["vcpus=2"]);
    // Linux leaves it to udev to online a vCPU that comes later, and the lab's guest has no udev.
    shell.run("until echo 1 >/sys/devices/system/cpu/cpu1/online; do sleep 1; done 2>/dev/null");
    assert_eq!(number(&mut shell, "grep -c ^processor /proc/cpuinfo"), 2);
    assert_eq!(host.outsider(&app).info().unwrap().vcpu_online, 2);
    // The balloon driver may come up a little later than the shell.
    wait_for("the guest to shrink", || {
        changes(&host, &app, "set", &["memory=112"]).0 == 0
    });
    let small = memory_in(&mut shell);
    assert!(small + 8 < before, "{small} MiB, {before} before");
    let target = host.outsider(&app).memory_target().unwrap();
    assert_eq!(target, 112 << 10);
    change(&host, &app, "set", &["memory=120"]);
    assert!(memory_in(&mut shell) > small);
    // More than the domain can have.
    let said = change(&host, &app, "set", &["memory=300"]);
    let words = "set memory=300 waits for the next start: the domain that runs can have 256 MiB at the most";
    assert!(said.contains(words), "{said}");
    assert_eq!(host.outsider(&app).memory_target().unwrap(), 120 << 10);
    change(&host, &app, "set", &["memory=120", "vcpus=1"]);
    assert_eq!(number(&mut shell, "grep -c ^processor /proc/cpuinfo"), 1);
    assert_eq!(host.outsider(&app).info().unwrap().vcpu_online, 1);
    change(&host, &app, "set", &["vcpus=2"]);
    // The next agent and the next domain have the changes as well.
    again(&mut host, &app);
    let status = host.wait_state(&app, "RUNNING");
    assert_eq!(domid(&status), domid(&first));
    assert_eq!(status["Changed"], json!(["set memory=120 vcpus=2"]));
    does(&host, &["restart"], &app);
    host.wait_up(&app);
    let domain = host.outsider(&app);
    assert_eq!(domain.memory_target().unwrap(), 120 << 10);
    let mut shell = host.shell(&app);
    assert_eq!(number(&mut shell, "grep -c ^processor /proc/cpuinfo"), 2);
    host.remove(&app);
    host.wait_gone(&app);
}

/// The guest has no balloon driver. A change that failed must not be recorded.
#[test]
fn a_guest_that_gives_nothing_back_is_as_it_was() {
    let host = Host::start();
    let app = host.app("rigid");
    let config = json!({"Memory": 65536, "MaxMem": 65536});
    host.put_tiny(&app, "PV", "", &config);
    host.wait_up(&app);
    let (code, said) = changes(&host, &app, "set", &["memory=16"]);
    assert!(
        code == 1 && said.contains("gets no nearer to 16 MiB"),
        "{said}"
    );
    assert_eq!(host.outsider(&app).memory_target().unwrap(), 65536);
    assert_eq!(host.status(&app).unwrap()["Changed"], json!([]));
}

/// Another domain cannot have the disk, whichever agent is asked.
fn another_cannot_have_it(host: &mut Host, app: &App, data: &Path) {
    let other = host.app("other");
    for _ in 0..2 {
        let theirs = json!({"DiskConfigList": [{"FileLocation": data, "Format": "raw"}]});
        host.put_tiny(&other, "PV", "", &theirs);
        let refused = host.wait(&other, "a refusal", |s| {
            s["LastErr"].as_str().unwrap().contains("is used by")
        });
        let name = app.name();
        assert!(refused["LastErr"].as_str().unwrap().contains(&name));
        again(host, app);
    }
    host.remove(&other);
    host.wait_gone(&other);
}

/// The agent asks for the same in each mode.
#[test]
fn a_guest_gets_and_loses_devices() {
    let mut host = Host::start();
    let app = host.app("devices");
    host.put(&app, "PV", DRIVERS, &json!({}));
    let first = host.wait_up(&app);
    let data = disk(&host, "data", 24);
    let mut shell = host.shell(&app);
    shell.run("! grep -q xvdb /proc/partitions");
    let spec = format!("{},raw,xvdb,rw", data.display());
    change(&host, &app, "attach", &["disk", &spec]);
    let seen = "until grep -q xvdb /proc/partitions; do sleep 1; done";
    shell.run(seen);
    assert_eq!(number(&mut shell, "cat /sys/block/xvdb/size"), 24 << 11);
    shell.run("echo written by the guest >/dev/xvdb && sync");
    let mac = "00:16:3e:13:13:01";
    let nic = format!("mac={mac},bridge=xenbr0");
    change(&host, &app, "attach", &["nic", &nic]);
    shell.run(&format!(
        "until grep -q {mac} /sys/class/net/*/address; do sleep 1; done"
    ));
    let domain = host.outsider(&app);
    assert_eq!(domain.disk_list().unwrap().len(), 1);
    assert_eq!(domain.nic_list().unwrap().len(), 1);
    if xl_is_there() {
        let said = xl(&["network-list", &app.name()]);
        assert!(said.contains(mac), "{said}");
        let said = xl(&["block-list", &app.name()]);
        assert_eq!(said.lines().count(), 2, "{said}");
    }
    another_cannot_have_it(&mut host, &app, &data);
    assert_eq!(domid(&host.wait_state(&app, "RUNNING")), domid(&first));
    does(&host, &["restart"], &app);
    host.wait_up(&app);
    let mut shell = host.shell(&app);
    shell.run(seen);
    let said = shell.run("head -c 7 /dev/xvdb");
    assert!(said.contains("written"), "{said}");
    shell.run(&format!("grep -q {mac} /sys/class/net/*/address"));
    change(&host, &app, "detach", &["nic", mac]);
    change(&host, &app, "detach", &["disk", "xvdb"]);
    shell.run("! grep -q xvdb /proc/partitions");
    shell.run(&format!("! grep -q {mac} /sys/class/net/*/address"));
    assert_eq!(host.outsider(&app).disk_list().unwrap(), []);
    assert_eq!(host.status(&app).unwrap()["Changed"], json!([]));
    host.remove(&app);
    host.wait_gone(&app);
}

/// A device that the hotplug script refuses leaves nothing behind.
#[test]
fn what_cannot_be_attached_leaves_nothing() {
    let host = Host::start();
    let app = host.app("refused");
    host.put_tiny(&app, "PV", "", &json!({}));
    host.wait_up(&app);
    let (code, said) = changes(&host, &app, "attach", &["nic", "bridge=nosuchbr"]);
    assert!(code == 1 && said.contains("nosuchbr"), "{said}");
    assert_eq!(host.outsider(&app).nic_list().unwrap(), []);
    assert_eq!(host.status(&app).unwrap()["Changed"], json!([]));
    // The domain can have another interface.
    change(&host, &app, "attach", &["nic", "bridge=xenbr0"]);
    assert_eq!(host.outsider(&app).nic_list().unwrap().len(), 1);
}

/// Changes the discs of an HVM guest. The device model is checked, and xl changes a disc as an outsider.
#[test]
fn the_disc_of_an_hvm_guest_is_changed() {
    let host = Host::start();
    let app = host.app("discs");
    let (one, two) = (disk(&host, "one.iso", 1), disk(&host, "two.iso", 2));
    let drive = json!({"FileLocation": one, "Format": "iso", "Devtype": "cdrom"});
    host.put_tiny(&app, "HVM", "", &json!({"DiskConfigList": [drive]}));
    host.wait_up(&app);
    let disc = || {
        let drive = host.outsider(&app).disk_by_vdev("xvda").unwrap();
        drive.pdev_path.filter(|path| !path.is_empty())
    };
    let path = |path: &PathBuf| Some(path.display().to_string());
    assert_eq!(disc(), path(&one));
    change(&host, &app, "insert", &["xvda", two.to_str().unwrap()]);
    assert_eq!(disc(), path(&two));
    let model = || {
        let ask = host.outsider(&app).qemu_monitor_command("info block -v");
        ask.unwrap().wait().unwrap()
    };
    // libxl passes the disc to QEMU as a descriptor, so only the size tells which one it is.
    let two_is_in = |model: &str| model.contains("(2097152 bytes)");
    assert!(two_is_in(&model()), "{}", model());
    change(&host, &app, "eject", &["xvda"]);
    assert_eq!(disc(), None);
    assert!(!two_is_in(&model()), "{}", model());
    change(&host, &app, "insert", &["xvda", two.to_str().unwrap()]);
    does(&host, &["restart"], &app);
    host.wait_up(&app);
    assert_eq!(disc(), path(&two), "as the next domain has it");
    // A running domain gets no second drive.
    let spec = format!("{},raw,xvdb,cdrom", one.display());
    let said = change(&host, &app, "attach", &["disk", &spec]);
    let words = "attach disk xvdb waits for the next start: an HVM domain gets its CD-ROM drives when it starts";
    assert!(said.contains(words), "{said}");
    assert_eq!(host.outsider(&app).disk_list().unwrap().len(), 1);
    does(&host, &["restart"], &app);
    host.wait_up(&app);
    assert_eq!(host.outsider(&app).disk_list().unwrap().len(), 2);
    host.remove(&app);
    host.wait_gone(&app);
}

#[test]
fn processors_are_pinned_and_shared_in_xen() {
    let mut host = Host::start();
    let app = host.app("shares");
    host.put_tiny(&app, "PV", "", &json!({}));
    host.wait_up(&app);
    change(&host, &app, "set", &["cpus=1", "weight=512", "cap=50"]);
    let check = |host: &Host| {
        let domain = host.outsider(&app);
        for vcpu in domain.list_vcpus().unwrap() {
            assert_eq!(vcpu.hard_affinity, Bitmap::from([1]));
        }
        let share = domain.sched_params().unwrap();
        assert_eq!((share.weight, share.cap), (Some(512), Some(50)));
    };
    check(&host);
    if xl_is_there() {
        let said = xl(&["sched-credit2", "-d", &app.name()]);
        assert!(said.contains("512") && said.contains("50"), "{said}");
    }
    again(&mut host, &app);
    does(&host, &["restart"], &app);
    host.wait_up(&app);
    check(&host);
    change(&host, &app, "set", &["cap=0"]);
    assert_eq!(host.outsider(&app).sched_params().unwrap().cap, Some(0));
    let (code, said) = verb(&host, &["show"], &app);
    assert!(
        code == 0 && said.contains("set cpus=1 weight=512 cap=0"),
        "{said}"
    );
    host.remove(&app);
    host.wait_gone(&app);
}

/// The agent is killed in the middle of a change. The next agent completes the change, exactly once.
#[test]
fn a_change_that_was_cut_short_is_made_once() {
    let mut host = Host::start();
    let app = host.app("cut");
    host.put(&app, "PV", DRIVERS, &json!({}));
    host.wait_up(&app);
    let mut shell = host.shell(&app);
    for (i, vdev) in ["xvdb", "xvdc", "xvdd"].into_iter().enumerate() {
        let data = disk(&host, vdev, 8);
        let spec = format!("{},raw,{vdev},rw", data.display());
        change(&host, &app, "attach", &["disk", &spec, "--no-wait"]);
        std::thread::sleep(std::time::Duration::from_millis(150 * i as u64));
        again(&mut host, &app);
        host.wait(&app, "the disk", |s| {
            let all = s["Changed"].as_array().unwrap();
            all.contains(&json!(format!("attach disk {vdev}")))
        });
        let disks = host.outsider(&app).disk_list().unwrap();
        let there = disks.iter().filter(|d| d.vdev.as_deref() == Some(vdev));
        assert_eq!(there.count(), 1, "{disks:?}");
        shell.run(&format!(
            "until grep -q {vdev} /proc/partitions; do sleep 1; done"
        ));
    }
    host.remove(&app);
    host.wait_gone(&app);
}
