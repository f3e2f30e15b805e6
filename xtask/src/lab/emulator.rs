//! QEMU, which emulates the lab's computers.
//!
//! The lab builds a QEMU of its own. Every release since 4.2 loses a guest now and then, and those since 9.1 cannot run a PVH Linux
//! (`lab/emulator/*.patch` explains why; the patches also make it more than twice as fast). It is built once from Debian's source, in a
//! Debian of its own. So it is the same on every host and needs none of the host's libraries.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::cache::{self, Key};
use super::debian;
use crate::{paths, tool};

/// The Debian release whose QEMU is built.
const SUITE: &str = "trixie";

/// Packages for building QEMU, and the firmware that QEMU loads.
const PACKAGES: &[&str] = &[
    "bison",
    "ca-certificates",
    "dpkg-dev",
    "flex",
    "gcc",
    "libattr1-dev",
    "libc6-dev",
    "libcap-ng-dev",
    "libfdt-dev",
    "libglib2.0-dev",
    "libslirp-dev",
    "meson",
    "ninja-build",
    "patch",
    "pkg-config",
    "python3-venv",
    "qemu-system-data",
    "seabios",
    "zlib1g-dev",
];

/// First part of the name in the cache.
const KIND: &str = "emulator";

/// Disk space that the build takes temporarily, in MiB.
const ROOM: u64 = 3000;

/// An emulator that is ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Emulator {
    /// Directory with `bin`, `lib` and `firmware`. The name changes with the inputs of the build.
    pub(crate) dir: PathBuf,
}

impl Emulator {
    /// Returns the command line for `program` of the emulator: the loader, the libraries it was built with, and the program.
    ///
    /// `dir` is [`Emulator::dir`] as the running process names it. It must not contain a colon or semicolon, which would end a library
    /// path.
    pub(crate) fn words(dir: &str, program: &str) -> Vec<String> {
        vec![
            format!("{dir}/lib/ld-linux-x86-64.so.2"),
            "--library-path".into(),
            format!("{dir}/lib"),
            format!("{dir}/bin/{program}"),
        ]
    }

    /// Creates a disk `to` that begins as the raw disk `base`, and takes the changes.
    pub(crate) fn overlay(&self, base: &Path, to: &Path) -> Result<()> {
        self.image_tool(&[
            "create".as_ref(),
            "-q".as_ref(),
            "-f".as_ref(),
            "qcow2".as_ref(),
            "-F".as_ref(),
            "raw".as_ref(),
            "-b".as_ref(),
            base.as_ref(),
            to.as_ref(),
        ])
    }

    /// Runs `qemu-img` on files below `dir`.
    pub(crate) fn image_tool(&self, arguments: &[&std::ffi::OsStr]) -> Result<()> {
        let words = Self::words(".", "qemu-img");
        tool::output(
            Command::new(&words[0])
                .args(&words[1..])
                .args(arguments)
                .current_dir(&self.dir),
        )?;
        Ok(())
    }
}

/// Disk space that [`ensure`] will take temporarily, in MiB.
pub(super) fn disk_room() -> Result<u64> {
    let there = cache::has(&paths::lab_dir(), KIND, key()?);
    Ok(if there { 0 } else { ROOM })
}

/// Digest of the inputs of the build.
fn key() -> Result<Key> {
    Key::default()
        .add(SUITE)
        .add(PACKAGES.join(" "))
        .add_dir(&paths::root().join("lab/emulator"))
}

/// Builds the emulator if the cache does not have it.
pub(crate) fn ensure() -> Result<Emulator> {
    let parent = paths::lab_dir();
    let sources = paths::root().join("lab/emulator");
    let dir = cache::get(&parent, KIND, key()?, |part| {
        build(&sources, part, &parent.join("emulator.log"))
    })?;
    Ok(Emulator { dir })
}

/// Builds in a root below `part` that mmdebstrap removes at the end. Only files copied out of this root remain.
fn build(sources: &Path, part: &Path, log: &Path) -> Result<()> {
    let shell = |text: &Path| tool::quote(&text.to_string_lossy());
    let mut command = debian::command();
    command
        .args(["--variant=minbase", "--format=null"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--aptopt=Acquire::Languages \"none\"",
            // The build reads the sources as root.
            "--aptopt=APT::Sandbox::User \"root\"",
        ])
        .arg(format!(
            "--customize-hook=cp -r {} \"$1/lab-emulator\"",
            shell(sources)
        ))
        .arg("--customize-hook=chroot \"$1\" /lab-emulator/build")
        .arg(format!(
            "--customize-hook=cp -r \"$1\"/out/. {}",
            shell(part)
        ))
        .args([SUITE, "/dev/null"])
        .env("TMPDIR", part);
    progress(
        debian::from_mirror(&mut command),
        "building the emulator once, QEMU with six patches (about four minutes)",
        log,
    )
    .map_err(|error| debian::in_words(error, log))
    .context("the emulator could not be built")
}

/// Runs a build whose output has lines like `[123/1500] Compiling …`, and shows the progress.
fn progress(command: &mut Command, what: &str, log: &Path) -> Result<()> {
    eprintln!("lab: {what}");
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("     {elapsed:>4} {wide_bar} {pos}/{len} {msg:12!}")
            .expect("the template is right"),
    );
    bar.set_message("fetching");
    bar.enable_steady_tick(Duration::from_secs(1));
    let mut file =
        std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file.try_clone()?)
        .spawn()
        .context("cannot run mmdebstrap")?;
    let stdout = child.stdout.take().context("mmdebstrap has no output")?;
    let mut told = 0;
    for line in BufReader::new(stdout).split(b'\n') {
        let mut line = line?;
        line.push(b'\n');
        file.write_all(&line)?;
        let Some((done, all)) = steps(&String::from_utf8_lossy(&line)) else {
            continue;
        };
        bar.set_message("compiling");
        bar.set_length(all);
        bar.set_position(done);
        // Without a terminal there is no bar: every quarter is printed instead.
        let quarter = done * 4 / all.max(1);
        if quarter > told && !std::io::stderr().is_terminal() {
            eprintln!("lab: {done} of {all} files compiled");
        }
        told = quarter;
    }
    let status = child.wait()?;
    bar.finish_and_clear();
    if !status.success() {
        bail!("mmdebstrap: {status}\n{}", tool::tail(log, 30));
    }
    Ok(())
}

/// Returns the two numbers at the beginning of a line of ninja's output.
fn steps(line: &str) -> Option<(u64, u64)> {
    let (done, all) = line.strip_prefix('[')?.split_once(']')?.0.split_once('/')?;
    Some((done.parse().ok()?, all.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninja_says_how_far_it_is() {
        assert_eq!(steps("[12/340] Compiling C object x.o\n"), Some((12, 340)));
        assert_eq!(steps("[info] nothing\n"), None);
        assert_eq!(steps("dpkg: [1/2"), None);
    }
}
