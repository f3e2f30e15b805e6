//! Fields that EVE's DomainConfig has got since 2019, and fields that nobody knows: what is skipped is said.
//!
//! The fields are those of `pkg/pillar/types/domainmgrtypes.go` and the structs embedded there, up to 2026.

use serde_json::{Map, Value};

use super::FieldError;

/// What becomes of a field that is set and that the agent does not follow.
#[derive(Clone, Copy)]
enum Unread {
    /// It changes nothing of what a guest gets on Xen, or is for other hypervisors.
    Harmless,
    /// The guest runs without it.
    Warned(&'static str),
    /// The guest would be another one than was asked for.
    Refused(&'static str),
}

use Unread::{Harmless, Refused, Warned};

type Fields = &'static [(&'static str, Unread)];

/// Another name of the user data, since 2021.
const LARGE_USER_DATA: &str = "pubsub-large-CloudInitUserData";

const CONTAINER: &str = "containers are not run, only virtual machines";

const DOMAIN: Fields = &[
    // What the agent reads.
    ("UUIDandVersion", Harmless),
    ("DisplayName", Harmless),
    ("Activate", Harmless),
    ("AppNum", Harmless),
    ("Kernel", Harmless),
    ("Ramdisk", Harmless),
    ("Memory", Harmless),
    ("MaxMem", Harmless),
    ("VCpus", Harmless),
    ("MaxCpus", Harmless),
    ("RootDev", Harmless),
    ("ExtraArgs", Harmless),
    ("BootLoader", Harmless),
    ("CPUs", Harmless),
    ("DeviceTree", Harmless),
    ("DtDev", Harmless),
    ("IRQs", Harmless),
    ("IOMem", Harmless),
    ("VirtualizationMode", Harmless),
    ("EnableVnc", Harmless),
    ("VncDisplay", Harmless),
    ("VncPasswd", Harmless),
    ("VncListen", Harmless),
    ("DiskConfigList", Harmless),
    ("VifList", Harmless),
    ("IoAdapterList", Harmless),
    ("CloudInitUserData", Harmless),
    ("CloudInitVersion", Harmless),
    ("MetaDataType", Harmless),
    ("OnPoweroff", Harmless),
    ("OnReboot", Harmless),
    ("OnCrash", Harmless),
    ("OnWatchdog", Harmless),
    ("OnSoftReset", Harmless),
    ("OnDeviceModelExit", Harmless),
    // 2019 to 2021.
    ("IsContainer", Refused(CONTAINER)),
    (
        "IsCipher",
        Refused(
            "the user data is encrypted, and only EVE has the key: write it as CloudInitUserData",
        ),
    ),
    ("CipherBlockID", Harmless),
    ("CipherContextID", Harmless),
    ("CipherContext", Harmless),
    ("InitialValue", Harmless),
    ("CipherData", Harmless),
    ("pubsub-large-CipherData", Harmless),
    ("pubsub-file-CipherData", Harmless),
    ("ClearTextHash", Harmless),
    (
        "pubsub-file-CloudInitUserData",
        Refused("the user data is in a file of EVE's own: write it as CloudInitUserData"),
    ),
    (
        "GPUConfig",
        Warned("there is no GPU but the one that VNC shows"),
    ),
    // About what EVE's domainmgr itself has to say.
    ("Error", Harmless),
    ("ErrorTime", Harmless),
    ("ErrorSeverity", Harmless),
    ("ErrorRetryCondition", Harmless),
    ("ErrorEntities", Harmless),
    ("DisableLogs", Harmless),
    // 2022 to 2026.
    ("Service", Refused(CONTAINER)),
    ("KubeImageName", Refused(CONTAINER)),
    (
        "DeploymentType",
        Refused("only virtual machines on this host, the type 0, are run"),
    ),
    (
        "CPUsPinned",
        Warned("no processors are set aside: name them in CPUs"),
    ),
    ("VMMMaxMem", Harmless),
    (
        "EnableVncShimVM",
        Warned("there is no such virtual machine for VNC"),
    ),
    (
        "EnforceNetworkInterfaceOrder",
        Warned("interfaces are in the order of VifList"),
    ),
    (
        "EnableOemWinLicenseKey",
        Warned("the licence key of the host's firmware is not handed on"),
    ),
    ("OemWindowsLicenseKeyInfo", Harmless),
    ("DisableVirtualTPM", Harmless),
    (
        "BootOrder",
        Warned("HVM domains boot from a CD-ROM, then from a disk"),
    ),
    ("UserActivate", Harmless),
    ("PurgeCounter", Harmless),
    ("RestartCounter", Harmless),
    ("IsDNidNode", Harmless),
    ("AffinityType", Harmless),
];

const UUID_AND_VERSION: Fields = &[("UUID", Harmless), ("Version", Harmless)];

const DISK: Fields = &[
    ("ImageSha256", Harmless),
    ("ReadOnly", Harmless),
    ("Preserve", Harmless),
    ("Maxsizebytes", Harmless),
    ("Format", Harmless),
    ("Devtype", Harmless),
    ("FileLocation", Harmless),
    ("Shared", Harmless),
    ("ImageID", Harmless),
    ("VolumeKey", Harmless),
    ("DisplayName", Harmless),
    ("MountDir", Harmless),
    ("WWN", Warned("the disk has no such name on Xen")),
    ("CustomMeta", Warned("it is not handed on")),
    // 1 is a disk; 2 to 5 are a kernel, RAM disks, and what an application takes it for.
    (
        "Target",
        Refused(
            "only disks, the targets 0 and 1, are for a DiskConfigList: name a kernel or a RAM disk in Kernel and Ramdisk",
        ),
    ),
];

const VIF: Fields = &[
    ("Bridge", Harmless),
    ("Vif", Harmless),
    ("Mac", Harmless),
    ("Type", Harmless),
    ("MTU", Harmless),
    ("VifUsed", Harmless),
    (
        "Vlan",
        Refused("the interface would be in no VLAN: give it a bridge that is in the right one"),
    ),
    ("PodVif", Harmless),
    ("VifOrder", Harmless),
];

const IO_ADAPTER: Fields = &[
    ("Type", Harmless),
    ("Name", Harmless),
    (
        "EthVf",
        Refused("virtual functions are not made: name one that is there as an adapter of its own"),
    ),
    ("IntfOrder", Harmless),
];

/// What is said of fields that are set and not followed.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// The domain is built without them.
    pub(super) warnings: Vec<FieldError>,
    /// The first for the sake of which it is not built.
    pub(super) refused: Option<FieldError>,
}

/// Gives the user data the name it has here.
///
/// # Errors
/// There are two.
pub(super) fn rename(config: &mut Map<String, Value>) -> Result<(), FieldError> {
    let find = |config: &Map<String, Value>, name: &str| {
        let mut names = config.iter().filter(|(_, value)| is_set(value));
        let found = names.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(n, _)| n.clone())
    };
    let Some(large) = find(config, LARGE_USER_DATA) else {
        return Ok(());
    };
    let value = config.remove(&large);
    match find(config, "CloudInitUserData").and_then(|plain| config.get(&plain)) {
        Some(plain) if Some(plain) != value.as_ref() => Err(FieldError::new(
            LARGE_USER_DATA,
            "there is a CloudInitUserData too, with another content",
        )),
        Some(_) => Ok(()),
        None => {
            config.extend(value.map(|value| ("CloudInitUserData".to_owned(), value)));
            Ok(())
        }
    }
}

/// What is to be said of the fields of a DomainConfig that are not followed.
pub(super) fn notices(config: &Map<String, Value>) -> Notices {
    let mut notices = Notices::default();
    notices.object("", config, DOMAIN);
    for (list, fields) in [
        ("UUIDandVersion", UUID_AND_VERSION),
        ("DiskConfigList", DISK),
        ("VifList", VIF),
        ("IoAdapterList", IO_ADAPTER),
    ] {
        let found = config.iter().find(|(n, _)| n.eq_ignore_ascii_case(list));
        match found.map(|(_, value)| value) {
            Some(Value::Object(object)) => notices.object(&format!("{list}."), object, fields),
            Some(Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    if let Value::Object(object) = item {
                        notices.object(&format!("{list}[{i}]."), object, fields);
                    }
                }
            }
            _ => {}
        }
    }
    notices
}

impl Notices {
    fn object(&mut self, place: &str, object: &Map<String, Value>, fields: Fields) {
        for (name, value) in object.iter().filter(|(_, value)| is_set(value)) {
            let known = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            let (field, unread) = match known {
                // A disk is a disk.
                Some(("Target", _)) if value == 1 => continue,
                Some(&(field, unread)) => (field.to_owned(), unread),
                None => (shown(name), Warned("no such field is known")),
            };
            let notice =
                |why: &str| FieldError::new(format!("{place}{field}"), format!("skipped: {why}"));
            match unread {
                Harmless => {}
                Warned(why) => self.warnings.push(notice(why)),
                Refused(why) => {
                    let refused = FieldError::new(format!("{place}{field}"), why);
                    self.refused.get_or_insert(refused);
                }
            }
        }
    }
}

/// A name as it can be shown: no more than people can read, and nothing that a terminal would obey.
fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if name.len() <= 64 && name.chars().all(plain) {
        return name.to_owned();
    }
    let start: String = name.chars().take(40).collect();
    start.escape_default().to_string()
}

/// Whether it says anything: Go writes every field, most of them as nothing.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            let nothing = [
                "",
                "00000000-0000-0000-0000-000000000000",
                "0001-01-01T00:00:00Z",
            ];
            !nothing.contains(&text.as_str())
        }
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => members.values().any(is_set),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use crate::eve::{Understood, understand};

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
        let macs =
            |mac: &str| spec(&format!(r#","VifList":[{{"Mac":"{mac}"}}]"#)).nics[0].address();
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
                refused(&format!(r#","VifList":[{{"Mac":"{bad}"}}]"#))
                    .starts_with("VifList[0].Mac: ")
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
}
