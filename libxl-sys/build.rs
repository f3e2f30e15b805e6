//! Finds Xen's headers and libraries, generates the bindings, compiles the log bridge and tells
//! dependents which libxl this is.

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/find.rs"]
mod find;
#[path = "build/prebuilt.rs"]
mod prebuilt;
#[path = "build/shim.rs"]
mod shim;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=csrc");

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    if prebuilt::wanted() {
        match prebuilt::write(&out.join("bindings.rs")) {
            Ok(Some(prebuilt)) => return tell(&out, &prebuilt.version, &prebuilt.features, None),
            Ok(None) => {}
            Err(reason) => fail(&reason),
        }
    }
    let xen = match find::find() {
        Ok(xen) => xen,
        Err(reason) => match prebuilt::write(&out.join("bindings.rs")) {
            Ok(Some(prebuilt)) => {
                for line in reason.lines() {
                    println!("cargo::warning={line}");
                }
                println!(
                    "cargo::warning=Bindings for Xen {} are used that were made beforehand: they do \
                     for documentation and `cargo check`, but nothing can be linked.",
                    prebuilt.version
                );
                // So that the linker names what is missing.
                println!("cargo::rustc-link-lib=xenlight");
                return tell(&out, &prebuilt.version, &prebuilt.features, None);
            }
            Ok(None) => fail(&reason),
            Err(other) => fail(&format!("{reason}\n{other}")),
        },
    };
    let features = match bindings::generate(&xen.include_dirs, &out.join("bindings.rs")) {
        Ok(features) => features,
        Err(reason) => fail(&reason),
    };
    shim::compile(&xen.include_dirs);
    // After the shim, because the static shim is what needs these libraries.
    for line in &xen.link_lines {
        println!("{line}");
    }

    let include = xen.include_dirs.first();
    tell(&out, &xen.version, &features, include.map(PathBuf::as_path));
}

/// Tells the crate itself, and its dependents, which libxl this is.
fn tell(out: &Path, version: &str, features: &[String], include: Option<&Path>) {
    let quoted: Vec<String> = features.iter().map(|f| format!("{f:?}")).collect();
    let consts = format!(
        "/// The version of libxl these bindings were generated for, as its pkg-config file has it.\n\
         pub const VERSION: &str = {:?};\n\
         /// The SONAME of that libxl: there is one for each release, which promises no ABI to another.\n\
         pub const SONAME: &str = {:?};\n\
         /// The `LIBXL_HAVE_*` features of the headers: lower case, without the prefix, sorted.\n\
         pub const HAVE: &[&str] = &[{}];\n",
        version,
        soname(version),
        quoted.join(", ")
    );
    fs::write(out.join("version.rs"), consts).expect("OUT_DIR is writable");

    // Dependents read these as DEP_XENLIGHT_VERSION, DEP_XENLIGHT_HAVE and DEP_XENLIGHT_INCLUDE.
    println!("cargo::metadata=version={version}");
    println!("cargo::metadata=have={}", features.join(","));
    if let Some(dir) = include {
        println!("cargo::metadata=include={}", dir.display());
    }
}

/// The SONAME that Xen's makefiles give the library of this version: only the release.
fn soname(version: &str) -> String {
    let release: Vec<&str> = version.split(['.', '-']).take(2).collect();
    format!("libxenlight.so.{}", release.join("."))
}

/// Ends the build with a message that cargo shows as an error, without a panic's backtrace.
fn fail(reason: &str) -> ! {
    for line in reason.lines() {
        println!("cargo::error={line}");
    }
    #[allow(clippy::disallowed_methods)]
    // There is nothing to unwind, and a panic would bury the message.
    std::process::exit(1);
}
