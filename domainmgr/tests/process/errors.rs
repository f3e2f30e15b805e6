//! Every error that a user can cause, with its exact text: what happened, to which domain and field, and what to do.
//!
//! One agent meets the errors one after the other. Each is gone once its cause is put right.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::adapters::{self, wants};
use crate::common::disks::{self, HASH, image};
use crate::common::{A, B, Host, domainmgr, domid, text};
use serde_json::{Value, json};

/// Replaces the placeholders in braces.
fn fill(host: &Host, words: &str) -> String {
    let dir = host.path("");
    let dir = dir.to_str().unwrap().trim_end_matches('/');
    words
        .replace("{config}", &format!("{dir}/config/{A}.json"))
        .replace("{dir}", dir)
        .replace("{A}", A)
        .replace("{B}", B)
}

/// Puts each DomainConfig into place, and waits for exactly its error.
fn each(host: &Host, rows: &[(Value, &str)]) {
    for (changes, words) in rows {
        let words = fill(host, words);
        host.put(A, changes);
        let failed = host.wait(A, &words, |s| s["LastErr"] == words);
        assert_eq!(failed["Activated"], false, "{words}");
        assert_eq!(domid(&failed), 0, "{words}");
        assert_ne!(failed["LastErrTime"], "0001-01-01T00:00:00Z", "{words}");
    }
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["LastErr"], "");
    host.put(A, &json!({"Activate": false}));
    host.wait_state(A, "HALTED");
}

#[allow(clippy::needless_pass_by_value, reason = "the table reads better")]
fn disk(changes: Value) -> Value {
    json!({"DiskConfigList": [changes]})
}

/// DomainConfigs that are wrong in themselves.
#[test]
fn in_a_config() {
    let host = Host::start(&[]);
    let long = "n".repeat(127);
    let many: Vec<Value> = (0..27).map(|_| json!({"FileLocation": "/d"})).collect();
    let full: Vec<Value> = (0..26).map(|_| json!({"FileLocation": "/d"})).collect();
    each(
        &host,
        &[
            (
                json!({"UUIDandVersion": {"UUID": ""}}),
                "{config}: UUIDandVersion.UUID: missing",
            ),
            (
                json!({"UUIDandVersion": {"UUID": "x"}}),
                r#"{config}: UUIDandVersion.UUID: expected a uuid, found "x""#,
            ),
            (
                json!({"UUIDandVersion": {"UUID": B}}),
                "{config}: UUIDandVersion.UUID: {B} is not the name of the file, {A}",
            ),
            (json!({"DisplayName": ""}), "{config}: DisplayName: missing"),
            (
                json!({"DisplayName": "a/b"}),
                "{config}: DisplayName: '/' cannot be in the name of a domain",
            ),
            (
                json!({"DisplayName": "a,b"}),
                "{config}: DisplayName: ',' cannot be in the name of a domain",
            ),
            (
                json!({"DisplayName": long}),
                "{config}: DisplayName: 129 bytes, at most 128 with \".1\"",
            ),
            (
                json!({"Activate": "yes"}),
                r#"{config}: Activate: expected a boolean, found string "yes""#,
            ),
            (
                json!({"AppNum": -1}),
                "{config}: AppNum: expected u32, found integer `-1`",
            ),
            (
                json!({"VirtualizationMode": 9}),
                r#"{config}: VirtualizationMode: expected 0 or "PV", 1 or "HVM", or "PVH", found 9"#,
            ),
            (
                json!({"Kernel": ""}),
                "{config}: Kernel: a PV domain needs a Kernel or a BootLoader",
            ),
            (
                json!({"Kernel": "", "VirtualizationMode": "PVH"}),
                "{config}: Kernel: a PVH domain needs one",
            ),
            (
                json!({"Kernel": "vmlinuz"}),
                r#"{config}: Kernel: expected an absolute path, found "vmlinuz""#,
            ),
            (
                json!({"Ramdisk": "initrd"}),
                r#"{config}: Ramdisk: expected an absolute path, found "initrd""#,
            ),
            (
                json!({"DeviceTree": "a.dtb"}),
                r#"{config}: DeviceTree: expected an absolute path, found "a.dtb""#,
            ),
            (
                json!({"DtDev": ["gpio"]}),
                r#"{config}: DtDev[0]: expected an absolute path, found "gpio""#,
            ),
            (
                json!({"RootDev": "a\nb"}),
                r"{config}: RootDev: '\n' cannot be part of it",
            ),
            (
                json!({"ExtraArgs": "a\u{0}b"}),
                r"{config}: ExtraArgs: '\0' cannot be part of it",
            ),
            (
                json!({"BootLoader": "a\rb"}),
                r"{config}: BootLoader: '\r' cannot be part of it",
            ),
            (
                json!({"Memory": 0}),
                "{config}: Memory: expected an integer of kB above 0, found 0",
            ),
            (
                json!({"Memory": "lots"}),
                r#"{config}: Memory: expected an integer of kB, found string "lots""#,
            ),
            (
                json!({"Memory": 1_u64 << 41}),
                "{config}: Memory: 2199023255552 kB is more than the 1099511627776 kB any host has",
            ),
            (
                json!({"MaxMem": 1}),
                "{config}: MaxMem: 1 kB is less than Memory, 131072 kB",
            ),
            (
                json!({"VCpus": 4, "MaxCpus": 2}),
                "{config}: MaxCpus: 2 is less than VCpus, 4",
            ),
            (
                json!({"VCpus": 513}),
                "{config}: VCpus: 513 is more than the 512 of a PV domain",
            ),
            (
                json!({"CPUs": "3-1"}),
                r#"{config}: CPUs: expected numbers below 4096 like "1,2" or "0-3", found "3-1""#,
            ),
            (
                json!({"IOMem": ["f7020"]}),
                r#"{config}: IOMem[0]: expected START,COUNT in hexadecimal pages, found "f7020""#,
            ),
            (
                json!({"EnableVnc": true, "VncPasswd": "a b"}),
                "{config}: VncPasswd: commas and blanks cannot be part of it, save for an HVM domain",
            ),
            (
                json!({"EnableVnc": true, "VncListen": "0.0.0.0,vncpasswd="}),
                r#"{config}: VncListen: expected an address of the host like "0.0.0.0", found "0.0.0.0,vncpasswd=""#,
            ),
            (
                json!({"OnCrash": "explode"}),
                r#"{config}: OnCrash: expected one of destroy, restart, rename-restart, preserve, coredump-destroy, coredump-restart, soft-reset, found "explode""#,
            ),
            (
                json!({"CloudInitUserData": "*"}),
                "{config}: CloudInitUserData: expected base64 text, found another character at 0",
            ),
            (
                json!({"CloudInitUserData": "aGk"}),
                "{config}: CloudInitUserData: not base64: Invalid padding",
            ),
            (
                json!({"CloudInitUserData": "aGk=", "DiskConfigList": full}),
                "{config}: CloudInitUserData: its disk has no place beside 26 others, at most 25",
            ),
            (
                json!({"DiskConfigList": many}),
                "{config}: DiskConfigList: 27 disks, at most 26",
            ),
            (
                disk(json!({"Format": "raw"})),
                "{config}: DiskConfigList[0].ImageSha256: missing, and FileLocation as well",
            ),
            (
                disk(json!({"ImageSha256": "../x"})),
                r#"{config}: DiskConfigList[0].ImageSha256: expected hexadecimal digits, found "../x""#,
            ),
            (
                disk(json!({"FileLocation": "x.img"})),
                r#"{config}: DiskConfigList[0].FileLocation: expected an absolute path, found "x.img""#,
            ),
            (
                disk(json!({"FileLocation": "/x", "Format": "vmdk"})),
                r#"{config}: DiskConfigList[0].Format: expected one of raw, qcow, qcow2, vhd, iso, found "vmdk""#,
            ),
            (
                disk(json!({"FileLocation": "/a b", "Format": "qcow2"})),
                r#"{config}: DiskConfigList[0].FileLocation: QEMU, which serves this disk, cannot open a path with white space: "/a b""#,
            ),
            (
                disk(json!({"FileLocation": "/x", "Devtype": "floppy"})),
                r#"{config}: DiskConfigList[0].Devtype: expected "hdd", "cdrom" or "", found "floppy""#,
            ),
            (
                json!({"VifList": [{"Bridge": "a,script=/x"}]}),
                r#"{config}: VifList[0].Bridge: expected the name of an interface, letters, digits and "._-", found "a,script=/x""#,
            ),
            (
                json!({"VifList": [{"Vif": "a-name-that-is-long"}]}),
                r#"{config}: VifList[0].Vif: at most 15 bytes, found 19"#,
            ),
            (
                json!({"VifList": [{}, {"Mac": "00:16"}]}),
                r#"{config}: VifList[1].Mac: expected six hexadecimal octets, found "00:16""#,
            ),
            (
                json!({"VifList": [{"Mac": "01:16:3e:00:00:01"}]}),
                "{config}: VifList[0].Mac: 01:16:3e:00:00:01 is a multicast address",
            ),
            (
                json!({"VifList": [{"Type": "e1000"}]}),
                r#"{config}: VifList[0].Type: expected "vif" or "ioemu", found "e1000""#,
            ),
            (
                json!({"VifList": [{"Type": "ioemu"}]}),
                "{config}: VifList[0].Type: only an HVM domain has emulated cards",
            ),
            (
                json!({"VifList": [{"MTU": 10}]}),
                "{config}: VifList[0].MTU: expected 0, or 68 to 65517 bytes, found 10",
            ),
            (
                json!({"IoAdapterList": [{"Type": 1}]}),
                "{config}: IoAdapterList[0].Name: missing",
            ),
        ],
    );
}

/// Wrong as files.
#[test]
fn in_a_file() {
    let host = Host::start(&[]);
    let name = format!("{A}.json");
    let path = host.path("config").join(&name);
    let says = |words: &str| {
        let words = fill(&host, words);
        host.wait(A, &words, |s| s["LastErr"] == words);
    };
    host.put_text(&name, "{");
    says("{config}: not JSON: EOF while parsing an object at line 1 column 1");
    host.put_text(&name, "[]");
    says("{config}: expected a JSON object");
    host.put_text(&name, &" ".repeat((1 << 20) + 1));
    says("{config}: 1048577 bytes, at most 1048576 are read");
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    says("{config}: a symbolic link, expected a plain file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    says("{config}: a directory, expected a plain file");
    fs::remove_dir(&path).unwrap();
    host.wait_gone(A);
    // Those that have no domain are named in the log.
    for (name, words) in [
        (
            "x.json",
            "{dir}/config/x.json: the name of the file is not a uuid with .json; ignored",
        ),
        (
            "AAAAAAAA-0000-4000-8000-000000000001.json",
            "the name of the file should be {A}.json; ignored",
        ),
        (
            "00000000-0000-0000-0000-000000000000.json",
            "the nil uuid is dom0's; ignored",
        ),
    ] {
        host.put_text(name, "{}");
        host.wait_log(&fill(&host, words));
    }
}

/// A qcow2 image without content, with some bytes of its header changed.
fn qcow2(host: &Host, name: &str, changes: &[(usize, u32)], length: usize) -> String {
    let path = host.path(name);
    fs::write(&path, disks::qcow2(changes, length)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Wrong on the host: files, images, formats, room.
#[test]
fn in_files_that_a_domain_is_built_from() {
    let host = Host::start(&["--config", "timer.boot.retry:600"]);
    let whole = 4 << 16;
    let sound = qcow2(&host, "sound", &[], whole);
    let backing = qcow2(&host, "backing", &[(12, 104), (16, 5)], whole);
    let external = qcow2(&host, "external", &[(76, 4)], whole);
    let corrupt = qcow2(&host, "corrupt", &[(76, 2)], whole);
    let crypt = qcow2(&host, "crypt", &[(32, 1)], whole);
    let version = qcow2(&host, "version", &[(4, 9)], whole);
    let cut = qcow2(&host, "cut", &[], 3 << 16);
    let snapshots = qcow2(&host, "snapshots", &[(60, 1)], whole);
    let plain = host.path("plain");
    fs::write(&plain, "just bytes").unwrap();
    let other = host.path("run/verified/ee");
    fs::create_dir_all(&other).unwrap();
    let two = host.path("run/verified/ff");
    fs::create_dir_all(&two).unwrap();
    for name in ["1", "2"] {
        fs::write(two.join(name), "x").unwrap();
    }
    image(&host, HASH, &fs::read(&sound).unwrap());
    let of = |path: &str| disk(json!({"FileLocation": path, "Format": "qcow2"}));
    fs::write(host.path("empty"), "").unwrap();
    let empty = host.path("empty").to_string_lossy().into_owned();
    #[cfg(target_arch = "x86_64")]
    each(
        &host,
        &[(
            json!({"DtDev": ["/smb/gpio@f7020000"]}),
            "boot failed: {config}: DtDev[0]: /smb/gpio@f7020000: this host has no device tree to give devices from",
        )],
    );
    each(
        &host,
        &[
            (
                json!({"Kernel": empty}),
                "boot failed: {config}: Kernel: {dir}/empty: the file is empty",
            ),
            (
                disk(json!({"FileLocation": empty})),
                "boot failed: {config}: DiskConfigList[0].FileLocation: {dir}/empty: the file is empty",
            ),
            (
                json!({"Kernel": "/no/kernel"}),
                "boot failed: {config}: Kernel: /no/kernel: No such file or directory (os error 2)",
            ),
            (
                json!({"Ramdisk": "/dev"}),
                "boot failed: {config}: Ramdisk: /dev: not a plain file",
            ),
            (
                json!({"DeviceTree": "/no/dtb"}),
                "boot failed: {config}: DeviceTree: /no/dtb: No such file or directory (os error 2)",
            ),
            (
                json!({
                    "BootLoader": "/no/loader",
                    "DiskConfigList": [{"FileLocation": "/etc/passwd", "ReadOnly": true}],
                }),
                "boot failed: {config}: BootLoader: /no/loader: No such file or directory (os error 2)",
            ),
            (
                disk(json!({"FileLocation": "/no/disk"})),
                "boot failed: {config}: DiskConfigList[0].FileLocation: /no/disk: No such file or directory (os error 2)",
            ),
            (
                disk(json!({"FileLocation": "/dev/null"})),
                "boot failed: {config}: DiskConfigList[0].FileLocation: /dev/null: neither a plain file nor a block device",
            ),
            (
                disk(json!({"ImageSha256": "dd"})),
                "boot failed: {config}: DiskConfigList[0].ImageSha256: {dir}/run/verified/dd: No such file or directory (os error 2)",
            ),
            (
                disk(json!({"ImageSha256": "ee"})),
                "boot failed: {config}: DiskConfigList[0].ImageSha256: {dir}/run/verified/ee: no image in it",
            ),
            (
                disk(json!({"ImageSha256": "ff"})),
                "boot failed: {config}: DiskConfigList[0].ImageSha256: {dir}/run/verified/ff: 2 files in it, expected one image",
            ),
            (
                disk(json!({"ImageSha256": HASH, "ReadOnly": true})),
                "boot failed: {config}: DiskConfigList[0].Format: {dir}/run/verified/0123456789abcdefabcdef/disk.img: expected the format \"raw\", found by its header: \"qcow2\"",
            ),
            (
                of(plain.to_str().unwrap()),
                "boot failed: {config}: DiskConfigList[0].Format: {dir}/plain: expected the format \"qcow2\", found by its header: \"raw\"",
            ),
            (
                of(&backing),
                "boot failed: {config}: DiskConfigList[0].Format: {dir}/backing: the image is only what differs from another file: flatten it, as with qemu-img convert",
            ),
            (
                of(&external),
                "boot failed: {config}: DiskConfigList[0].Format: {dir}/external: the data of the image is in another file: flatten it, as with qemu-img convert",
            ),
            (
                of(&corrupt),
                "boot failed: {config}: DiskConfigList[0].Format: {dir}/corrupt: the image is marked as corrupt: qemu-img check -r all",
            ),
            (
                of(&crypt),
                "boot failed: {config}: DiskConfigList[0].Format: {dir}/crypt: the image is encrypted: decrypt it, as with qemu-img convert",
            ),
            (
                of(&version),
                "boot failed: {config}: DiskConfigList[0].Format: {dir}/version: qcow2 of version 9, expected 2 or 3",
            ),
            (
                of(&cut),
                "boot failed: {config}: DiskConfigList[0].Format: {dir}/cut: the image is cut off: 196608 bytes, its tables end at 196616: copy it again",
            ),
            (
                disk(
                    json!({"FileLocation": snapshots, "Format": "qcow2", "Maxsizebytes": 1_u64 << 30}),
                ),
                "boot failed: {config}: DiskConfigList[0].Maxsizebytes: {dir}/snapshots: an image with snapshots, bitmaps or extended tables is not enlarged: enlarge it with qemu-img resize",
            ),
            (
                disk(json!({"FileLocation": plain, "Maxsizebytes": u64::MAX})),
                "{config}: DiskConfigList[0].Maxsizebytes: 18446744073709551615 bytes are more than a disk can have",
            ),
        ],
    );
    // Something is put right: it is tried at once, and works.
    host.put(A, &of(&sound));
    host.wait_state(A, "RUNNING");
}

/// Refused by the host: adapters.
#[test]
fn in_adapters() {
    let mut host = adapters::plugged();
    host.run(&[]);
    each_refusal(
        &host,
        &wants(&["eth1"]),
        "IoAdapterList[0]: \"eth1\": the adapters are not known: {dir}/run/model/default.json: no such file",
    );
    let put = |path: &str, value: &Value| adapters::put(&host, path, value);
    let model = "run/model/default.json";
    put(model, &json!({"IoBundleList": [{"Type": 1}]}));
    each_refusal(
        &host,
        &wants(&["eth1"]),
        "IoAdapterList[0]: \"eth1\": the adapters are not known: {dir}/run/model/default.json: IoBundleList[0].Name: missing",
    );
    put(
        model,
        &json!({"IoBundleList": [
        {"Type": 1, "Name": "eth0", "Members": ["eth0"], "Lookup": true},
        {"Type": 1, "Name": "eth1", "Members": ["eth1"], "Lookup": true},
        {"Type": 1, "Name": "eth9", "Members": ["eth9"], "Lookup": true},
        {"Type": 255, "Name": "gone", "Members": ["gone"], "PciLong": "0000:00:1f.0"},
        {"Type": 3, "Name": "COM1", "Members": ["COM1"], "XenCfg": "irqs=[4]\nioports=['3f8-3ff']"},
        {"Type": 2, "Name": "USB", "Members": ["USB0"], "PciLong": "0000:00:14.0"}]}),
    );
    each_refusal(
        &host,
        &wants(&["eth1"]),
        "IoAdapterList[0]: \"eth1\": the host's ports are not known: {dir}/run/DeviceNetworkStatus/global.json: no such file",
    );
    let network = "run/DeviceNetworkStatus/global.json";
    put(
        network,
        &json!({"Testing": true, "Ports": [{"IfName": "eth0"}]}),
    );
    each_refusal(
        &host,
        &wants(&["eth1"]),
        "IoAdapterList[0]: \"eth1\": the host's ports are being tested, until then none is taken",
    );
    put(
        network,
        &json!({"Testing": false, "Ports": [{"IfName": "eth0"}]}),
    );
    for (names, words) in [
        (
            ["eth0"],
            "IoAdapterList[0]: \"eth0\": eth0 is a port of the host",
        ),
        (
            ["wlan0"],
            "IoAdapterList[0]: unknown adapter \"wlan0\" of type 0; the model has eth0, eth1, eth9, gone, COM1, USB",
        ),
        (
            ["eth9"],
            "IoAdapterList[0]: \"eth9\": there is no interface eth9 with a PCI device",
        ),
        (
            ["gone"],
            "IoAdapterList[0]: \"gone\": there is no PCI device 0000:00:1f.0",
        ),
    ] {
        each_refusal(&host, &wants(&names), words);
    }
    host.put(B, &wants(&["USB"]));
    host.wait_state(B, "RUNNING");
    each_refusal(
        &host,
        &wants(&["USB"]),
        "IoAdapterList[0]: \"USB\" is used by b.2 ({B})",
    );
    let line = "IoAdapterList: interrupts and I/O ports are of no use to a";
    for (mode, adapter, words) in [
        (
            "PVH",
            "eth1",
            "IoAdapterList: a PVH domain cannot have PCI devices".to_owned(),
        ),
        ("PVH", "COM1", format!("{line} PVH domain")),
        ("HVM", "COM1", format!("{line} HVM domain")),
    ] {
        let mut config = wants(&[adapter]);
        config["VirtualizationMode"] = json!(mode);
        host.put(A, &config);
        let failed = host.wait(A, &words, |s| {
            s["LastErr"].as_str().unwrap().contains(&words)
        });
        assert_eq!(domid(&failed), 0);
    }
    host.put(A, &wants(&["eth1"]));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(
        (&up["LastErr"], &up["AdaptersFailed"]),
        (&json!(""), &json!(false))
    );
}

fn each_refusal(host: &Host, changes: &Value, words: &str) {
    let words = fill(host, words);
    host.put(A, changes);
    let refused = host.wait(A, &words, |s| s["LastErr"] == words);
    assert_eq!(
        (domid(&refused), &refused["AdaptersFailed"]),
        (0, &json!(true))
    );
}

/// Errors of running domains: memory, names, devices, ends.
#[test]
fn in_xen() {
    let host = Host::start(&[
        "--simulate-memory",
        "1024",
        "--config",
        "timer.boot.retry:600",
    ]);
    let hvm = json!({"VirtualizationMode": 1});
    for (changes, deed, words) in [
        (
            json!({"Memory": 2_000_000}),
            &[][..],
            "boot failed: Memory: the domain needs 1954 MiB, 1024 MiB are free, and dom0 gives no more back: stop \
             another domain, or ask for less",
        ),
        (
            json!({"ExtraArgs": "sim.fail-create=4"}),
            &[],
            "boot failed: domain creation failed (simulated)",
        ),
        (
            json!({"ExtraArgs": "sim.fail-unpause=6"}),
            &[],
            "boot failed: unpause: unpause failed (simulated)",
        ),
        (json!({}), &["end", "a.1", "3"], "the domain ended: crash"),
        (
            json!({}),
            &["end", "a.1", "200"],
            "the domain ended: reason 200",
        ),
        (
            json!({}),
            &["destroy", "a.1"],
            "the domain ended: destroyed from outside",
        ),
        (
            hvm,
            &["kill-qemu", "a.1"],
            "the device model (QEMU) of domain {id} has ended, and the devices it had with it: deactivate the domain \
             and activate it again; /var/log/xen/qemu-dm-<name>.log may say why",
        ),
        (
            json!({"OnCrash": "coredump-destroy"}),
            &["end", "a.1", "3"],
            "the domain ended: crash",
        ),
    ] {
        host.put(A, &changes);
        let mut id = 0;
        if !deed.is_empty() {
            id = domid(&host.wait(A, "RUNNING", |s| {
                s["StateName"] == "RUNNING" && s["LastErr"] == "" && s["PendingModify"] == false
            }));
            host.xen(deed);
        }
        let words = words.replace("{id}", &id.to_string());
        host.wait(A, &words, |s| s["LastErr"] == words);
        host.remove(A);
        host.wait_gone(A);
    }
    // A domain that was not built by the agent has the name.
    host.xen(&["create", "cccccccc-0000-4000-8000-000000000003", "a.1"]);
    host.put(A, &json!({}));
    let words = "boot failed: a domain with the name a.1 exists already";
    host.wait(A, words, |s| s["LastErr"] == words);
}

/// An error that is shown only until the next try.
#[test]
fn in_a_destroy() {
    let host = Host::start_slowly(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.fail-destroy=1"}));
    let id = domid(&host.wait_state(A, "RUNNING"));
    host.xen(&["end", "a.1", "3"]);
    let words =
        format!("domain {id} could not be destroyed, next try in 5 s: destroy failed (simulated)");
    host.wait(A, &words, |s| s["LastErr"] == words);
    let over = "the domain ended: crash";
    host.wait(A, over, |s| s["LastErr"] == over);
}

/// Wrong settings, and commands that cannot be obeyed.
#[test]
fn in_settings_and_commands() {
    let host = Host::start(&[]);
    let global = "run/GlobalConfig/global.json";
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    for (value, words) in [
        (
            json!({"timer.boot.retry": "soon"}),
            "timer.boot.retry: expected a number of seconds, found \"soon\"",
        ),
        (
            json!({"timer.boot.retry": 3}),
            "timer.boot.retry: 3 is below the least, 10; using 10",
        ),
        (
            json!({"timer.gc.vdisk": 3}),
            "timer.gc.vdisk: 3 is below the least, 60; using 60",
        ),
        (
            json!({"timer.metric.interval": 1}),
            "timer.metric.interval: 1 is below the least, 5; using 5",
        ),
        (
            json!({"timer.shutdown.destroy": 0}),
            "timer.shutdown.destroy: expected at least 1 second, found 0",
        ),
        (
            json!({"debug.enable.usb": "maybe"}),
            "debug.enable.usb: expected true or false, found \"maybe\"",
        ),
        (
            json!({"domain.poweroff.policy": "never"}),
            "domain.poweroff.policy: expected halt or retry, found \"never\"",
        ),
        (
            json!({"debug.default.loglevel": "loud"}),
            "debug.default.loglevel: expected one of off, error, warn, info, debug, trace, found \"loud\"",
        ),
        (
            json!({"domain.memory.autoballoon": 1}),
            "domain.memory.autoballoon: expected auto, on or off, found \"1\"",
        ),
    ] {
        adapters::put(&host, global, &value);
        host.signal("-HUP");
        host.wait_log(&format!("{}: {words}", host.path(global).display()));
    }
    let dir = host.path("run");
    let second = host.command(&[]).output().unwrap();
    assert!(!second.status.success());
    let words = format!(
        "another domainmgr (pid {}) is running with {}",
        host.pid(),
        dir.display()
    );
    assert!(
        text(&second.stderr).contains(&words),
        "{}",
        text(&second.stderr)
    );
    let wrong = host
        .command(&["--config", "timer.boot.retry:soon"])
        .output()
        .unwrap();
    assert!(!wrong.status.success());
    for (words, error) in [
        (
            &["check", "/no/such/file"][..],
            "/no/such/file: No such file or directory",
        ),
        (&["run", "--config", "x"], "expected KEY:VALUE"),
    ] {
        let out = domainmgr(words, &[]);
        assert_ne!(out.status.code(), Some(0));
        assert!(
            text(&out.stderr).contains(error),
            "{}{}",
            text(&out.stdout),
            text(&out.stderr)
        );
    }
}
