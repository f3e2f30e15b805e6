//! `cargo xtask demo`: what becomes of real domains on a real Xen, told and checked by `tests/demo`.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::cargo::Cargo;
use crate::lab::{Hardware, Lab};
use crate::test::explain;
use crate::xen::Xen;

/// Seconds after which the demo is taken for hung; it takes two minutes.
const LIMIT: u32 = 900;

/// How to show it.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Xen version of the lab
    #[arg(long, default_value = "4.17")]
    xen: Xen,
    /// Hide xl and its companions in dom0
    #[arg(long)]
    without_xl: bool,
}

/// Builds, starts the lab, and runs the demo in its dom0.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    println!(
        "demo: building domainmgr and the demo for Xen {}",
        options.xen
    );
    let cargo = Cargo::for_lab(options.xen)?;
    let mut programs = cargo.programs(&["build", "--package", "domainmgr", "--bins"])?;
    programs.extend(cargo.programs(&[
        "test",
        "--no-run",
        "--package",
        "libxl-toolstack",
        "--test",
        "demo",
    ])?);
    let begin = Instant::now();
    let lab = Lab::start(options.xen, Hardware::Devices)?;
    for program in &programs {
        lab.put(&program.path, &program.name)?;
    }
    if options.without_xl {
        lab.hide_xl()?;
    }
    let status = lab.run(&format!(
        "cd /tmp && timeout --kill-after=10 {LIMIT} /share/bin/demo"
    ))?;
    if status.success() {
        println!(
            "demo: took {:.0} s once built",
            begin.elapsed().as_secs_f64()
        );
        return Ok(ExitCode::SUCCESS);
    }
    explain(&lab, options.xen);
    println!("demo: it did not come out right ({status})");
    Ok(ExitCode::FAILURE)
}
