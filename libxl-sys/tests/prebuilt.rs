//! The prebuilt bindings agree with the installed headers.
//!
//! `cargo xtask bindings` makes the bindings of all releases anew; it runs this test with
//! `LIBXL_BLESS=1`, once against the headers of each release.

#![allow(clippy::unwrap_used)] // a test file outside #[test] functions too

use std::{
    fs,
    path::{Path, PathBuf},
};

use libxl_sys as sys;

/// Directory for the prebuilt bindings of the release that this test is built for. It may not
/// exist.
fn of_this_release() -> PathBuf {
    let release: Vec<&str> = sys::VERSION.split('.').take(2).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("prebuilt").join(release.join("."))
}

#[test]
fn they_are_what_bindgen_makes_of_the_installed_headers() {
    let made = fs::read_to_string(concat!(env!("OUT_DIR"), "/bindings.rs")).unwrap();
    let features: String = sys::HAVE.iter().map(|have| format!("{have}\n")).collect();
    let directory = of_this_release();
    if std::env::var_os("LIBXL_BLESS").is_some() {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("bindings.rs"), &made).unwrap();
        fs::write(directory.join("features"), &features).unwrap();
    }
    if !directory.exists() {
        return; // This release has no prebuilt bindings.
    }
    let read = |name| fs::read_to_string(directory.join(name)).unwrap();
    assert_eq!(read("features"), features, "{}", directory.display());
    let (before, now) = (read("bindings.rs"), made);
    let same = before == now;
    assert!(
        same,
        "{} is out of date: cargo xtask bindings",
        directory.display()
    );
}

#[test]
fn there_are_some_for_each_release_that_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("prebuilt");
    for release in ["4.14", "4.17", "4.20"] {
        for name in ["bindings.rs", "features"] {
            let path = root.join(release).join(name);
            assert!(path.metadata().unwrap().len() > 100, "{}", path.display());
        }
    }
}
