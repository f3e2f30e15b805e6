//! The project's small guest, from `lab/tiny`.
//!
//! dom0 finds it in the shared directory. So a change costs a second, not a new image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::cache::{self, Key};
use crate::{paths, tool};

/// Compiler options for a kernel: no libraries, no vector registers, and no red zone below the stack pointer, where Xen's hypercall page
/// pushes.
const OPTIONS: &[&str] = &[
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__",
    "-ffreestanding",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fcf-protection=none",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-no-pie",
    "-static",
    "-nostdlib",
    "-Wl,--build-id=none,--no-warn-rwx-segments",
];

/// The files it is built as, each with the options that make the difference.
const KERNELS: [(&str, &[&str]); 2] = [("tiny", &[]), ("tiny-hvm", &["-DHVM"])];

/// Builds the guest if it has changed, and copies it to `/share/guest`, where dom0 finds it.
pub(super) fn ensure(parent: &Path, share: &Path) -> Result<()> {
    let sources = paths::root().join("lab/tiny");
    let key = Key::default()
        .add_dir(&sources)?
        .add(OPTIONS.join(" "))
        .add(tool::output(Command::new("cc").arg("--version"))?);
    let dir = cache::get(parent, "tiny", key, |part| build(&sources, part))?;
    let guests = share.join("guest");
    fs::create_dir_all(&guests)?;
    for (name, _) in KERNELS {
        fs::copy(dir.join(name), guests.join(name))?;
    }
    Ok(())
}

fn build(sources: &Path, out: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|kind| kind == "c" || kind == "S")
        })
        .collect();
    files.sort();
    for (name, options) in KERNELS {
        let mut cc = Command::new("cc");
        cc.args(OPTIONS)
            .args(options)
            .arg("-T")
            .arg(sources.join("tiny.lds"))
            .args(&files)
            .arg("-o")
            .arg(out.join(name));
        tool::output(&mut cc)?;
    }
    Ok(())
}
