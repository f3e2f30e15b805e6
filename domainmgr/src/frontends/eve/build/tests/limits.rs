//! Requests that Xen would refuse, or cut off.

use super::*;

#[test]
fn what_xen_would_refuse_or_cut_off_is_refused() {
    let disks = |n: usize, last: &str| {
        let mut all = vec![r#"{"FileLocation":"/d"}"#.to_owned(); n];
        all.push(last.to_owned());
        format!(r#","DiskConfigList":[{}]"#, all.join(","))
    };
    let hvm = r#","VirtualizationMode":"HVM""#;
    for (more, error) in [
        (
            format!(r#"{hvm},"VifList":[{{"Vif":"abcdefghijkl"}}]"#),
            "VifList[0].Vif: at most 11 bytes, found 12",
        ),
        (
            r#","VifList":[{"Vif":"abcdefghijklmnop"}]"#.into(),
            "VifList[0].Vif: at most 15 bytes, found 16",
        ),
        (
            r#","VifList":[{"Vif":"vif3.0"}]"#.into(),
            "VifList[0].Vif: Xen gives names like",
        ),
        (
            r#","VifList":[{"Vif":"lo"}]"#.into(),
            "VifList[0].Vif: the host has an interface \"lo\" itself",
        ),
        (
            r#","VifList":[{"Vif":"xenbr0"}]"#.into(),
            "VifList[0].Vif: the host has an interface \"xenbr0\" itself",
        ),
        (
            r#","VifList":[{"Bridge":"br1","Vif":"br1"}]"#.into(),
            "VifList[0].Vif: the host has an interface \"br1\" itself",
        ),
        (
            r#","VifList":[{"Mac":"01:00:5e:00:00:01"}]"#.into(),
            "VifList[0].Mac: 01:00:5e:00:00:01 is a multicast address",
        ),
        (
            r#","VifList":[{"Mac":"00:00:00:00:00:00"}]"#.into(),
            "VifList[0].Mac: 00:00:00:00:00:00 is no address",
        ),
        (
            r#","VifList":[{"Mac":"fe:ff:ff:ff:ff:ff"}]"#.into(),
            "VifList[0].Mac: fe:ff:ff:ff:ff:ff is the host's own",
        ),
        (
            r#","VifList":[{"Vif":"eth0:1"}]"#.into(),
            "VifList[0].Vif: expected the name",
        ),
        (
            r#","VifList":[{"MTU":65518}]"#.into(),
            "VifList[0].MTU: expected 0, or 68 to 65517",
        ),
        (
            hvm.to_owned() + &disks(4, r#"{"FileLocation":"/d","Devtype":"cdrom"}"#),
            "DiskConfigList[4].Devtype: the CD-ROM drives",
        ),
        (
            hvm.to_owned() + &disks(1, r#"{"FileLocation":"/d","ReadOnly":true}"#),
            "DiskConfigList[1].ReadOnly: QEMU emulates no",
        ),
        (
            hvm.to_owned() + &disks(1, r#"{"FileLocation":"/a,b"}"#),
            "DiskConfigList[1].FileLocation: QEMU, which emulates",
        ),
        (
            hvm.to_owned() + &disks(1, r#"{"FileLocation":"/a b","Format":"qcow2"}"#),
            "DiskConfigList[1].FileLocation: QEMU, which serves",
        ),
        (
            format!(r#"{hvm},"VCpus":129"#),
            "VCpus: 129 is more than the 128 of a HVM domain",
        ),
        (
            r#","VCpus":1,"MaxCpus":513"#.into(),
            "MaxCpus: 513 is more than the 512 of a PV domain",
        ),
        (
            format!(r#","ExtraArgs":"{}""#, "x".repeat(1000)),
            "ExtraArgs: the command line has 1074 bytes, at most 1023 for a PV domain",
        ),
        (
            format!(r#"{hvm},"ExtraArgs":"{}""#, "x".repeat(4097)),
            "ExtraArgs: the command line has 4097 bytes, at most 4096 for a HVM domain",
        ),
        (
            r#","BootLoader":"pygrub""#.into(),
            "BootLoader: there is no disk that it could find a kernel on",
        ),
        (
            r#","RootDev":"/dev/xvda1 init=/bin/sh""#.into(),
            "RootDev: white space",
        ),
        (
            r#","EnableVnc":true,"VncDisplay":59636"#.into(),
            "VncDisplay: 59636 is more than 59635",
        ),
        (
            r#","Memory":3072"#.into(),
            "Memory: 3072 kB, but PV domains need at least 4096 kB: Xen maps",
        ),
        (
            r#","VirtualizationMode":"PVH","Memory":1"#.into(),
            "Memory: 1 kB, but PVH domains need at least 2048 kB: ",
        ),
        (
            format!(r#"{hvm},"Memory":8192"#),
            "Memory: 8192 kB, but HVM domains need at least 12288 kB: 8 MiB",
        ),
        (
            format!(r#"{hvm},"MaxMem":32768,"IoAdapterList":[{{"Name":"eth1"}}]"#),
            "MaxMem: libxl gives devices to an HVM domain only if",
        ),
        (
            format!(r#"{hvm},"VifList":[{}]"#, ["{}"; 5].join(",")),
            "VifList: 5 interfaces with an emulated card, and an HVM domain can have 4",
        ),
        (
            format!(r#","VifList":[{}]"#, vec!["{}"; 33].join(",")),
            "VifList: 33 interfaces, at most 32",
        ),
        (
            r#","VifList":[{"Vif":"all"}]"#.into(),
            "VifList[0].Vif: Linux has settings for all interfaces under the name \"all\"",
        ),
        (
            r#","VifList":[{"Bridge":"default"}]"#.into(),
            "VifList[0].Bridge: Linux has settings",
        ),
        (
            r#","BootLoader":"pygrub --debug","DiskConfigList":[{"FileLocation":"/d"}]"#.into(),
            r#"BootLoader: expected "pygrub" or an absolute path, without arguments, found "pygrub --debug""#,
        ),
        (
            r#","BootLoader":"bin/pygrub","DiskConfigList":[{"FileLocation":"/d"}]"#.into(),
            "BootLoader: expected",
        ),
        (
            r#","VncListen":"224.0.0.1""#.into(),
            "VncListen: nothing can listen on 224.0.0.1",
        ),
        (
            r#","VncListen":"ff02::1""#.into(),
            "VncListen: nothing can listen on ff02::1",
        ),
        (
            r#","VncListen":"::ffff:255.255.255.255""#.into(),
            "VncListen: nothing can listen on 255.255.255.255",
        ),
        (r#","CPUs":",""#.into(), "CPUs: expected numbers below 4096"),
        (
            r#","IOMem":["ffffffffff,2"]"#.into(),
            "IOMem[0]: expected START,COUNT",
        ),
        (
            r#","IRQs":[0]"#.into(),
            "IRQs[0]: expected a number above 0 and below 1024, found 0",
        ),
        (
            r#","RootDev":"LABEL=\"x\"""#.into(),
            "RootDev: white space and \" cannot be part of it",
        ),
        (
            r#","DisplayName":"a\u061cb""#.into(),
            r"DisplayName: '\u{61c}' cannot be in",
        ),
        (
            r#","DisplayName":"a\u200db""#.into(),
            r"DisplayName: '\u{200d}' cannot be in",
        ),
        (
            r#","DisplayName":" \u3000""#.into(),
            r#"DisplayName: " \u{3000}" is blank"#,
        ),
        (
            r#","DiskConfigList":[{"ImageSha256":"ab","Shared":true}]"#.into(),
            "DiskConfigList[0].Shared: an image",
        ),
    ] {
        let found = build(&more).unwrap_err();
        assert!(found.starts_with(error), "{more}: {found}");
    }
    for more in [
        format!(
            r#"{hvm},"VifList":[{{"Vif":"abcdefghijk"}},{{"Vif":"abcdefghijklmno","Type":"vif"}}]"#
        ),
        hvm.to_owned() + &disks(3, r#"{"FileLocation":"/d e","Devtype":"cdrom"}"#),
        hvm.to_owned() + &disks(4, r#"{"FileLocation":"/a,b","ReadOnly":true}"#),
        disks(1, r#"{"FileLocation":"/a,b c","ReadOnly":true}"#),
        format!(r#"{hvm},"VCpus":128"#),
        r#","VifList":[{"MTU":65517}]"#.into(),
        r#","EnableVnc":true,"VncDisplay":59635,"VncListen":"::1""#.into(),
        r#","Memory":4096"#.into(),
        r#","IOMem":["ffffffffff,1"]"#.into(),
        r#","BootLoader":"/opt/mypygrub","DiskConfigList":[{"FileLocation":"/d"}]"#.into(),
        // A boot loader has no effect on an HVM domain.
        format!(r#"{hvm},"BootLoader":"x""#),
        r#","DisplayName":"\u00e4 \u65e5\u672c \u00a0x""#.into(),
        r#","VirtualizationMode":"PVH","Memory":2048"#.into(),
        format!(r#"{hvm},"Memory":12288"#),
        // Rounded up to MiB, `MaxMem` is as much as `Memory`.
        format!(r#"{hvm},"MaxMem":16386,"IoAdapterList":[{{"Name":"eth1"}}]"#),
        r#","MaxMem":32768,"IoAdapterList":[{"Name":"eth1"}]"#.into(),
        format!(
            r#"{hvm},"VifList":[{},{}]"#,
            ["{}"; 4].join(","),
            [r#"{"Type":"vif"}"#; 4].join(",")
        ),
    ] {
        assert!(build(&more).is_ok(), "{more}: {:?}", build(&more));
    }
}
