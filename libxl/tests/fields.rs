//! Every field of `libxl_domain_config`, with all devices, has its place in [`libxl::config`].
//!
//! The fields are those of the headers that this build is made for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may.

use std::{fs, path::Path};

use libxl::config::Remus;
use serde_json::Value;

#[allow(clippy::wildcard_imports, reason = "it names nearly all of them")]
#[path = "../src/config/tests/full.rs"]
mod full;
mod idl;

fn header() -> String {
    let path = Path::new(env!("LIBXL_HEADERS")).join("_libxl_types.h");
    fs::read_to_string(path).unwrap()
}

#[test]
fn every_field_has_its_place() {
    let ours = [full::pv(), full::pvh(), full::hvm()]
        .map(|guest| serde_json::to_value(full::config(guest)).unwrap());
    let theirs = idl::fields_of(&header(), "libxl_domain_config");
    let left_out = |field: &str| {
        let mut entries = idl::LEFT_OUT.iter();
        entries.any(|(name, _)| *name == field)
    };
    let has = |field: &str| ours.iter().any(|json| json.pointer(field).is_some());
    let missing: Vec<&String> = theirs
        .iter()
        .filter(|field| !has(field) && !left_out(field) && !is_a_kind(field))
        .collect();
    println!(
        "Xen {}: {} fields of libxl_domain_config and its devices, {} left out",
        libxl::BUILT_FOR,
        theirs.len(),
        theirs.iter().filter(|field| left_out(field)).count()
    );
    assert!(missing.is_empty(), "no place for {missing:#?}");
    for (field, why) in idl::LEFT_OUT {
        assert!(theirs.iter().any(|f| f == field), "{field} is no field");
        assert!(!has(field), "{field} is listed as left out: {why}");
        if let Some(new) = why.strip_prefix("the old place of ") {
            assert!(theirs.iter().any(|f| f == new) && has(new), "{new}");
        }
    }
}

/// Returns true for the key of a keyed union. The key is not a field in JSON: the arm that is
/// present gives it.
fn is_a_kind(field: &str) -> bool {
    ["/channels/0/connection", "/usbdevs/0/type"].contains(&field)
}

#[test]
fn every_field_of_remus_has_its_place() {
    let ours = serde_json::to_value(Remus {
        interval: Some(1),
        allow_unsafe: Some(true),
        blackhole: Some(true),
        compression: Some(true),
        netbuf: Some(true),
        netbufscript: Some("script".into()),
        diskbuf: Some(true),
        colo: Some(true),
        userspace_colo_proxy: Some(true),
    });
    let ours = ours.unwrap();
    for field in idl::fields_of(&header(), "libxl_domain_remus_info") {
        let value = ours.pointer(&field).unwrap_or(&Value::Null);
        assert!(!value.is_null(), "no place for {field}");
    }
}

#[test]
fn structures_are_read_as_libxl_writes_them() {
    let header = "
        /* int comment; */
        #define X 1
        typedef enum libxl_e { LIBXL_E_A = 0, } libxl_e;
        typedef struct libxl_in {
            const char * text;
            int num_numbers;
            uint32_t * numbers;
        } libxl_in;
        typedef struct libxl_out {
            int num_ins;
            libxl_in * ins;
            libxl_e kind;
            union {
                struct {
                    libxl_in in;
                } one;
            } u;
            struct {
                bool flag;
            } arch;
        } libxl_out;
        void libxl_out_init(libxl_out *p);";
    assert_eq!(
        idl::fields_of(header, "libxl_out"),
        [
            "/ins/0/text",
            "/ins/0/numbers",
            "/kind",
            "/kind.one/in/text",
            "/kind.one/in/numbers",
            "/arch/flag"
        ]
    );
}
