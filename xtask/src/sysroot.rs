//! Xen's headers and libraries of another Debian release, unpacked beside the system's own.
//!
//! A program for the dom0 of that release is built here, against them: libxl's name carries the Xen version, but glibc's symbols only grow.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::lab::cache::{self, Key};
use crate::lab::debian;
use crate::lab::lock::Lock;
use crate::{paths, tool};

/// The packages: libxl, and the C library that programs for that release are linked with where the one here is newer.
const PACKAGES: &str = "libxen-dev,libc6-dev";

/// What `libxl-sys` is told about a libxl that is not the system's own.
#[derive(Debug)]
pub(crate) struct Sysroot {
    /// The root of these files.
    pub(crate) dir: PathBuf,
    /// Directory of `libxl.h`.
    pub(crate) include: PathBuf,
    /// Directory of `libxenlight.so`.
    pub(crate) lib: PathBuf,
}

impl Sysroot {
    /// The dynamic loader that belongs to the glibc among its libraries, if there is one.
    pub(crate) fn loader(&self) -> Option<PathBuf> {
        let loader = self.lib.join("ld-linux-x86-64.so.2");
        loader.exists().then_some(loader)
    }
}

/// Unpacks the development files of Xen `version` as in the Debian release `suite`, if they are not there yet.
pub(crate) fn ensure(version: &str, suite: &str) -> Result<Sysroot> {
    let parent = paths::lab_dir().join(version);
    let dir = {
        let _lock = Lock::take("sysroots")?;
        cache::get(
            &parent,
            "sysroot",
            Key::default().add(suite).add(PACKAGES),
            |part| {
                eprintln!("lab: fetching the development files of Xen {version} (seconds)");
                let mut command = debian::command();
                command
                    .arg("--variant=extract")
                    .arg(format!("--include={PACKAGES}"))
                    .arg(suite)
                    .arg(part.join("tree"));
                if let Some(mirror) = paths::mirror() {
                    command.arg(mirror);
                }
                tool::logged(&mut command, &parent.join("sysroot.log"))
            },
        )?
    };
    let dir = dir.join("tree");
    let usr = dir.join("usr");
    Ok(Sysroot {
        dir,
        include: usr.join("include"),
        lib: usr.join("lib/x86_64-linux-gnu"),
    })
}

/// The version of the C library here, as in `2.36`: a program that is linked with it does not run with an older one.
pub(crate) fn libc_here() -> Result<(u32, u32)> {
    let said = tool::output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    version(&said).with_context(|| format!("getconf GNU_LIBC_VERSION says {said:?}"))
}

/// Reads `glibc 2.36`.
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
