use serde_json::{Map, Value};

use crate::frontends::eve::{Understood, understand};

const KEY: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

fn read(more: &str) -> Result<Understood, String> {
    let text = format!(
        r#"{{"UUIDandVersion":{{"UUID":"{KEY}"}},"DisplayName":"a","Kernel":"/k","Memory":16384}}"#
    );
    let mut config: Value = serde_json::from_str(&text).unwrap();
    let more = format!("{{{}}}", more.trim_start_matches(','));
    let more: Map<String, Value> = serde_json::from_str(&more).unwrap();
    config.as_object_mut().unwrap().extend(more);
    understand(KEY.parse().unwrap(), config.to_string().as_bytes()).map_err(|e| e.to_string())
}

fn refused(more: &str) -> String {
    read(more).unwrap().spec.unwrap_err().to_string()
}

fn warnings(more: &str) -> Vec<String> {
    let found = read(more).unwrap();
    found.spec.unwrap();
    found.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn what_would_make_another_guest_is_refused() {
    for (more, field) in [
        (r#","IsContainer":true"#, "IsContainer: containers"),
        (r#","iscontainer":true"#, "IsContainer: containers"),
        (
            r#","IsCipher":true"#,
            "IsCipher: the user data is encrypted",
        ),
        (
            r#","pubsub-file-CloudInitUserData":"/persist/x""#,
            "pubsub-file-CloudInitUserData: ",
        ),
        (r#","DeploymentType":2"#, "DeploymentType: "),
        (r#","Service":true"#, "Service: containers"),
        (
            r#","VifList":[{},{"Vlan":{"Start":5}}]"#,
            "VifList[1].Vlan: the interface would be in no VLAN",
        ),
        (
            r#","DiskConfigList":[{"FileLocation":"/d","Target":2}]"#,
            "DiskConfigList[0].Target: ",
        ),
        (
            r#","IoAdapterList":[{"Name":"x","EthVf":{"Index":1}}]"#,
            "IoAdapterList[0].EthVf: ",
        ),
        (
            r#","VirtualizationMode":3"#,
            "VirtualizationMode: expected 0 or \"PV\", 1 or \"HVM\", or \"PVH\", found 3, EVE's FML",
        ),
        (
            r#","VirtualizationMode":4"#,
            "VirtualizationMode: expected 0 or \"PV\", 1 or \"HVM\", or \"PVH\", found 4, EVE's NOHYPER",
        ),
        (
            r#","VirtualizationMode":5"#,
            "VirtualizationMode: expected 0 or \"PV\", 1 or \"HVM\", or \"PVH\", found 5, EVE's LEGACY",
        ),
        (
            r#","DiskConfigList":[{"FileLocation":"/d","Format":8}]"#,
            "DiskConfigList[0].Format: expected one of raw, qcow, qcow2, vhd, iso, found \"container\"",
        ),
        (
            r#","CloudInitUserData":"aGk=","MetaDataType":2"#,
            "MetaDataType: expected 0, a drive, or 1, nothing, found 2, EVE's MetaDataOpenStack",
        ),
        (
            r#","CloudInitUserData":"Q29udGVudC1UeXBlOiBtdWx0aXBhcnQvbWl4ZWQ7IGJvdW5kYXJ5PXgKCi0teAo=","MetaDataType":3"#,
            "MetaDataType: the parts",
        ),
    ] {
        let error = refused(more);
        assert!(error.starts_with(field), "{more}: {error}");
    }
    assert_eq!(
        read(r#","DiskConfigList":[{"FileLocation":"/d","Format":10}]"#).unwrap_err(),
        "DiskConfigList[0].Format: expected text like \"raw\", or EVE's number of a format, 0 to 9, found integer `10`"
    );
}

#[test]
fn what_is_there_twice_is_refused() {
    let key = KEY.parse().unwrap();
    for (text, name) in [
        (r#"{"Memory":1,"Memory":2}"#, "\"Memory\""),
        (r#"{"VCpus":1,"vcpus":2}"#, "\"vcpus\""),
        (
            r#"{"DiskConfigList":[{"Format":"raw","Format":"vhd"}]}"#,
            "\"Format\"",
        ),
    ] {
        let error = understand(key, text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{name} is there twice at line 1")),
            "{error}"
        );
    }
}

#[test]
fn names_that_are_skipped_cannot_do_anything_to_a_terminal() {
    let odd = "\u{1b}[31mX\n0.json: ok";
    let text = format!(r#",{}:1"#, Value::from(odd));
    let said = warnings(&text).remove(0);
    assert_eq!(
        said,
        "\\u{1b}[31mX\\n0.json: ok: skipped: no such field is known"
    );
    let many: Vec<String> = (0..100).map(|n| format!(r#""x{n}":1"#)).collect();
    let said = warnings(&format!(",{}", many.join(",")));
    assert_eq!(
        (said.len(), said.last().unwrap().as_str()),
        (33, "and 68 more")
    );
}

#[test]
fn what_is_skipped_is_said() {
    for (more, wanted) in [
        (
            r#","Activat":true"#,
            "Activat: skipped: no such field is known",
        ),
        (
            r#","CPUsPinned":true"#,
            "CPUsPinned: skipped: no processors are set aside: name them in CPUs",
        ),
        (
            r#","GPUConfig":"legacy""#,
            "GPUConfig: skipped: there is no GPU but the one that VNC shows",
        ),
        (
            r#","VifList":[{"Bridg":"b"}]"#,
            "VifList[0].Bridg: skipped: no such field is known",
        ),
        (
            r#","VirtualizationMode":"PVH","RootDev":"/dev/xvdb""#,
            "RootDev: without effect: only a PV domain has one, and this is PVH",
        ),
        (
            r#","VirtualizationMode":"PVH","DiskConfigList":[{"FileLocation":"/d","Devtype":"cdrom"}]"#,
            "DiskConfigList[0].Devtype: without effect: a PVH domain has no CD-ROM drive, and gets a disk that it can only read",
        ),
        (
            r#","VirtualizationMode":"HVM","Kernel":"","ExtraArgs":"quiet""#,
            "ExtraArgs: without effect: there is no Kernel that it would be for",
        ),
        (
            r#","EnableVnc":true,"VncPasswd":"123456789""#,
            "VncPasswd: without effect: what follows its first 8 bytes, which are all that VNC looks at",
        ),
    ] {
        assert_eq!(warnings(more), [wanted], "{more}");
    }
}

#[test]
fn what_says_nothing_is_not_mentioned() {
    for more in [
        "",
        r#","Nonsense":null,"Other":0,"More":[],"And":{"x":false,"y":""},"IsContainer":false"#,
        r#","UserActivate":true,"DisableLogs":true,"PurgeCounter":3,"VolumeKey":null"#,
        r#","DiskConfigList":[{"FileLocation":"/d","Target":1,"VolumeKey":"x","MountDir":"/m"}]"#,
        r#","VifList":[{"Vlan":{"Start":0,"End":0,"IsTrunk":false},"VifOrder":1}]"#,
    ] {
        assert_eq!(warnings(more), [""; 0], "{more}");
    }
}

#[test]
fn user_data_has_two_names() {
    let seed = |more: &str| {
        let spec = read(more).unwrap().spec.unwrap();
        spec.seed()
            .map(|seed| (seed.instance(), seed.user_data.clone()))
    };
    let (instance, data) =
        seed(r#","pubsub-large-CloudInitUserData":"aGk=","CloudInitUserData":null"#).unwrap();
    assert_eq!(data, b"hi");
    assert_eq!(
        seed(r#","CloudInitUserData":"aGk=""#),
        Some((instance, data))
    );
    let (instance, _) = seed(r#","CloudInitUserData":"aGk=","CloudInitVersion":4"#).unwrap();
    assert_eq!(instance, format!("{KEY}/4"));
    assert_eq!(
        seed(r#","CloudInitUserData":"aGk=","MetaDataType":1"#),
        None
    );
    let both = r#","CloudInitUserData":"aGk=","pubsub-large-CloudInitUserData":"aG8=""#;
    assert!(read(both).unwrap_err().contains("another content"));
    let same = r#","CloudInitUserData":"aGk=","pubsub-large-CloudInitUserData":"aGk=""#;
    assert!(seed(same).is_some());
}

#[test]
fn later_years_write_other_types() {
    let spec = |more: &str| read(more).unwrap().spec.unwrap();
    assert_eq!(spec(r#","CPUs":[3,1]"#).cpus, [1, 3]);
    assert_eq!(spec(r#","CPUs":null"#).cpus, [0; 0]);
    let macs = |mac: &str| spec(&format!(r#","VifList":[{{"Mac":"{mac}"}}]"#)).nics[0].address();
    assert_eq!(macs("ABY+AAEB"), "00:16:3e:00:01:01");
    assert_eq!(macs("00:16:3E:00:01:01"), "00:16:3e:00:01:01");
    for bad in [
        "ABY+AAE=",
        "+0:16:3e:00:01:01",
        "00:00:00:00:00:00",
        "fe:ff:ff:ff:ff:ff",
        "01:00:00:00:00:01",
    ] {
        assert!(
            refused(&format!(r#","VifList":[{{"Mac":"{bad}"}}]"#)).starts_with("VifList[0].Mac: ")
        );
    }
    let disk = |format: &str| {
        let disk = &spec(&format!(
            r#","DiskConfigList":[{{"FileLocation":"/d","Format":{format}}}]"#
        ))
        .disks[0];
        (disk.format.word(), disk.cdrom, disk.read_only)
    };
    assert_eq!(disk("0"), ("raw", false, false));
    assert_eq!(disk("3"), ("qcow2", false, false));
    assert_eq!(disk("9"), ("raw", true, true));
    assert_eq!(disk("\"ISO\""), ("raw", true, true));
}
