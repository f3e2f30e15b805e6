//! Turns the features that `libxl-sys` found in Xen's headers into cfgs for the examples and tests, and
//! tells the tests where these headers are.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(libxl_have, values(any()))");
    for feature in env::var("DEP_XENLIGHT_HAVE")
        .unwrap_or_default()
        .split(',')
        .filter(|f| !f.is_empty())
    {
        println!("cargo::rustc-cfg=libxl_have=\"{feature}\"");
    }
    if let Ok(include) = env::var("DEP_XENLIGHT_INCLUDE") {
        println!("cargo::rustc-env=LIBXL_HEADERS={include}");
    }
}
