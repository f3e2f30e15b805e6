//! `cargo xtask bench`: runs the benchmarks in a lab's dom0.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cargo::{Cargo, Program};
use crate::lab::{self, Accel, Hardware, Lab, PROGRAMS};
use crate::xen::Xen;
use crate::{paths, tool};

/// Time limit of the benchmarks, in seconds. A run that exceeds it counts as hung.
const LIMIT: u32 = 3000;

/// Most domains that the plain lab has memory for.
const PLAIN: usize = 100;

/// Parts of the benchmarks.
const PARTS: [&str; 4] = ["library", "agent", "clients", "devices"];

/// Programs in C that do the same with libxl.
const IN_C: [&str; 2] = ["peer", "manager"];

/// What to measure, and where.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Xen version of the lab
    #[arg(long, default_value = "4.17")]
    xen: Xen,
    /// Hardware virtualisation or emulation for the lab
    #[arg(long, value_enum, default_value = "auto")]
    accel: Accel,
    /// The largest number of domains, of 1, 10, 100 and 1000; more than 100 take a lab of 12 GiB
    #[arg(long, default_value_t = 100)]
    domains: usize,
    /// Only this part
    #[arg(last = true, value_parser = PARTS)]
    part: Option<String>,
}

/// Builds and runs the benchmarks, and copies the figures to `target/bench`.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let xen = options.xen;
    lab::check_room(xen)?;
    let cargo = Cargo::for_lab(xen)?;
    let mut programs = cargo.programs(&[
        "build",
        "--release",
        "--package=domainmgr",
        "--package=xen-hotplug",
        "--bins",
    ])?;
    programs.extend(cargo.programs(&[
        "test",
        "--release",
        "--no-run",
        "--package=libxl-toolstack",
        "--test=bench",
    ])?);
    let dir = paths::xen_dir(xen);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for name in IN_C {
        tool::output(
            cargo
                .cc()
                .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
                .arg(dir.join(name))
                .arg(paths::root().join(format!("tests/bench/{name}.c")))
                .args(["-lxenlight", "-lxentoollog"]),
        )?;
    }

    let hardware = if options.domains > PLAIN {
        Hardware::Large
    } else {
        Hardware::Plain
    };
    let lab = Lab::start(xen, hardware, options.accel)?;
    let in_c = IN_C.map(|name| (dir.join(name), name));
    lab.install(
        programs
            .iter()
            .map(Program::named)
            .chain(in_c.iter().map(|(path, name)| (path.as_path(), *name))),
    )?;
    println!("Xen {xen}");
    let part = options.part.as_deref().unwrap_or_default();
    let status = lab.run(&format!(
        "rm -rf /share/bench && cd /tmp && timeout --kill-after=10 {LIMIT} {PROGRAMS}/bench /share/bench {} {part}",
        options.domains
    ))?;

    let to = paths::root().join("target/bench");
    fs::create_dir_all(&to)?;
    for name in PARTS {
        let from = paths::xen_dir(xen).join(format!("share/bench/{name}.json"));
        if from.exists() {
            let to = to.join(format!("{name}-{xen}.json"));
            fs::copy(from, &to)?;
            println!("{}", to.display());
        }
    }
    Ok(tool::exit_code(status))
}

impl Cargo {
    /// Returns a C compiler command that finds libxl's headers and libraries. The caller starts it.
    fn cc(&self) -> Command {
        let mut command = Command::new("cc");
        if let Some(sysroot) = self.sysroot() {
            command
                .arg(format!("-I{}", sysroot.include.display()))
                .arg(format!("-L{}", sysroot.lib.display()))
                .arg("-Wl,--allow-shlib-undefined")
                .args(self.older_libc_options());
        }
        command
    }
}
