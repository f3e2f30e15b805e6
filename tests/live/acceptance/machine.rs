//! Parts of a domain other than disks and networks: boot loader, device model, consoles, ports, and resource usage.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use domainmgr::{
    spec::settings::Autoballoon,
    toolstack::{self, Need},
};
use libxl::DomId;
use serde_json::{Value, json};

use super::tool;
use crate::{
    agent::host::{App, Host, domid},
    support::{Guest, Kind, context, tiny_config, wait_for, watcher},
};

/// Does not wait for a graceful shutdown: the BIOS of an HVM domain is slow, and hears no request meanwhile.
const AT_ONCE: [&str; 2] = ["--config", "timer.shutdown.graceful:0"];

fn console(app: &App) -> String {
    let log = fs::read(format!("/var/log/xen/console/guest-{}.log", app.name()));
    String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
}

/// Returns the process id and the command line of a domain's device model.
pub(crate) fn qemu(domid: u32) -> Option<(u32, Vec<String>)> {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse() else {
            continue;
        };
        let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        let words: Vec<String> = line.split('\0').map(str::to_owned).collect();
        let wanted = ["-xen-domid".to_owned(), domid.to_string()];
        if words[0].contains("qemu") && words.windows(2).any(|pair| pair == wanted) {
            return Some((pid, words));
        }
    }
    None
}

/// Makes a disk on which a boot loader finds the small guest.
fn bootable(host: &Host) -> PathBuf {
    let content = host.path("content");
    fs::create_dir_all(content.join("boot/grub")).unwrap();
    fs::copy("/share/guest/tiny", content.join("boot/tiny")).unwrap();
    let menu = "set default=0\nmenuentry 'tiny' {\n\tlinux /boot/tiny lab.tick=1\n}\n";
    fs::write(content.join("boot/grub/grub.cfg"), menu).unwrap();
    let path = host.path("boot.raw");
    let from = content.to_str().unwrap();
    tool(
        "mke2fs",
        &["-q", "-t", "ext2", "-d", from, path.to_str().unwrap(), "8M"],
    );
    path
}

#[test]
fn a_boot_loader_finds_the_kernel_in_the_disk() {
    let host = Host::start();
    let raw = bootable(&host);
    let app = host.app("pygrub");
    let disk = json!({"FileLocation": raw, "Format": "raw", "ReadOnly": true});
    let config = json!({"Kernel": "", "BootLoader": "/usr/bin/pygrub", "DiskConfigList": [disk], "Memory": 8 << 10});
    host.put_tiny(&app, "PV", "", &config);
    host.wait_up(&app);
    wait_for("what the menu says", || {
        console(&app).contains("lab guest: uptime")
    });
    host.remove(&app);
    host.wait_gone(&app);

    let app = host.app("empty");
    let empty = host.path("empty.raw");
    fs::File::create(&empty).unwrap().set_len(1 << 20).unwrap();
    let disk = json!({"FileLocation": empty, "ReadOnly": true});
    let config = json!({"Kernel": "", "BootLoader": "pygrub", "DiskConfigList": [disk]});
    host.put_tiny(&app, "PV", "", &config);
    let failed = host.wait(&app, "three tries", |s| s["BootFailed"] == true);
    let words = failed["LastErr"].as_str().unwrap();
    println!("{words}");
    assert!(words.contains("bootloader"), "{words}");
}

/// Returns the version that a VNC server announces and the authentication methods it offers.
fn greeting(port: u16) -> (String, Vec<u8>) {
    let mut last = None;
    wait_for("a VNC server", || {
        last = TcpStream::connect(("127.0.0.1", port)).ok();
        last.is_some()
    });
    let mut stream = last.unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut version = [0; 12];
    stream.read_exact(&mut version).unwrap();
    stream.write_all(b"RFB 003.008\n").unwrap();
    let mut count = [0];
    stream.read_exact(&mut count).unwrap();
    let mut ways = vec![0; count[0].into()];
    stream.read_exact(&mut ways).unwrap();
    (String::from_utf8_lossy(&version).into_owned(), ways)
}

/// Returns the addresses that listen on a port, as the kernel writes them.
fn listeners(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|t| fs::read_to_string(t).unwrap());
    let end = format!(":{port:04X}");
    tables
        .iter()
        .flat_map(|table| table.lines())
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() > 3 && words[3] == "0A" && words[1].ends_with(&end))
        .map(|words| words[1].trim_end_matches(&end).to_owned())
        .collect()
}

#[test]
fn graphical_consoles_listen_to_this_host_alone() {
    const PASSWORD: u8 = 2;
    const NONE: u8 = 1;
    let host = Host::start_with(&AT_ONCE);
    for (mode, display, passwd) in [("PV", 71, ""), ("HVM", 72, ""), ("HVM", 73, "secret7")] {
        let app = host.app("vnc");
        let vnc = json!({"EnableVnc": true, "VncDisplay": display, "VncPasswd": passwd});
        host.put_tiny(&app, mode, "", &vnc);
        let up = host.wait(&app, "an answer", |s| {
            s["StateName"] == "RUNNING" || s["BootFailed"] == true
        });
        if up["BootFailed"] == true {
            // Debian's QEMU lacks DES, which VNC passwords need. QEMU's message says so.
            let words = up["LastErr"].as_str().unwrap();
            assert!(words.contains("does not support DES"), "{words}");
            assert!(!passwd.is_empty() && !words.contains(passwd), "{words}");
            continue;
        }
        let port = 5900 + display;
        let (version, ways) = greeting(port);
        assert!(version.starts_with("RFB "), "{version}");
        assert_eq!(ways, [if passwd.is_empty() { NONE } else { PASSWORD }]);
        assert_eq!(listeners(port), ["0100007F"], "127.0.0.1 and nothing else");
        if mode == "HVM" {
            let (_, words) = qemu(domid(&up)).unwrap();
            let line = words.join(" ");
            println!("{line}");
            assert!(line.contains("order=dc"), "{line}");
            assert!(line.contains("tablet"), "{line}");
            assert!(line.contains("-serial pty"), "{line}");
        }
        if !passwd.is_empty() {
            for text in [up.to_string(), host.log()] {
                assert!(!text.contains(passwd), "{text}");
            }
        }
        host.remove(&app);
        host.wait_gone(&app);
    }
}

#[test]
fn the_death_of_a_device_model_is_noticed() {
    let host = Host::start_with(&AT_ONCE);
    let app = host.app("broken");
    host.put_tiny(&app, "HVM", "", &json!({}));
    let up = host.wait_state(&app, "RUNNING");
    let (pid, _) = qemu(domid(&up)).expect("a device model");
    let kill = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(kill.unwrap().success());
    let broken = host.wait_state(&app, "BROKEN");
    let words = broken["LastErr"].as_str().unwrap();
    let id = domid(&up);
    assert!(
        words.starts_with(&format!("the device model (QEMU) of domain {id} has ended")),
        "{words}"
    );
    assert_eq!(
        host.domains(&app),
        [DomId(id)],
        "it is for the user to decide"
    );
    host.put_tiny(&app, "HVM", "", &json!({"Activate": false}));
    host.wait_state(&app, "HALTED");
    host.put_tiny(&app, "HVM", "", &json!({}));
    let again = host.wait_state(&app, "RUNNING");
    assert_eq!(again["LastErr"], "");
    // For a domain that is stopped, the end of the device model is not reported.
    host.remove(&app);
    host.wait_gone(&app);
    assert_eq!(
        host.log().matches("(QEMU) of domain").count(),
        1,
        "{}",
        host.log()
    );
}

#[test]
fn lists_of_interrupts_and_ports_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let com = |name: &str, text: &str| json!({"Type": 3, "Name": name, "Members": [name], "XenCfg": text});
    let model = json!({"IoBundleList": [
        com("COM3", "irqs=[10]\nioports=['3e8-3ef']\n"),
        com("COM4", "irqs=[11]\nioports=['2e8-2ef']\n"),
    ]});
    fs::write(at("model.json"), model.to_string()).unwrap();
    fs::write(at("ports.json"), r#"{"Testing": false, "Ports": []}"#).unwrap();
    let host = Host::start_with(&[
        "--adapters",
        &at("model.json"),
        "--network-status",
        &at("ports.json"),
    ]);
    let app = host.app("serial");
    let list: Vec<Value> = ["COM3", "COM4"]
        .map(|name| json!({"Type": 3, "Name": name}))
        .to_vec();
    host.put_tiny(&app, "PV", "", &json!({"IoAdapterList": list}));
    host.wait_up(&app);
    let has = host
        .outsider(&app)
        .retrieve_configuration()
        .wait()
        .unwrap()
        .b_info;
    assert_eq!(has.irqs, [10, 11]);
    let ports: Vec<(u32, u32)> = has.ioports.iter().map(|r| (r.first, r.number)).collect();
    assert_eq!(ports, [(0x3e8, 8), (0x2e8, 8)]);
    let cfg = fs::read_to_string(host.path(&format!("run/xen/xen{}.cfg", app.number))).unwrap();
    assert!(cfg.contains("irqs = [10, 11]\n"), "{cfg}");
}

#[test]
fn what_domains_and_the_host_use_is_measured() {
    let host = Host::start_with(&["--config", "timer.metric.interval:5"]);
    let app = host.app("used");
    host.put_tiny(&app, "PV", "lab.tick=1", &json!({}));
    host.wait_up(&app);
    let read = |path: &str| -> Value {
        let text = fs::read(host.path(path)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    };
    let metric = || read(&format!("run/DomainMetric/{}.json", app.key));
    wait_for("figures", || metric()["Activated"] == true);
    let first = metric();
    println!("{first}");
    // 4 MiB, and a few pages.
    assert!((3..6).contains(&first["UsedMemory"].as_u64().unwrap()));
    assert_eq!(first["CPUScaled"], 1);
    let time = |m: &Value| m["CPUTotalNs"].as_u64().unwrap();
    wait_for("more", || time(&metric()) > time(&first));
    let xen = context().physinfo().unwrap();
    let memory = read("run/HostMemory/global.json");
    println!("{memory}");
    assert_eq!(memory["Ncpus"], xen.nr_cpus);
    assert_eq!(memory["TotalMemoryMB"], xen.total_pages >> 8);
    assert!(memory["UsedEveMB"].as_u64().unwrap() > 0);
    let whole = read("run/DomainMetric/00000000-0000-0000-0000-000000000000.json");
    assert!(time(&whole) > time(&first), "{whole}");
}

/// No domain of this size is built, because other tests need the memory.
#[test]
fn dom0_gives_memory_back_for_a_new_domain() {
    // Only this test asks dom0 for memory, but other tests end their guests and so free memory.
    let given = (0..5)
        .map(|_| room_in_dom0())
        .find(|given| *given >= 40 << 10);
    assert!(given.is_some());
}

/// Asks for 48 MiB more than the free memory, for a domain that is to be built and for one that is to grow. Returns the KiB that dom0
/// gave back, the smaller of the two.
fn room_in_dom0() -> u64 {
    let ctx = context();
    let dom0 = ctx.domain_by_domid(DomId(0)).unwrap();
    let target = dom0.memory_target().unwrap();
    let free = ctx.free_memory().unwrap();
    let text = format!(
        r#"{{"UUIDandVersion":{{"UUID":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"}},"DisplayName":"large","AppNum":1,
        "Kernel":"/share/guest/tiny","Memory":{}}}"#,
        free + (48 << 10)
    );
    let config: domainmgr::frontends::eve::DomainConfig =
        domainmgr::base::json::parse(text.as_bytes()).unwrap();
    let uuid = config.uuid_and_version.uuid.parse().unwrap();
    let spec = domainmgr::frontends::eve::spec(uuid, &config).unwrap();
    let xen = toolstack::libxl::open().unwrap();
    let mut session = xen.session().unwrap();
    let limits = toolstack::Limits::default();
    let none = session
        .grant_memory(Need::Build(&spec), Autoballoon::Auto, &limits)
        .unwrap();
    assert!(none.is_none(), "this Xen was started with dom0_mem=");
    let made = session.grant_memory(Need::Build(&spec), Autoballoon::On, &limits);
    let given = target - dom0.memory_target().unwrap();
    dom0.set_memory_target(target, false).unwrap();
    made.unwrap();
    println!("dom0 gave {} MiB back", given >> 10);
    let guest = Guest::create(&ctx, &watcher(), &tiny_config(Kind::Pv, "grows", ""));
    let id = toolstack::DomainId {
        domid: guest.id().domid.0,
        uuid: guest.id().uuid,
    };
    let mib = (ctx.free_memory().unwrap() >> 10) + 4 + 48;
    let made = session.grant_memory(Need::Growth(id, mib), Autoballoon::On, &limits);
    let more = target - dom0.memory_target().unwrap();
    dom0.set_memory_target(target, false).unwrap();
    made.unwrap();
    println!("dom0 gave {} MiB back for one that grows", more >> 10);
    given.min(more)
}

/// The disk is a partition, named as by the kernel.
#[test]
fn a_guest_mounts_and_writes_a_partition() {
    let host = Host::start();
    let disk = host.path("disk.img");
    fs::File::create(&disk).unwrap().set_len(40 << 20).unwrap();
    // One Linux partition from 1 MiB on, with 32 MiB of 512-byte sectors.
    let mut table = vec![0; 512];
    table[446 + 4] = 0x83;
    table[446 + 8..446 + 12].copy_from_slice(&u32::to_le_bytes(2048));
    table[446 + 12..446 + 16].copy_from_slice(&u32::to_le_bytes(65536));
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut file = fs::File::options().write(true).open(&disk).unwrap();
    file.write_all(&table).unwrap();
    drop(file);
    // Far from the numbers that Xen's script chooses, because others look for free loop devices as well.
    let name = "/dev/loop79";
    let _attached = Attached::new(name, &disk, &["-P"]);
    let partition = format!("{name}p1");
    wait_for("the partition", || fs::metadata(&partition).is_ok());
    tool("mke2fs", &["-q", "-t", "ext4", &partition]);
    let app = host.app("part");
    let config = json!({"DiskConfigList": [{"FileLocation": partition}], "RootDev": "/dev/ram0"});
    host.put(&app, "PV", "", &config);
    host.wait_up(&app);
    let mut shell = host.shell(&app);
    shell.run(
        "modprobe ext4; until [ -b /dev/xvda ]; do sleep 0.1; done; mount -t ext4 /dev/xvda /mnt && \
         echo from the guest >/mnt/answer && umount /mnt && sync",
    );
    host.remove(&app);
    host.wait_gone(&app);
    assert_eq!(
        tool("debugfs", &["-D", "-R", "cat /answer", &partition]),
        "from the guest\n"
    );
}

struct Attached(String);

impl Attached {
    fn new(name: &str, file: &std::path::Path, more: &[&str]) -> Self {
        tool("losetup", &[more, &[name, file.to_str().unwrap()]].concat());
        Self(name.to_owned())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

/// The guest's own tools find the disk by its label. The test looks for its content.
#[test]
fn a_guest_reads_its_disk_for_cloud_init() {
    let host = Host::start();
    let app = host.app("seed");
    // "#cloud-config\nhostname: seeded\n"
    let config = json!({"CloudInitUserData": "I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogc2VlZGVkCg==", "RootDev": "/dev/ram0"});
    host.put(&app, "PV", "", &config);
    host.wait_up(&app);
    let mut shell = host.shell(&app);
    shell.run("until [ -b /dev/xvdz ]; do sleep 0.1; done; grep -q 'hostname: seeded' /dev/xvdz");
    shell.run(&format!("grep -q 'instance-id: {}/' /dev/xvdz", app.key));
    let disk = host.path(&format!("run/cloudinit/{}.cidata", app.key));
    let place = tempfile::tempdir().unwrap();
    let at = place.path().to_str().unwrap();
    let attached = Attached::new("/dev/loop80", &disk, &["-r"]);
    tool("mount", &["-o", "ro", "-t", "iso9660", &attached.0, at]);
    let read = fs::read_to_string(place.path().join("user-data"));
    tool("umount", &[at]);
    assert_eq!(read.unwrap(), "#cloud-config\nhostname: seeded\n");
    host.remove(&app);
    host.wait_gone(&app);
    assert!(!disk.exists());
}
