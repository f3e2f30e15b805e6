//! Location of Xen's headers and libraries: from pkg-config, unless the environment says otherwise.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Directory of `libxl.h`; replaces pkg-config together with [`LIB_DIR`].
const INCLUDE_DIR: &str = "LIBXL_INCLUDE_DIR";
/// Directory of `libxenlight.so`, and of `pkgconfig/xenlight.pc` below it.
const LIB_DIR: &str = "LIBXL_LIB_DIR";

/// The libraries to link with: their names in pkg-config, and for the linker.
fn libraries() -> impl Iterator<Item = (&'static str, &'static str)> {
    let wanted = |(name, _): &(&str, &str)| *name != "xlutil" || has_xlutil();
    [
        ("xenlight", "xenlight"),
        ("xlutil", "xlutil"),
        ("xencontrol", "xenctrl"),
        ("xentoollog", "xentoollog"),
        ("xencall", "xencall"),
        ("xenstore", "xenstore"),
    ]
    .into_iter()
    .filter(wanted)
}

/// Returns true if libxlutil is wanted, too: the feature of that name.
pub(crate) fn has_xlutil() -> bool {
    env::var_os("CARGO_FEATURE_XLUTIL").is_some()
}

/// The libxl to build against.
pub(crate) struct Xen {
    pub(crate) version: String,
    /// Directories to search for headers before the system's own.
    pub(crate) include_dirs: Vec<PathBuf>,
    /// `cargo::rustc-link-*` lines.
    pub(crate) link_lines: Vec<String>,
}

pub(crate) fn find() -> Result<Xen, String> {
    println!("cargo::rerun-if-env-changed={INCLUDE_DIR}");
    println!("cargo::rerun-if-env-changed={LIB_DIR}");
    match (env::var_os(INCLUDE_DIR), env::var_os(LIB_DIR)) {
        (Some(include), Some(lib)) => overridden(Path::new(&include), Path::new(&lib)),
        (None, None) => installed(),
        _ => Err(format!(
            "{INCLUDE_DIR} and {LIB_DIR} name one libxl between them: set both or neither"
        )),
    }
}

/// Has cargo rerun the build script when something is installed in this directory.
///
/// A file in it would not do: a package manager gives a file the time at which it was packaged,
/// which may be before the last build.
fn watch(directory: &Path) {
    println!("cargo::rerun-if-changed={}", directory.display());
}

/// Has cargo rerun the build script once the library that pkg-config does not know may have been
/// installed.
fn watch_for_installation() {
    if let Ok(path) = pkg_config::get_variable("pkg-config", "pc_path") {
        let named = ["PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR"].map(env::var_os);
        named
            .iter()
            .flatten()
            .flat_map(env::split_paths)
            .chain(env::split_paths(&path))
            // A directory that does not exist would make cargo run the script each time.
            .filter(|directory| directory.is_dir())
            .for_each(|directory| watch(&directory));
    } else {
        // pkg-config itself is missing, and may appear in any directory.
        watch(Path::new("pkg-config is missing"));
    }
}

fn overridden(include: &Path, lib: &Path) -> Result<Xen, String> {
    if !include.join("libxl.h").is_file() {
        return Err(format!(
            "{INCLUDE_DIR}={}: no libxl.h in it",
            include.display()
        ));
    }
    let pc = lib.join("pkgconfig/xenlight.pc");
    let text = fs::read_to_string(&pc).map_err(|e| {
        format!(
            "{LIB_DIR}={}: cannot read {}: {e}",
            lib.display(),
            pc.display()
        )
    })?;
    watch(&lib.join("pkgconfig"));
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("Version:"))
        .map(|v| v.trim().to_owned())
        .ok_or_else(|| format!("{}: has no Version line", pc.display()))?;
    let mut link_lines = vec![format!("cargo::rustc-link-search=native={}", lib.display())];
    for (_, name) in libraries() {
        link_lines.push(format!("cargo::rustc-link-lib={name}"));
    }
    Ok(Xen {
        version,
        include_dirs: vec![include.to_owned()],
        link_lines,
    })
}

fn installed() -> Result<Xen, String> {
    let mut version = String::new();
    let mut include_dirs = Vec::new();
    let mut link_lines = Vec::new();
    for (name, _) in libraries() {
        let library = pkg_config::Config::new()
            .cargo_metadata(false)
            .probe(name)
            .map_err(|e| {
                watch_for_installation();
                format!("{e}\n{HELP}")
            })?;
        if name == "xenlight" {
            version = library.version;
        }
        // An upgrade of Xen changes what pkg-config answers.
        if let Ok(directory) = pkg_config::get_variable(name, "pcfiledir") {
            watch(Path::new(&directory));
        }
        for dir in library.include_paths {
            if !include_dirs.contains(&dir) {
                include_dirs.push(dir);
            }
        }
        for dir in library.link_paths {
            link_lines.push(format!("cargo::rustc-link-search=native={}", dir.display()));
        }
        for lib in library.libs {
            link_lines.push(format!("cargo::rustc-link-lib={lib}"));
        }
    }
    Ok(Xen {
        version,
        include_dirs,
        link_lines,
    })
}

/// Packages to install on each distribution, for the message about a missing libxl.
const HELP: &str = "\
The development files of Xen's libxl were not found. Install them:
  Debian, Ubuntu:  apt install libxen-dev pkg-config libclang-dev gcc
  Fedora:          dnf install xen-devel pkgconf-pkg-config clang-devel gcc
  Alpine:          apk add xen-dev pkgconf clang-dev gcc musl-dev
  Arch (AUR):      the xen package, and pacman -S pkgconf clang gcc
  openSUSE:        zypper install xen-devel pkgconf clang-devel gcc
or set LIBXL_INCLUDE_DIR and LIBXL_LIB_DIR to the directories of libxl.h and libxenlight.so.";
