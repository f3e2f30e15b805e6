//! Headers and libraries of the Xen in another Debian release, unpacked beside those of the system.
//!
//! Programs for the dom0 of that release are built here, against these files. The name of libxl carries the Xen version, but the symbols
//! of glibc are only ever added to.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::lab::cache::{self, Key};
use crate::lab::debian;
use crate::lab::lock::Lock;
use crate::{paths, tool};

/// Paths of a libxl other than the system's, as `libxl-sys` is given them.
#[derive(Debug)]
pub(crate) struct Sysroot {
    /// Directory of `libxl.h`.
    pub(crate) include: PathBuf,
    /// Directory of `libxenlight.so`.
    pub(crate) lib: PathBuf,
}

impl Sysroot {
    /// Returns the dynamic loader of the glibc among the libraries, if there is one.
    pub(crate) fn loader(&self) -> Option<PathBuf> {
        let loader = self.lib.join("ld-linux-x86-64.so.2");
        loader.exists().then_some(loader)
    }
}

/// Unpacks the development files of Xen `version` from the Debian release `suite`, unless the cache has them.
pub(crate) fn ensure(version: &str, suite: &str) -> Result<Sysroot> {
    let what = format!("the development files of Xen {version}");
    let usr = unpack(version, suite, "sysroot", "libxen-dev", &what)?.join("usr");
    Ok(Sysroot {
        include: usr.join("include"),
        lib: usr.join("lib/x86_64-linux-gnu"),
    })
}

/// Unpacks the C library of that Debian release, with its headers, and returns its root.
///
/// It is for programs that will run with this C library. It is kept apart from libxl's files, because the headers of a C library fit only
/// their own release.
pub(crate) fn libc(version: &str, suite: &str) -> Result<PathBuf> {
    let what = format!("the C library of Debian {suite}");
    unpack(version, suite, "libc", "libc6-dev", &what)
}

/// Unpacks a package with its dependencies, and returns the root.
fn unpack(version: &str, suite: &str, kind: &str, package: &str, what: &str) -> Result<PathBuf> {
    let parent = paths::lab_dir().join(version);
    let _lock = Lock::take("sysroots")?;
    let key = Key::default().add(suite).add(package);
    let dir = cache::get(&parent, kind, key, |part| {
        eprintln!("lab: fetching {what} (seconds)");
        let mut command = debian::command();
        command
            .arg("--variant=extract")
            .arg(format!("--include={package}"))
            .arg(suite)
            .arg(part.join("tree"));
        debian::run(&mut command, &parent.join(format!("{kind}.log")))
    })?;
    Ok(dir.join("tree"))
}

/// Version of the C library here, as in `2.36`. A program linked with this version does not run with an older one.
pub(crate) fn libc_here() -> Result<(u32, u32)> {
    let said = tool::output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    version(&said).with_context(|| format!("getconf GNU_LIBC_VERSION says {said:?}"))
}

/// Parses `glibc 2.36`.
fn version(said: &str) -> Option<(u32, u32)> {
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("glibc 2.36\n"), Some((2, 36)));
        assert!(version("glibc 2.4") < version("glibc 2.36"));
        assert_eq!(version("musl"), None);
    }
}
