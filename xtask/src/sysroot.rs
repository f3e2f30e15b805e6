//! Xen's headers and libraries of another Debian release, unpacked beside the system's own.
//!
//! A program for the dom0 of that release is built here, against them: libxl's name carries the Xen version, but glibc's symbols only grow.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::lab::cache::{self, Key};
use crate::lab::lock::Lock;
use crate::{paths, tool};

/// What `libxl-sys` is told about a libxl that is not the system's own.
#[derive(Debug)]
pub(crate) struct Sysroot {
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
        cache::get(&parent, "sysroot", Key::default().add(suite), |part| {
            eprintln!("lab: fetching the development files of Xen {version} (seconds)");
            let mut command = Command::new("mmdebstrap");
            command
                .args(["--variant=extract", "--include=libxen-dev", suite])
                .arg(part.join("tree"));
            if let Some(mirror) = paths::mirror() {
                command.arg(mirror);
            }
            tool::logged(&mut command, &parent.join("sysroot.log"))
        })?
    };
    let usr = dir.join("tree/usr");
    Ok(Sysroot {
        include: usr.join("include"),
        lib: usr.join("lib/x86_64-linux-gnu"),
    })
}
