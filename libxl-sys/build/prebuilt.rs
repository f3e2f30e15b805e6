//! Prebuilt bindings, for documentation and `cargo check` where there are no headers: a program
//! built with them cannot be linked.
//!
//! The bindings are made from the x86_64 headers of Debian's packages.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Chooses one of [`VERSIONS`], and uses it although there are headers.
const CHOICE: &str = "LIBXL_PREBUILT";
/// Releases with prebuilt bindings; the last one is the default.
const VERSIONS: [&str; 3] = ["4.14", "4.17", "4.20"];

/// Version and features of prebuilt bindings.
pub(crate) struct Prebuilt {
    pub(crate) version: String,
    pub(crate) features: Vec<String>,
}

/// Returns true if prebuilt bindings are requested: by name, or because documentation is built
/// where nothing can be installed.
pub(crate) fn wanted() -> bool {
    println!("cargo::rerun-if-env-changed={CHOICE}");
    println!("cargo::rerun-if-env-changed=DOCS_RS");
    env::var_os(CHOICE).is_some() || env::var_os("DOCS_RS").is_some()
}

/// Writes the bindings to `to`. Returns `None` if there are none for this machine.
pub(crate) fn write(to: &Path) -> Result<Option<Prebuilt>, String> {
    let target = |what| env::var(what).unwrap_or_default();
    if target("CARGO_CFG_TARGET_ARCH") != "x86_64" || target("CARGO_CFG_TARGET_OS") != "linux" {
        return Ok(None);
    }
    let last = VERSIONS[VERSIONS.len() - 1];
    let version = env::var(CHOICE).unwrap_or_else(|_| last.into());
    if !VERSIONS.contains(&version.as_str()) {
        return Err(format!(
            "{CHOICE}={version}: there are bindings for {}",
            VERSIONS.join(", ")
        ));
    }
    let from = directory().join(&version);
    println!("cargo::rerun-if-changed={}", from.display());
    let read = |name| {
        let path = from.join(name);
        fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let bindings = read("bindings.rs")?;
    fs::write(to, bindings).map_err(|e| format!("{}: {e}", to.display()))?;
    Ok(Some(Prebuilt {
        version: format!("{version}.0"),
        features: read("features")?.lines().map(str::to_owned).collect(),
    }))
}

fn directory() -> PathBuf {
    let root = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    Path::new(&root).join("prebuilt")
}
