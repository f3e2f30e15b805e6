//! Every field of the configuration reaches libxl, and can be read back.
//!
//! The fields are read from the headers that this test was built with, so no list must be maintained.

use std::{
    ffi::{CStr, CString},
    mem::MaybeUninit,
};

use libxl::{
    Context, ErrorKind,
    config::{CpuidPolicy, DomainConfig, Guest, lost_fields},
};
use libxl_sys as sys;
use serde_json::{Value, json};

use crate::support::context;

#[allow(clippy::wildcard_imports, reason = "it names nearly all types")]
#[path = "../../libxl/src/config/tests/full.rs"]
mod full;
#[path = "../../libxl/tests/idl/mod.rs"]
mod idl;

const HEADER: &str = include_str!(concat!(env!("LIBXL_HEADERS"), "/_libxl_types.h"));

/// Converts a configuration to libxl's structure and back to JSON.
fn through_libxl(ctx: &Context, sent: &Value) -> Value {
    let text = CString::new(sent.to_string()).unwrap();
    let mut raw = MaybeUninit::<sys::libxl_domain_config>::uninit();
    // SAFETY: memory for one structure, which `init` makes valid; a live context and a text; the
    // string that comes back is from malloc and ours; the structure is disposed of once.
    unsafe {
        sys::libxl_domain_config_init(raw.as_mut_ptr());
        let rc = sys::libxl_domain_config_from_json(ctx.as_ptr(), raw.as_mut_ptr(), text.as_ptr());
        assert_eq!(rc, 0, "{sent}");
        let back = sys::libxl_domain_config_to_json(ctx.as_ptr(), raw.as_mut_ptr());
        sys::libxl_domain_config_dispose(raw.as_mut_ptr());
        assert!(!back.is_null());
        let value = serde_json::from_slice(CStr::from_ptr(back).to_bytes()).unwrap();
        libc::free(back.cast());
        value
    }
}

/// Does the same with this field alone, in an otherwise empty configuration.
fn alone(ctx: &Context, sent: &Value, empty: &Value, field: &str) -> Value {
    let mut one = empty.clone();
    let mut at = &mut one;
    for key in field[1..].split('/') {
        at = match key {
            "0" => {
                *at = json!([{}]);
                &mut at[0]
            }
            _ => {
                if at.is_null() {
                    *at = json!({});
                }
                &mut at[key]
            }
        };
    }
    *at = sent.pointer(field).unwrap().clone();
    through_libxl(ctx, &one)
}

fn same(field: &str, sent: &Value, back: Option<&Value>) -> bool {
    if field.ends_with("/cpuid") {
        // libxl has two forms for the CPUID policy, and reads both.
        let policy = |value: &Value| serde_json::from_value::<CpuidPolicy>(value.clone());
        let back = back.map(|back| policy(back).unwrap());
        return back == Some(policy(sent).unwrap());
    }
    back == Some(sent)
}

/// Sets every field of every kind of guest and of every device to a value other than its default, and reads it back:
/// all fields at once, and each alone.
#[test]
fn every_field_reaches_libxl_and_comes_back() {
    let ctx = context();
    let fields = idl::fields_of(HEADER, "libxl_domain_config");
    let left_out = |field: &str| idl::LEFT_OUT.iter().any(|(name, _)| *name == field);
    let mut seen = 0;
    for guest in [full::pv(), full::pvh(), full::hvm()] {
        let word = guest.domain_type().to_string();
        let arm = format!("/b_info/type.{word}/");
        let empty = json!({ "c_info": { "type": word }, "b_info": { format!("type.{word}"): {} } });
        let initial = through_libxl(&ctx, &empty);
        let sent = serde_json::to_value(full::config(guest)).unwrap();
        let back = through_libxl(&ctx, &sent);
        for field in &fields {
            let another_arm = field.starts_with("/b_info/type.") && !field.starts_with(&arm);
            if left_out(field) || another_arm || is_a_kind(field) {
                continue;
            }
            let value = sent
                .pointer(field)
                .unwrap_or_else(|| panic!("{word}: {field} has no place"));
            let all = back.pointer(field);
            assert!(same(field, value, all), "{word}: {field}: {value}, {all:?}");
            // The type of the guest is the only field without a default.
            if field == "/c_info/type" {
                continue;
            }
            let default = initial.pointer(field);
            assert_ne!(Some(value), default, "{word}: {field}: this is its default");
            let one = alone(&ctx, &sent, &empty, field);
            let one = one.pointer(field);
            assert!(same(field, value, one), "{word}: {field}: {value}, {one:?}");
            seen += 1;
        }
        // A field that this libxl lacks is named, not silently dropped.
        let lost = lost_fields(&sent, &back);
        println!("{word}: libxl {} lacks {lost:?}", libxl::BUILT_FOR);
        for name in &lost {
            let field = format!("/{}", name.replace('[', "/").replace(']', ""));
            let field = rejoin_union(&field.replace('.', "/"));
            assert!(!fields.contains(&field), "{word}: {name} is lost");
        }
    }
    println!("{seen} fields set and found again");
    assert!(seen > 3 * 280, "{seen}");
}

/// The key of a keyed union contains a dot, which also separates the parts of a lost field.
fn rejoin_union(field: &str) -> String {
    ["type", "connection"]
        .iter()
        .fold(field.to_owned(), |field, key| {
            ["hvm", "pv", "pvh", "hostdev", "socket"]
                .iter()
                .fold(field, |field, arm| {
                    field.replace(&format!("/{key}/{arm}/"), &format!("/{key}.{arm}/"))
                })
        })
}

/// Returns whether the field is the key of a keyed union. It is no field in JSON, where the name of the arm implies
/// it.
fn is_a_kind(field: &str) -> bool {
    ["/channels/0/connection", "/usbdevs/0/type"].contains(&field)
}

/// A caller's configuration is checked in the same way: a field of a newer Xen is refused by name.
#[test]
fn a_field_of_a_newer_xen_is_refused_by_name() {
    let ctx = context();
    let fields = idl::fields_of(HEADER, "libxl_domain_config");
    let config = full::config(full::pvh());
    let sent = serde_json::to_value(&config).unwrap();
    let newer = [
        ("/b_info/altp2m_count", "b_info.altp2m_count"),
        (
            "/b_info/xenstore_feature_mask",
            "b_info.xenstore_feature_mask",
        ),
        ("/b_info/bootloader_restrict", "b_info.bootloader_restrict"),
        ("/disks/0/grant_usage", "disks[0].grant_usage"),
        ("/p9s/0/max_files", "p9s[0].max_files"),
        ("/virtios/0/type", "virtios"),
    ];
    for (field, name) in newer {
        if fields.iter().any(|known| known == field) {
            continue;
        }
        let empty = serde_json::to_value(DomainConfig::new("newer", Guest::default())).unwrap();
        let mut one = empty.clone();
        let top = field[1..].split('/').next().unwrap();
        match top {
            "b_info" => one["b_info"][&name[7..]] = sent.pointer(field).unwrap().clone(),
            _ => one[top] = sent[top].clone(),
        }
        let one: DomainConfig = serde_json::from_value(one).unwrap();
        let error = ctx.domain_create_new(&one).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error:#}");
        let text = error.to_string();
        assert!(
            text.contains(name) && text.contains(libxl::BUILT_FOR),
            "{name}: {text}"
        );
    }
}
