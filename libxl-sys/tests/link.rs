//! The bindings link, and agree with the library about a few things that can be checked without
//! Xen.

use std::{ffi::CStr, mem::MaybeUninit, path::Path};

use libxl_sys as sys;

#[test]
fn enumerations_have_the_names_of_the_library() {
    // SAFETY: the function returns a static string, or NULL for a value it does not know.
    let name =
        unsafe { sys::libxl_domain_type_to_string(sys::libxl_domain_type::LIBXL_DOMAIN_TYPE_PVH) };
    assert!(!name.is_null());
    // SAFETY: not NULL, hence one of libxl's NUL-terminated literals.
    assert_eq!(unsafe { CStr::from_ptr(name) }, c"pvh");
}

#[test]
fn values_out_of_range_stay_integers() {
    let reason = sys::libxl_shutdown_reason(200);
    // SAFETY: as above; any integer may be passed.
    assert!(unsafe { sys::libxl_shutdown_reason_to_string(reason) }.is_null());
}

#[test]
fn init_and_dispose_are_a_pair() {
    let mut config = MaybeUninit::<sys::libxl_domain_config>::zeroed();
    // SAFETY: init writes every field of the structure it is given; dispose frees what it owns and
    // leaves it as init does, so that a second dispose is harmless.
    unsafe {
        sys::libxl_domain_config_init(config.as_mut_ptr());
        assert_eq!((*config.as_ptr()).num_disks, 0);
        sys::libxl_domain_config_dispose(config.as_mut_ptr());
        sys::libxl_domain_config_dispose(config.as_mut_ptr());
    }
}

#[test]
fn features_are_found_with_and_without_a_value() {
    // The first has a value in the headers, the second has none; both are in every version since 4.14.
    for feature in ["domain_create_restore_params", "domain_need_memory_config"] {
        assert!(
            sys::HAVE.contains(&feature),
            "{feature} is not in {:?}",
            sys::HAVE
        );
    }
    assert!(sys::HAVE.len() > 100, "only {} features", sys::HAVE.len());
}

#[test]
fn the_version_is_that_of_the_library() {
    assert!(sys::VERSION.starts_with("4."), "{}", sys::VERSION);
}

#[test]
fn the_loaded_library_is_the_one_that_was_built_for() {
    // SAFETY: takes nothing; the string belongs to a library that stays loaded.
    let loaded = unsafe { sys::libxl_sys_loaded_soname() };
    assert!(!loaded.is_null(), "libxl is a shared library");
    // SAFETY: not NULL, and NUL-terminated.
    let loaded = unsafe { CStr::from_ptr(loaded) };
    assert_eq!(loaded.to_str(), Ok(sys::SONAME));
}

/// Otherwise bindings for an old Xen would outlive an upgrade, and corrupt memory.
#[test]
fn the_bindings_are_made_again_when_xen_is_upgraded() {
    let output = Path::new(env!("OUT_DIR")).with_file_name("output");
    let output = std::fs::read_to_string(output).unwrap();
    for file in [
        "/libxl.h",
        "/_libxl_types.h",
        "/xentoollog.h",
        "/xencall.h",
        "/pkgconfig",
        "/loaded.h",
    ] {
        let watched = output
            .lines()
            .any(|line| line.starts_with("cargo::rerun-if-changed=") && line.ends_with(file));
        assert!(watched, "{file} is not watched: {output}");
    }
}
