//! Tests of `lost_fields` and `refused_fields`.

use serde_json::{Value, json};

use super::{GOLDEN, full_configs, leaves, take_out, to_json, typical};
use crate::config::{lost_fields, refused_fields};

/// Converts a JSON pointer to a path: `/disks/0/vdev` to `disks[0].vdev`.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|digit| digit.is_ascii_digit()) {
            path += &format!("[{part}]");
        } else if path.is_empty() {
            path += &part;
        } else {
            path += &format!(".{part}");
        }
    }
    path
}

#[test]
fn nothing_is_lost_in_what_libxl_printed() {
    for (kind, version, golden) in GOLDEN {
        let (_, sent) = typical::all()
            .into_iter()
            .find(|(name, _)| name == kind)
            .unwrap();
        let read_back = serde_json::from_str(golden).unwrap();
        assert_eq!(
            lost_fields(&to_json(&sent), &read_back),
            Vec::<String>::new(),
            "{kind} {version}"
        );
    }
}

#[test]
fn every_field_that_is_missing_is_named() {
    for config in full_configs() {
        let sent = to_json(&config);
        assert_eq!(lost_fields(&sent, &sent), Vec::<String>::new());
        for pointer in leaves(&sent) {
            let mut read_back = sent.clone();
            take_out(&mut read_back, &pointer);
            // The leaves or the MSRs of a CPUID policy are lost as a whole.
            let expected = match pointer.as_str() {
                pointer if pointer.starts_with("/b_info/cpuid/msr") => {
                    "b_info.cpuid.msr".to_owned()
                }
                pointer if pointer.starts_with("/b_info/cpuid") => "b_info.cpuid".to_owned(),
                pointer => path(pointer),
            };
            assert_eq!(lost_fields(&sent, &read_back), [expected]);
        }
    }
}

#[test]
fn every_field_that_changed_is_named() {
    for config in full_configs() {
        let sent = to_json(&config);
        for pointer in leaves(&sent)
            .into_iter()
            .filter(|pointer| !pointer.contains("/cpuid/"))
        {
            let mut read_back = sent.clone();
            *read_back.pointer_mut(&pointer).unwrap() = match sent.pointer(&pointer).unwrap() {
                Value::String(text) => format!("{text}x").into(),
                Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
                Value::Bool(value) => (!value).into(),
                _ => json!([77]),
            };
            assert_eq!(lost_fields(&sent, &read_back), [path(&pointer)]);
        }
    }
}

/// A libxl that knows none of these fields prints the same as one that knows them.
#[test]
fn a_missing_default_is_not_lost() {
    for sent in [
        json!({ "vkb": { "width": 0 } }),
        json!({ "feature_abs_pointer": false }),
        json!({ "removable": 0 }),
        json!({ "devid": -1 }),
        json!({ "ctrl": -1 }),
        json!({ "weight": -1, "cap": -1, "period": -1, "budget": -1, "extratime": -1, "slice": -1, "latency": -1 }),
        json!({ "max_grant_frames": u32::MAX, "max_maptrack_frames": u32::MAX, "max_grant_version": u32::MAX }),
        json!({ "max_memkb": u64::MAX, "memkb": u64::MAX, "gfn": u64::MAX }),
        json!({ "nr_spis": 0 }),
        json!({ "nr_spis": u32::MAX, "altp2m_count": u32::MAX, "xenstore_feature_mask": u32::MAX }),
        json!({ "hap": "<default>", "name": null }),
        json!({ "uuid": "00000000-0000-0000-0000-000000000000", "mac": "00:00:00:00:00:00" }),
        json!({ "avail_vcpus": [], "cpuid": [], "xsdata": {}, "disks": [] }),
        json!({ "cpuid": { "cpuid": [], "msr": [] } }),
        json!({ "cpuid": {}, "xsdata": {} }),
        json!({ "arch_x86": {}, "arch_arm": { "arm_sci": { "type": "none" } } }),
        json!({ "passthrough": "default", "tsc_mode": "default", "gic_version": "default" }),
        json!({ "timer_mode": "unknown", "bios": "unknown", "vga": { "kind": "unknown" }, "format": "unknown" }),
        json!({ "vendor_device": "none", "tee": "none", "altp2m": "disabled", "sve_vl": "disabled" }),
        json!({ "rdm": { "strategy": "ignore", "policy": "invalid" }, "rdm_policy": "invalid" }),
        json!({ "hdtype": "ide", "on_crash": "destroy", "type": "auto" }),
    ] {
        assert_eq!(
            lost_fields(&sent, &json!({})),
            Vec::<String>::new(),
            "{sent}"
        );
    }
}

#[test]
fn a_missing_value_that_is_no_default_is_lost() {
    for (sent, lost) in [
        (json!({ "devid": 0 }), "devid"),
        (json!({ "cap": 0 }), "cap"),
        (json!({ "max_grant_version": 0 }), "max_grant_version"),
        (json!({ "shadow_memkb": 0 }), "shadow_memkb"),
        (json!({ "gfn": 0 }), "gfn"),
        (json!({ "width": -1 }), "width"),
        (json!({ "width": u32::MAX }), "width"),
        (
            json!({ "xenstore_feature_mask": 0 }),
            "xenstore_feature_mask",
        ),
        (json!({ "be_alloc": true }), "be_alloc"),
        (json!({ "trusted": "False" }), "trusted"),
        (json!({ "trusted": "True" }), "trusted"),
        (json!({ "passwd": "" }), "passwd"),
        (json!({ "name": "none" }), "name"),
        (json!({ "hdtype": "ahci" }), "hdtype"),
        (json!({ "bios": "none" }), "bios"),
        (json!({ "vlan": "00:00:00:00:00:00" }), "vlan"),
        (json!({ "on_reboot": "restart" }), "on_reboot"),
        (json!({ "connection.pty": {} }), "connection.pty"),
        (json!({ "type.hvm": { "hpet": "True" } }), "type.hvm"),
        (
            json!({ "arch_x86": { "msr_relaxed": "True" } }),
            "arch_x86.msr_relaxed",
        ),
        (json!({ "llc_colors": [0] }), "llc_colors"),
        (json!({ "virtios": [{}] }), "virtios"),
        (json!({ "xsdata": { "a.b/c": "" } }), "xsdata.a.b/c"),
        (json!({ "cpuid": [{ "leaf": 0 }] }), "cpuid"),
    ] {
        assert_eq!(lost_fields(&sent, &json!({})), [lost], "{sent}");
    }
}

#[test]
fn lists_are_compared_by_place() {
    let sent = json!({ "disks": [{ "vdev": "a" }, { "vdev": "b", "trusted": "False" }, {}], "irqs": [1, 2] });
    let read_back = json!({ "disks": [{ "vdev": "a" }, { "vdev": "c" }], "irqs": [2, 1] });
    assert_eq!(
        lost_fields(&sent, &read_back),
        ["disks[1].trusted", "disks[1].vdev", "disks[2]", "irqs"]
    );
    // A wrong type on either side.
    assert_eq!(lost_fields(&json!({ "a": [1] }), &json!({ "a": 1 })), ["a"]);
    assert_eq!(
        lost_fields(&json!({ "a": { "b": 1 } }), &json!({ "a": 1 })),
        ["a"]
    );
}

#[test]
fn a_cpuid_policy_may_change_its_form() {
    let leaves = json!([{ "leaf": 7, "subleaf": 0, "ebx": "x".repeat(32) }]);
    let msr = json!([{ "index": 1, "policy": "0".repeat(64) }]);
    let old = |leaves: &Value| json!({ "b_info": { "cpuid": leaves } });
    let new = |leaves: &Value, msr: &Value| json!({ "b_info": { "cpuid": { "cpuid": leaves, "msr": msr } } });
    assert_eq!(
        lost_fields(&old(&leaves), &new(&leaves, &json!([]))),
        Vec::<String>::new()
    );
    assert_eq!(
        lost_fields(&new(&leaves, &json!([])), &old(&leaves)),
        Vec::<String>::new()
    );
    assert_eq!(
        lost_fields(&new(&leaves, &msr), &old(&leaves)),
        ["b_info.cpuid.msr"]
    );
    assert_eq!(
        lost_fields(&new(&leaves, &msr), &json!({ "b_info": {} })),
        ["b_info.cpuid", "b_info.cpuid.msr"]
    );
    // Xen up to 4.16.4 neither knows nor refuses the new form.
    let shorter = json!([{ "leaf": 7, "ebx": "x".repeat(32) }]);
    assert_eq!(
        lost_fields(&old(&leaves), &new(&shorter, &json!([]))),
        ["b_info.cpuid"]
    );
}

#[test]
fn refused_fields_are_offered_one_at_a_time_and_in_place() {
    let sent = json!({
        "c_info": { "name": "a", "passthrough": "maybe" },
        "b_info": {
            "type.hvm": { "bios": "none", "usbdevice_list": ["a", "b"] },
            "cpuid": { "cpuid": [{ "leaf": 1 }], "msr": [{ "index": 1, "policy": "" }] },
            "arch_x86": {},
        },
        "disks": [{ "vdev": "xvda" }, { "backend": "standalone" }],
    });
    let mut offered = Vec::new();
    let refused = refused_fields(&sent, |alone| {
        offered.push(alone.to_string());
        !["maybe", "\"none\"", "msr", "standalone"]
            .iter()
            .any(|bad| alone.to_string().contains(bad))
    });
    assert_eq!(
        refused,
        [
            "b_info.cpuid",
            "b_info.type.hvm.bios",
            "c_info.passthrough",
            "disks[1].backend"
        ]
    );
    assert_eq!(
        offered,
        [
            r#"{"b_info":{"arch_x86":{}}}"#,
            r#"{"b_info":{"cpuid":{"cpuid":[{"leaf":1}],"msr":[{"index":1,"policy":""}]}}}"#,
            r#"{"b_info":{"type.hvm":{"bios":"none"}}}"#,
            r#"{"b_info":{"type.hvm":{"usbdevice_list":["a","b"]}}}"#,
            r#"{"c_info":{"name":"a"}}"#,
            r#"{"c_info":{"passthrough":"maybe"}}"#,
            r#"{"disks":[{"vdev":"xvda"}]}"#,
            r#"{"disks":[{"backend":"standalone"}]}"#,
        ],
    );
}
