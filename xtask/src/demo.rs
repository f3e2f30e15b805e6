//! `cargo xtask demo`: runs `tests/demo`, which shows and checks the lives of real domains on a real Xen.

mod picture;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo::{AGENT, Cargo, Program};
use crate::lab::pair::Pair;
use crate::lab::{Accel, Hardware, Lab, PROGRAMS, Reservation};
use crate::xen::Xen;
use crate::{paths, tool};

/// Time limit of the demo, in seconds. It takes a minute and a half, and each wait in it has a limit of its own.
const LIMIT: u32 = 1800;

/// How to show it.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Xen version of the lab
    #[arg(long, default_value = "4.17")]
    xen: Xen,
    /// Hardware virtualisation or emulation for the lab
    #[arg(long, value_enum, default_value = "auto")]
    accel: Accel,
    /// Hide xl and its companions in dom0
    #[arg(long, conflicts_with = "hosts")]
    without_xl: bool,
    /// Number of hosts: with 2, guests move from one to the other, and the cable between them is pulled on the way
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    hosts: Option<u8>,
}

/// The lab, or both.
enum Labs {
    One(Lab),
    Two(Pair),
}

impl Labs {
    /// The one in which commands run.
    fn first(&mut self) -> &mut Lab {
        match self {
            Self::One(lab) => lab,
            Self::Two(pair) => pair.alpha_mut(),
        }
    }
}

/// Builds, starts the lab, and runs the demo in its dom0.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let xen = options.xen;
    // Reserves the lab before anything that takes long.
    let reservation = Reservation::of(xen)?;
    println!("demo: building domainmgr and the demo for Xen {xen}");
    let cargo = Cargo::for_lab(xen)?;
    let mut programs = cargo.programs(&[&["build", "--workspace"], &AGENT[..]].concat())?;
    programs.extend(cargo.programs(&["test", "--no-run", "--workspace", "--test=demo"])?);
    let two = options.hosts == Some(2);
    let (begin, mut labs);
    if two {
        drop(reservation);
        let pair = Pair::start(xen, options.accel)?;
        (begin, labs) = (Instant::now(), Labs::Two(pair));
    } else {
        reservation.prepare()?;
        begin = Instant::now();
        labs = Labs::One(reservation.start(Hardware::Devices, options.accel)?);
    }
    let programs = programs.iter().map(Program::named);
    match &labs {
        Labs::One(lab) => lab.install(programs)?,
        Labs::Two(pair) => pair.install(programs)?,
    }
    let lab = labs.first();
    if options.without_xl {
        lab.hide_xl()?;
    }
    let out = paths::root().join("target/demo");
    let picture = out.join(if two { "two-hosts.svg" } else { "timeline.svg" });
    // A picture of an earlier run would look like one of this run.
    let _ = fs::remove_file(&picture);
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let line = format!(
        "rm -rf /share/demo && cd /tmp && timeout --kill-after=10 {LIMIT} {PROGRAMS}/demo /share/demo {}",
        if two { "two-hosts" } else { "" }
    );
    let status = lab
        .command_within(LIMIT + 60, &line)
        .status()
        .context("cannot run ssh")?;
    let seconds = begin.elapsed().as_secs_f64();
    let made = paths::xen_dir(xen).join("share/demo");
    match draw(&made, &picture, &format!("Xen {xen}")) {
        Ok(()) => println!("demo: the run as a picture: {}", picture.display()),
        Err(error) => println!("demo: no picture of the run: {error:#}"),
    }
    if status.success() {
        println!("demo: took {seconds:.0} s once built");
        return Ok(ExitCode::SUCCESS);
    }
    println!("demo: failed ({status})");
    match pack(lab, xen, &made, &out) {
        Ok(file) => println!(
            "demo: logs, statuses and Xen's own log are in {}",
            file.display()
        ),
        Err(error) => println!("demo: cannot collect the logs: {error:#}"),
    }
    Ok(ExitCode::FAILURE)
}

/// Draws the recorded events.
fn draw(made: &Path, picture: &Path, title: &str) -> Result<()> {
    let record = fs::read_to_string(made.join("events.json")).context("it recorded no events")?;
    picture::draw(&record, title, picture)
}

/// Packs everything that explains a failure into one file.
fn pack(lab: &mut Lab, xen: Xen, made: &Path, out: &Path) -> Result<PathBuf> {
    let results = paths::xen_dir(xen).join("results");
    if let Err(error) = lab.collect(&results) {
        println!("demo: the logs of dom0 could not be had: {error:#}");
    }
    if made.exists() {
        fs::rename(made, results.join("demo"))?;
    }
    let file = out.join(format!("failure-{xen}.tar.gz"));
    tool::output(
        Command::new("tar")
            .arg("--create")
            .arg("--gzip")
            .arg("--file")
            .arg(&file)
            .arg("--directory")
            .arg(&results)
            .arg("."),
    )?;
    Ok(file)
}
