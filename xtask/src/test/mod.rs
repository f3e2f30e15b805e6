//! `cargo xtask test`: every check and test.

mod beside;
mod cases;
mod counts;
pub(crate) mod libtest;
mod live;
mod local;
mod loom;
mod oldest;
mod report;
mod sanitizer;
mod steps;
mod valgrind;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use self::beside::Beside;
pub(crate) use self::counts::Counts;
use self::live::Setting;
use self::sanitizer::Sanitizer;
use self::steps::Steps;
use crate::api::{self, Verdict};
use crate::cargo::{self, Cargo, Program};
use crate::lab::{self, Accel, Hardware};
use crate::package;
use crate::setup;
use crate::xen::Xen;

/// Which labs the live tests run in.
#[derive(ValueEnum, Debug, Clone, Copy)]
pub(crate) enum Labs {
    /// Debian 12
    #[value(name = "4.17")]
    V4_17,
    /// Debian 13
    #[value(name = "4.20")]
    V4_20,
    /// One after the other
    All,
}

/// Arguments that build everything.
///
/// Tests that run elsewhere are not part of `--all-targets`, and cannot be named together with it. The build always covers the whole
/// workspace: building one package alone would give another one other features, and everything would be compiled again.
const BOTH: [&[&str]; 2] = [
    &["--workspace", "--all-targets"],
    &["--workspace", "--test=live", "--test=demo", "--test=bench"],
];

/// What to run.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Leave the live tests out
    #[arg(long)]
    quick: bool,
    /// Run nothing but the builds of other kinds: fewer features, the documents, the Debian package, the oldest Rust, the oldest and the
    /// newest Xen
    #[arg(long, conflicts_with_all = ["quick", "live", "devices", "large", "valgrind", "loom", "sanitize", "package", "arguments"])]
    builds: bool,
    /// Only build the parts of the lab: the emulator and dom0's image
    #[arg(long, hide = true, conflicts_with = "builds")]
    parts: bool,
    /// Write the results of `builds` or `parts` to this file, and no summary
    #[arg(long, hide = true)]
    results: Option<PathBuf>,
    /// Run nothing but the live tests
    #[arg(long, conflicts_with = "quick")]
    live: bool,
    /// Of the live tests, run only those of device assignment, which need a lab with an IOMMU, and those that nothing may run beside
    #[arg(long, conflicts_with = "quick")]
    devices: bool,
    /// Of the live tests, run only that of a thousand domains, which needs a lab of 12 GiB and takes half an hour
    #[arg(long, conflicts_with_all = ["quick", "devices"])]
    large: bool,
    /// Of the live tests, run only those of two hosts, between which guests move; 2 is the only number
    #[arg(long, value_name = "2", value_parser = clap::value_parser!(u8).range(2..=2), conflicts_with_all = ["quick", "devices", "large"])]
    hosts: Option<u8>,
    /// Run nothing but the unit tests of the libxl crates, under valgrind
    #[arg(long, conflicts_with_all = ["quick", "live", "devices"])]
    valgrind: bool,
    /// Run nothing but loom's models of what threads share in libxl
    #[arg(long, conflicts_with_all = ["quick", "live", "devices", "valgrind"])]
    loom: bool,
    /// Run nothing but live tests, with a sanitizer: those that are named, or a choice of them
    #[arg(long, value_name = "SANITIZER", num_args = 0..=1, require_equals = true, default_missing_value = "address", conflicts_with_all = ["quick", "devices", "loom"])]
    sanitize: Option<Sanitizer>,
    /// Run nothing but the story of the Debian package, in a dom0 with systemd: installed, upgraded, the host restarted and switched off
    #[arg(long, conflicts_with_all = ["quick", "live", "devices", "valgrind", "sanitize", "arguments"])]
    package: bool,
    /// Xen version of the lab for the live tests
    #[arg(long, default_value = "4.17")]
    xen: Labs,
    /// Hardware virtualisation or emulation for the lab
    #[arg(long, value_enum, default_value = "auto")]
    accel: Accel,
    /// Hide xl and its companions in dom0 from the live tests
    #[arg(long)]
    without_xl: bool,
    /// For the live tests' runner, such as part of a test's name
    #[arg(last = true, conflicts_with_all = ["quick", "valgrind"])]
    arguments: Vec<String>,
}

/// Runs all steps that were asked for, also after a failure. The exit code is zero only if nothing failed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let labs = match options.xen {
        Labs::V4_17 => &[Xen::V4_17][..],
        Labs::V4_20 => &[Xen::V4_20],
        Labs::All => &[Xen::V4_17, Xen::V4_20],
    };
    if options.package {
        let mut steps = Steps::default();
        steps.run("Debian package on a host with systemd", || {
            package::story::run(options.accel)
        });
        return Ok(steps.finish());
    }
    if options.builds || options.parts {
        let mut steps = Steps::default();
        if options.builds {
            builds(&mut steps);
        }
        if options.parts {
            parts(&mut steps, labs[0]);
        }
        return match &options.results {
            Some(file) => steps.write(file),
            None => Ok(steps.finish()),
        };
    }
    let live = !options.quick && !options.loom && (!options.valgrind || options.sanitize.is_some());
    if live {
        // Checked before anything that takes long.
        for &xen in labs {
            lab::check_room(xen)?;
        }
    }
    let mut steps = Steps::default();
    let part = options.live
        || options.devices
        || options.large
        || options.hosts.is_some()
        || options.valgrind
        || options.sanitize.is_some();
    let all = !part && !options.loom;
    let mut parts = None;
    if all {
        parts = live
            .then(|| Beside::start("parts of the lab", &["--parts", "--xen", labs[0].as_str()]));
        checks(&mut steps);
    }
    if options.loom {
        steps.run("models of what threads share", loom::run);
    }
    if options.valgrind {
        steps.run("unit tests under valgrind", valgrind::run);
    }
    if let Some(Sanitizer::Thread) = options.sanitize {
        steps.run("tests of libxl with the thread sanitizer", || {
            Sanitizer::Thread.without_xen()
        });
    }
    let mut builds_left = all;
    for &xen in if live { labs } else { &[] } {
        let mut programs = None;
        steps.run(&format!("programs for the dom0 of Xen {xen}"), || {
            programs = Some(live::programs(xen, options.sanitize)?);
            Ok(Counts::default())
        });
        steps.take(parts.take());
        let Some(programs) = programs else { continue };
        // Tests that are named run without those of devices, beside which the builds would be.
        let with_builds = builds_left && options.arguments.is_empty();
        in_lab(&mut steps, options, xen, &programs, with_builds);
        builds_left &= !with_builds;
    }
    if builds_left {
        builds(&mut steps);
    }
    Ok(steps.finish())
}

/// Runs the live tests that were asked for, with these programs, and beside the last of them the builds of other kinds, if these are asked
/// for.
fn in_lab(steps: &mut Steps, options: &Options, xen: Xen, programs: &[Program], with_builds: bool) {
    let arguments = &options.arguments;
    let plain = Setting {
        xen,
        hardware: Hardware::Plain,
        accel: options.accel,
        without_xl: options.without_xl,
        sanitize: options.sanitize,
    };
    if let Some(sanitizer) = options.sanitize {
        steps.run(&format!("live tests with a sanitizer on Xen {xen}"), || {
            live::run(
                plain.with(sanitizer.hardware()),
                programs,
                &sanitizer.tests(arguments),
            )
        });
    } else if options.hosts.is_some() {
        steps.run(&format!("live tests of two hosts with Xen {xen}"), || {
            live::run_on_pair(xen, options.accel, programs, arguments)
        });
    } else if options.large {
        steps.run(
            &format!("live test of a thousand domains on Xen {xen}"),
            || live::run(plain.with(Hardware::Large), programs, arguments),
        );
    } else {
        if !options.devices {
            steps.run(&format!("live tests on Xen {xen}"), || {
                live::run(plain, programs, arguments)
            });
        }
        // Arguments for the tests' runner select tests of one of the two.
        if options.devices || arguments.is_empty() {
            // They come one after the other, and leave more of the processors idle than those above.
            let beside = with_builds.then(|| Beside::start("other builds", &["--builds"]));
            steps.run(
                &format!("live tests of device assignment, and alone, on Xen {xen}"),
                || live::run(plain.with(Hardware::Devices), programs, arguments),
            );
            // Before the programs for another Xen: some are built in the same directory.
            steps.take(beside);
        }
    }
}

/// Builds what the lab consists of, which the first start of a lab would do.
fn parts(steps: &mut Steps, xen: Xen) {
    steps.run(&format!("emulator, and image of Xen {xen}"), || {
        lab::Reservation::of(xen)?.prepare()?;
        Ok(Counts::default())
    });
}

/// Runs the checks that work on any machine, and the tests.
fn checks(steps: &mut Steps) {
    steps.run("tools", || setup::components().map(|()| Counts::default()));
    steps.run("set-up adds packages, and changes none", setup::rehearse);
    let cargo = Cargo::native();
    steps.run("format", || {
        steps::succeed(&mut cargo.command(&["fmt", "--all", "--check"]))
    });
    steps.run("clippy", || {
        for targets in BOTH {
            let words = [&["clippy"], targets, &["--", "-D", "warnings"]].concat();
            steps::succeed(&mut cargo.command(&words))?;
        }
        Ok(Counts::default())
    });
    steps.run("unit, doc and process tests", || {
        let mut counts = local::run(&cargo)?;
        // rustdoc has a runner of its own, which counts the tests.
        counts += counts::of("doc", &mut cargo.command(&["test", "--workspace", "--doc"]))?;
        Ok(counts)
    });
    steps.run("functions of libxl that are wrapped", || {
        // This test also runs above; here its table is shown.
        let coverage = [
            "test",
            "--workspace",
            "--test=coverage",
            "--",
            "--show-output",
        ];
        steps::succeed(&mut cargo.command(&coverage))
    });
}

/// Runs the builds of other kinds than the one that is tested, and their tests.
fn builds(steps: &mut Steps) {
    let cargo = Cargo::native();
    steps.run("features of libxl, none and each alone", || {
        // Clippy checks the combination of all features among the first steps.
        for features in ["--features=", "--features=log", "--features=xlutil"] {
            let words = [
                "clippy",
                "--package=libxl",
                "--no-default-features",
                features,
            ];
            let words = [&words[..], &["--", "-D", "warnings"]].concat();
            steps::succeed(&mut cargo.command(&words))?;
        }
        Ok(Counts::default())
    });
    steps.run("documentation", || {
        let mut doc = cargo.command(&["doc", "--workspace", "--no-deps"]);
        steps::succeed(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.run(
        "public API of libxl-sys and libxl, as listed",
        || match api::check()? {
            Verdict::Same => Ok(Counts::default()),
            Verdict::LeftOut => Ok(Counts {
                skipped: 1,
                ..Counts::default()
            }),
            Verdict::Differs(words) => bail!(words),
        },
    );
    steps.run("Debian package", package::test);
    steps.run(&format!("build with Rust {}", oldest::RUST), || {
        oldest::check(&BOTH)
    });
    // The oldest and the newest supported headers. The system's own are in between.
    for (version, suite) in [("4.14", "bullseye"), ("4.20", "trixie")] {
        steps.run(&format!("build and tests against Xen {version}"), || {
            let cargo = Cargo::against(version, suite)?;
            // Everything that uses libxl. The tests of domainmgr do not depend on its version, and the tests of libxl below are linked
            // with it.
            steps::succeed(cargo::ready_soon(&mut cargo.command(&[
                "check",
                "--workspace",
                "--bin=domainmgr",
                "--examples",
                "--test=live",
                "--test=demo",
                "--test=bench",
            ])))?;
            // Includes the coverage of the headers and the layout of their structures.
            let mut tests = cargo.test(&[
                "--package=libxl-sys",
                "--package=libxl",
                "--lib",
                "--tests",
                "--no-fail-fast",
            ]);
            counts::of(
                &format!("against Xen {version}"),
                cargo::ready_soon(tests.arg("--show-output")),
            )
        });
    }
}
