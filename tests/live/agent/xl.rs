//! The agent runs domains from files for xl, on a real Xen, and is compared with xl itself.

use std::{fs, path::PathBuf, process::Command};

use libxl::config::lost_fields;
use serde_json::Value;

use super::disks::{MOUNT, image};
use super::host::{App, Host, domid};
use super::orders::does;
use crate::support::{QUICK, outsider_is_there, wait_for, xl};

/// The address of the guest, and the address that it pings.
const NETWORK: &str = "lab.ip=192.168.99.73/24 lab.ping=192.168.99.1";

fn file(host: &Host, app: &App) -> PathBuf {
    host.path("auto").join(format!("{}.cfg", app.display_name))
}

/// A guest of the lab.
#[derive(Clone, Copy)]
struct Kind {
    mode: &'static str,
    boots: &'static str,
    /// True for a guest with a shell on its console.
    shell: bool,
    mib: u32,
}

const LINUX: Kind = Kind {
    mode: "pv",
    boots: "kernel = '/lab/guest/vmlinux'\nramdisk = '/lab/guest/initrd'\n",
    shell: true,
    mib: 128,
};

/// The small guest, because a Linux would take much longer to boot.
const TINY: Kind = Kind {
    mode: "pvh",
    boots: "kernel = '/share/guest/tiny'\n",
    shell: false,
    mib: 4,
};

const TINY_HVM: Kind = Kind {
    mode: "hvm",
    boots: "kernel = '/share/guest/tiny-hvm'\n",
    shell: false,
    mib: 32,
};

fn put(host: &Host, app: &App, kind: Kind, memory: u32, more: &str) {
    let Kind { mode, boots, .. } = kind;
    // The small guest ends if its command line has unknown parameters of the lab.
    let network = if kind.shell { NETWORK } else { "" };
    let text = format!(
        "name = '{}'\nuuid = '{}'\ntype = '{mode}'\n{boots}memory = {memory}\n\
         extra = 'console=hvc0 {QUICK} {network}'\n{more}",
        app.name(),
        app.key,
    );
    let path = file(host, app);
    let part = path.with_extension("part.tmp");
    fs::write(&part, text).unwrap();
    fs::rename(part, path).unwrap();
}

/// Returns the output of a program from the beginning of its JSON.
fn json(program: &str, args: &[&str], path: &std::path::Path) -> Value {
    let out = Command::new(program).args(args).arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program}: {complaint}");
    let json = text.find('{').map(|start| &text[start..]);
    serde_json::from_str(json.expect("JSON")).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn lives(kind: Kind, more: impl FnOnce(&Host) -> String) {
    let answers_still = |host: &Host, app: &App| {
        if kind.shell {
            host.shell(app).run("true");
        }
    };
    let mut host = Host::start();
    let more = &more(&host);
    let app = host.app("file");
    put(&host, &app, kind, kind.mib, more);
    let first = host.wait_up(&app);
    assert_eq!(first["DomainName"], app.name().as_str());
    // xl reads the same configuration from the file.
    if outsider_is_there() {
        let program = std::env::current_exe().unwrap().with_file_name("domainmgr");
        let path = file(&host, &app);
        let theirs = json("xl", &["create", "-n"], &path);
        let ours = json(program.to_str().unwrap(), &["config", "--json"], &path);
        // xl also prints empty objects, which carry no information.
        assert_eq!(lost_fields(&theirs, &ours), Vec::<String>::new());
        assert_eq!(lost_fields(&ours, &theirs), Vec::<String>::new());
    }
    answers_still(&host, &app);
    // A later agent finds the domain.
    host.kill();
    host.start_again();
    host.wait_log(" started: ");
    answers_still(&host, &app);
    assert_eq!(domid(&host.wait_state(&app, "RUNNING")), domid(&first));
    // A new file is used at the next start.
    put(&host, &app, kind, kind.mib * 2, more);
    host.wait(&app, "the new file", |s| {
        s["ConfigDigest"] != first["ConfigDigest"]
    });
    assert_eq!(domid(&host.status(&app).unwrap()), domid(&first));
    wait_for("the socket", || super::orders::answers(&host, &app));
    does(&host, &["restart"], &app);
    let second = host.wait(&app, "another domain", |s| {
        s["StateName"] == "RUNNING" && domid(s) != domid(&first)
    });
    let memory = second["Memory"].as_u64().unwrap();
    let (least, most) = (u64::from(kind.mib) * 3 / 2, u64::from(kind.mib) * 2);
    // Xen counts a few pages of its own.
    assert!(
        memory > least << 10 && memory < (most + 1) << 10,
        "{memory} kB"
    );
    answers_still(&host, &app);
    fs::remove_file(file(&host, &app)).unwrap();
    host.wait_gone(&app);
}

#[test]
fn a_pv_domain_with_a_disk_and_a_bridge_lives_by_its_file() {
    lives(LINUX, |host| {
        format!(
            "disk = [ '{},raw,xvda,rw' ]\nvif = [ 'bridge=xenbr0,mac=00:16:3e:00:00:73' ]\non_crash = 'restart'\n",
            image(host).display()
        )
    });
}

#[test]
fn a_pvh_domain_lives_by_its_file() {
    lives(TINY, |_| "vcpus = 2\nmaxvcpus = 4\n".to_owned());
}

#[test]
fn an_hvm_domain_lives_by_its_file() {
    lives(TINY_HVM, |_| "serial = 'pty'\nvnc = 0\n".to_owned());
}

/// Checks the interface and the disk in the guest, and not only in libxl's configuration.
#[test]
fn a_guest_finds_the_devices_of_its_file() {
    let host = Host::start();
    let disk = image(&host);
    let app = host.app("finds");
    let more = format!(
        "disk = [ '{},raw,xvda,r' ]\nvif = [ 'bridge=xenbr0' ]\n",
        disk.display()
    );
    put(&host, &app, LINUX, 128, &more);
    host.wait_up(&app);
    let said = host
        .shell(&app)
        .run(&format!("{MOUNT} && cat /mnt/greeting"));
    assert!(said.contains("from the image"), "{said}");
    let built = fs::read(host.path("run/xen").join(format!("{}.json", app.key))).unwrap();
    let built: Value = serde_json::from_slice(&built).unwrap();
    let mac = built["nics"][0]["mac"].as_str().unwrap();
    let said = host.shell(&app).run("cat /sys/class/net/eth0/address");
    assert!(said.contains(mac), "{said}: {mac}");
    // xl works with a domain that the agent has built, and the agent copes with xl's actions.
    if outsider_is_there() {
        let first = host.status(&app).unwrap();
        let out = xl(&["reboot", &app.name()]);
        println!("{out:?}");
        let second = host.wait(&app, "another domain", |s| {
            s["StateName"] == "RUNNING" && domid(s) != domid(&first)
        });
        assert_eq!(second["Restarts"], 1);
        let said = host.shell(&app).run("cat /sys/class/net/eth0/address");
        assert!(said.contains(mac), "the same card: {said}: {mac}");
    }
    fs::remove_file(file(&host, &app)).unwrap();
    host.wait_gone(&app);
}
