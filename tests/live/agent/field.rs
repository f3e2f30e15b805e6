//! Reports from the field: an accepted config is fulfilled, an impossible one is refused, and nothing has two owners.

use std::{fs, net::TcpListener, process::Command};

use libxl::config::{Disk, DomainConfig};
use serde_json::{Value, json};

use super::host::{App, Host, domid};
use crate::{
    acceptance::machine::qemu,
    support::{context, unique, wait_for},
};

/// Does not wait for a graceful shutdown: the BIOS of an HVM domain is slow, and hears no request meanwhile.
const AT_ONCE: [&str; 2] = ["--config", "timer.shutdown.graceful:0"];

/// "lab user data 4711\n"
const USER_DATA: &str = "bGFiIHVzZXIgZGF0YSA0NzExCg==";

fn reads_its_user_data(host: &Host, app: &App) {
    let up = host.wait_up(app);
    assert_eq!(up["DiskStatusList"][0]["Vdev"], "xvdz");
    let mut shell = host.shell(app);
    let said = shell.run("until [ -b /dev/xvdz ]; do sleep 0.1; done; grep -a -e 'user data' -e instance-id /dev/xvdz");
    assert!(said.contains("lab user data 4711"), "{said}");
    assert!(
        said.contains(&format!("instance-id: {}/", app.key)),
        "{said}"
    );
}

#[test]
fn a_pvh_guest_reads_its_user_data() {
    let host = Host::start_with(&AT_ONCE);
    let app = host.app("seed");
    host.put(&app, "PVH", "", &json!({"CloudInitUserData": USER_DATA}));
    reads_its_user_data(&host, &app);
    host.remove(&app);
    host.wait_gone(&app);
}

#[track_caller]
fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).status().unwrap();
    assert!(done.success(), "{program} {args:?}");
}

/// Attaches a loop device. Its number is far from those that Xen's script chooses, because others look for free ones
/// as well.
#[track_caller]
fn losetup(device: &std::path::Path, file: &std::path::Path) {
    run(
        "losetup",
        &[device.to_str().unwrap(), file.to_str().unwrap()],
    );
}

fn refused(host: &Host, app: &App, owner: &str) -> Value {
    host.wait(app, "a refusal", |s| {
        let error = s["LastErr"].as_str().unwrap();
        s["BootFailed"] == true && error.contains(&format!(" is used by {owner}"))
    })
}

#[test]
fn one_disk_is_not_given_to_two_domains() {
    let mut host = Host::start_with(&AT_ONCE);
    let raw = host.path("disk.raw");
    fs::File::create(&raw).unwrap().set_len(1 << 20).unwrap();
    let link = host.path("link");
    std::os::unix::fs::symlink(&raw, &link).unwrap();
    let (first, second) = (host.app("first"), host.app("second"));
    let on = |path: &std::path::Path| json!({"DiskConfigList": [{"FileLocation": path}]});
    host.put_tiny(&first, "PV", "", &on(&raw));
    host.wait_state(&first, "RUNNING");
    host.put_tiny(&second, "PVH", "", &on(&link));
    let owner = format!("{} ({})", first.name(), first.key);
    refused(&host, &second, &owner);
    // The owner persists over a restart of the agent.
    host.kill();
    host.start_again();
    refused(&host, &second, &owner);
    // A loop device counts as its file.
    let device = std::path::Path::new("/dev/loop77");
    losetup(device, &raw);
    host.put_tiny(&second, "PV", "", &on(device));
    refused(&host, &second, &owner);
    run("losetup", &["-d", "/dev/loop77"]);
    // The second domain starts once the first is gone.
    host.put_tiny(&second, "PV", "", &on(&raw));
    host.remove(&first);
    host.wait_gone(&first);
    host.wait_state(&second, "RUNNING");
}

#[test]
fn the_disk_of_another_toolstacks_domain_is_its_own() {
    let host = Host::start_with(&AT_ONCE);
    let raw = host.path("disk.raw");
    fs::File::create(&raw).unwrap().set_len(1 << 20).unwrap();
    let name = unique("theirs");
    let config = DomainConfig::pv(&name)
        .kernel("/share/guest/tiny")
        .memory_mib(4)
        .disk(Disk::raw(raw.to_str().unwrap(), "xvda"));
    let ctx = context();
    let theirs = ctx.domain_create_new(&config).unwrap().wait().unwrap();
    let app = host.app("ours");
    host.put_tiny(
        &app,
        "PV",
        "",
        &json!({"DiskConfigList": [{"FileLocation": raw}]}),
    );
    let owner = format!("domain {} ({name})", theirs.domid.0);
    let words = host.wait(&app, "a refusal", |s| s["LastErr"] != "");
    let words = words["LastErr"].as_str().unwrap();
    assert!(words.contains(&format!(" is used by {owner}")), "{words}");
    ctx.domain(theirs).destroy().wait().unwrap();
    host.wait_state(&app, "RUNNING");
}

#[test]
fn what_the_host_has_mounted_is_the_hosts() {
    let host = Host::start_with(&AT_ONCE);
    let raw = host.path("disk.raw");
    fs::File::create(&raw).unwrap().set_len(4 << 20).unwrap();
    let (file, at) = (raw.to_str().unwrap(), host.path("mnt"));
    fs::create_dir(&at).unwrap();
    run("mke2fs", &["-q", file]);
    losetup(std::path::Path::new("/dev/loop78"), &raw);
    run("mount", &["/dev/loop78", at.to_str().unwrap()]);
    let app = host.app("mounted");
    let config = json!({"DiskConfigList": [{"FileLocation": raw}]});
    host.put_tiny(&app, "PV", "", &config);
    let words = host.wait(&app, "a refusal", |s| s["LastErr"] != "");
    run("umount", &[at.to_str().unwrap()]);
    run("losetup", &["-d", "/dev/loop78"]);
    let words = words["LastErr"].as_str().unwrap();
    let owner = format!(" is used by the host, mounted on {}", at.display());
    assert!(words.contains(&owner), "{words}");
    host.wait_state(&app, "RUNNING");
}

#[test]
fn a_kept_domain_gives_its_interface_to_its_successor() {
    let host = Host::start_with(&AT_ONCE);
    let raw = host.path("disk.raw");
    fs::File::create(&raw).unwrap().set_len(1 << 20).unwrap();
    let app = host.app("kept");
    let config = json!({
        "OnCrash": "rename-restart",
        "VifList": [{"Bridge": "xenbr0", "Vif": "keptvif"}],
        "DiskConfigList": [{"FileLocation": raw}],
    });
    host.put_tiny(&app, "PV", "lab.action=crash lab.after=9", &config);
    let first = domid(&host.wait_state(&app, "RUNNING"));
    let again = host.wait(&app, "the successor", |s| {
        s["StateName"] == "RUNNING" && domid(s) != first
    });
    let action = again["ShutdownAction"].as_str().unwrap();
    assert!(
        action.starts_with("rename-restart: the one that is kept has given"),
        "{action}"
    );
    assert_eq!(again["Preserved"][0]["DomainId"], first);
    assert_eq!(again["TriedCount"], 1, "{again}");
    wait_for("the interface", || {
        fs::metadata("/sys/class/net/keptvif").is_ok()
    });
}

/// The small guest has no driver for disks, so its disk is named. The disk of a guest with a driver is not.
#[test]
fn a_disk_that_the_guest_does_not_take_is_named() {
    let host = Host::start_with(&AT_ONCE);
    let disk = |name: &str| {
        let path = host.path(name);
        fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
        json!({"DiskConfigList": [{"FileLocation": path}]})
    };
    let (tiny, linux) = (host.app("tiny"), host.app("linux"));
    host.put(&linux, "PVH", "", &disk("linux.raw"));
    host.put_tiny(&tiny, "PV", "", &disk("tiny.raw"));
    let words = "the guest has not connected to the disk xvda: it may still be on its way, or have no driver for it";
    host.wait(&tiny, "word of the disk", |s| s["StateReason"] == words);
    let taken = host.wait_up(&linux);
    let mut session = domainmgr::toolstack::libxl::open()
        .unwrap()
        .session()
        .unwrap();
    let id = domainmgr::toolstack::DomainId {
        domid: domid(&taken),
        uuid: linux.key.parse().unwrap(),
    };
    wait_for("its driver", || session.unconnected(id).unwrap().is_empty());
}

#[test]
fn offloads_are_off_unless_the_setting_says_otherwise() {
    for (setting, wanted) in [("off", Some("0")), ("on", None)] {
        let offload = format!("domain.vif.offload:{setting}");
        let host = Host::start_with(&["--config", &offload]);
        let app = host.app("offload");
        let vif = json!({"VifList": [{"Bridge": "xenbr0"}]});
        host.put_tiny(&app, "PVH", "", &vif);
        let up = host.wait_up(&app);
        let store = libxl::xenstore::Xenstore::open().unwrap();
        let key = format!(
            "/local/domain/0/backend/vif/{}/0/feature-gso-tcpv4",
            domid(&up)
        );
        let found = store.read(&key).unwrap();
        assert_eq!(found.as_deref(), wanted.or(Some("1")));
        host.remove(&app);
        host.wait_gone(&app);
    }
}

#[test]
fn the_display_of_vnc_is_the_one_that_was_asked_for() {
    let host = Host::start_with(&AT_ONCE);
    let taken = TcpListener::bind(("127.0.0.1", 5900 + 81)).unwrap();
    let app = host.app("screen");
    let screen = |display: u16, listen: &str| json!({"EnableVnc": true, "VncDisplay": display, "VncListen": listen});
    host.put_tiny(&app, "PV", "", &screen(81, ""));
    let failed = host.wait(&app, "an error", |s| s["LastErr"] != "");
    println!("{}", failed["LastErr"]);
    assert_ne!(failed["StateName"], "RUNNING");
    // Any free display; the status says which one.
    let next = host.app("next");
    host.put_tiny(&next, "PV", "", &screen(0, ""));
    host.wait_state(&next, "RUNNING");
    let mut last = None;
    wait_for("a VNC server where the status says", || {
        last = host.status(&next).and_then(|s| s["VncDisplay"].as_u64());
        let port = last.map(|display| 5900 + u16::try_from(display).unwrap());
        port.is_some_and(|port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
    });
    println!("display {last:?}");
    // An address with colons.
    host.put_tiny(&app, "PV", "", &screen(82, "::1"));
    host.wait(&app, "the newer config", |s| {
        s["ConfigDigest"] != failed["ConfigDigest"]
    });
    host.wait_state(&app, "RUNNING");
    wait_for("a VNC server", || {
        std::net::TcpStream::connect(("::1", 5900 + 82)).is_ok()
    });
    assert!(std::net::TcpStream::connect(("127.0.0.1", 5900 + 82)).is_err());
    // Not earlier: the next try would have got the first display, and the domain would run with the first config.
    drop(taken);
}

#[test]
fn a_device_model_that_ends_is_dealt_with_as_the_config_says() {
    let host = Host::start_with(&AT_ONCE);
    let (kept, restarted) = (host.app("keep"), host.app("restart"));
    for (app, word) in [(&kept, "keep"), (&restarted, "restart")] {
        host.put_tiny(app, "HVM", "", &json!({"OnDeviceModelExit": word}));
    }
    let up = [&kept, &restarted].map(|app| host.wait_state(app, "RUNNING"));
    assert!(
        up[0]["Memory"].as_u64() >= Some(32 << 10),
        "{}",
        up[0]["Memory"]
    );
    for status in &up {
        let (pid, _) = qemu(domid(status)).expect("an HVM domain has a QEMU");
        run("kill", &["-9", &pid.to_string()]);
    }
    let broken = host.wait_state(&kept, "BROKEN");
    assert_eq!(domid(&broken), domid(&up[0]));
    let anew = host.wait(&restarted, "another domain", |s| {
        s["StateName"] == "RUNNING" && s["DomainId"] != up[1]["DomainId"]
    });
    assert!(qemu(domid(&anew)).is_some());
    assert_eq!(anew["Restarts"], 1, "{anew}");
    for app in [&kept, &restarted] {
        host.remove(app);
        host.wait_gone(app);
    }
}

/// The serial line of the host is one end of a pseudo-terminal here, and the test has the other.
///
/// Both checks use one guest, which takes minutes to boot in the emulated lab.
#[test]
fn an_hvm_guest_reads_its_user_data_and_has_a_serial_line_of_the_host() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::io::Read;
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let line = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let place = tempfile::tempdir().unwrap();
    let (model, ports) = (place.path().join("model"), place.path().join("ports"));
    let bundle = json!({"Type": 3, "Name": "COM2", "Members": ["COM2"], "Serial": line});
    fs::write(&model, json!({"IoBundleList": [bundle]}).to_string()).unwrap();
    fs::write(&ports, r#"{"Ports": []}"#).unwrap();
    let mut args = AT_ONCE.to_vec();
    let (model, ports) = (model.to_str().unwrap(), ports.to_str().unwrap());
    args.extend(["--adapters", model, "--network-status", ports]);
    let host = Host::start_with(&args);
    let app = host.app("serial");
    let adapter = json!([{"Type": 3, "Name": "COM2"}]);
    let config = json!({"CloudInitUserData": USER_DATA, "IoAdapterList": adapter});
    host.put(&app, "HVM", "", &config);
    reads_its_user_data(&host, &app);
    let mut ours = fs::File::from(ours);
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        while !heard.ends_with(b"over the line") {
            let mut byte = [0];
            ours.read_exact(&mut byte).unwrap();
            heard.extend(byte);
        }
    });
    let mut shell = host.shell(&app);
    shell.run("printf 'over the line' > /dev/ttyS1");
    wait_for("the words of the guest", || heard.is_finished());
    heard.join().unwrap();
    host.remove(&app);
    host.wait_gone(&app);
}

/// At first xenstored's directory is hidden from the agent, which therefore finds no listening xenstored.
#[test]
fn an_agent_that_comes_before_xenstored_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("config")).unwrap();
    let agent = std::env::current_exe().unwrap().with_file_name("domainmgr");
    let script = r#"
        mount -t tmpfs none /run/xenstored || exit 9
        { until [ -e "$0/now" ]; do sleep 0.1; done; umount /run/xenstored; } &
        exec "$1" run --config-dir "$0/config" --run-dir "$0/run" --state-dir "$0/state" --dump-dir "$0/dump" \
            --image-dir "$0/img" --verified-dir "$0/verified" 2> "$0/log""#;
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .args([dir.path(), &agent])
        .spawn()
        .unwrap();
    let log = || fs::read_to_string(path("log")).unwrap_or_default();
    wait_for("the agent to wait", || {
        log().contains("waiting for xenstored: nothing listens at /run/xenstored/socket")
    });
    assert!(!log().contains(" started: "), "{}", log());
    fs::write(path("now"), "").unwrap();
    wait_for("the agent", || {
        let log = log();
        log.contains("xenstored is there") && log.contains(" started: ")
    });
    run("kill", &[&child.id().to_string()]);
    assert!(child.wait().unwrap().success());
}
