//! The live tests: built here, run in a lab's dom0.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::cases::Cases;
use super::counts::{self, Counts};
use super::libtest;
use super::sanitizer::Sanitizer;
use crate::cargo::{AGENT, Cargo, Program};
use crate::lab::pair::Pair;
use crate::lab::{Accel, Hardware, Lab, PROGRAMS};
use crate::xen::Xen;
use crate::{paths, tool};

/// Time limit of the live tests, in seconds. A program that exceeds it counts as hung.
///
/// The tests take half an hour and more, and this varies by half between computers and loads. A single test that hangs ends much earlier
/// because of its own limits.
const LIMIT: u32 = 3600;

/// Variable with the number of points at which the agent is killed. Each point adds [`CRASH_POINT_TAKES`] seconds to the limit.
const CRASH_POINTS: &str = "LAB_CRASH_POINTS";
const CRASH_POINT_TAKES: u32 = 20;

/// The tests that need devices to give away. They run on a computer that has such devices. There is one of each kind, so tests cannot
/// share it.
const DEVICES: &str = "devices::";

/// The tests with a thousand domains.
const LARGE: &str = "thousand::";

/// The tests that need two hosts.
const TWO_HOSTS: &str = "two_hosts::";

/// The tests that need a quiet dom0. They run on the same computer, one after the other.
const QUIET: &str = "alone::";

const THREADS: &str = "--test-threads";

const ALONE: &str = "--test-threads=1";

/// Number of tests that run beside each other by default: one more than dom0 has processors, because many wait for the time limits of
/// libxl or of the agent.
///
/// With four at once, libxl has ended scripts that had made no progress in their 40 s.
const BESIDE: u32 = 3;

/// File in dom0 for the tests that end early because xl is missing, one line each.
const NOT_RUN: &str = "/share/not-run";

/// The lab to run the tests in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Xen version of the lab.
    pub(crate) xen: Xen,
    /// Hardware of the lab's computer.
    pub(crate) hardware: Hardware,
    /// Hardware virtualisation or emulation.
    pub(crate) accel: Accel,
    /// Hides xl in dom0.
    pub(crate) without_xl: bool,
    /// The sanitizer that the programs were built with.
    pub(crate) sanitize: Option<Sanitizer>,
}

impl Setting {
    /// Returns the same, with other hardware.
    pub(crate) fn with(self, hardware: Hardware) -> Self {
        Self { hardware, ..self }
    }
}

/// Builds for a Xen version what the tests need in dom0.
pub(crate) fn programs(xen: Xen, sanitize: Option<Sanitizer>) -> Result<Vec<Program>> {
    let cargo = Cargo::for_lab(xen)?;
    let mut programs =
        cargo.programs(&[&["build", "--workspace", "--examples"], &AGENT[..]].concat())?;
    programs.extend(match sanitize {
        Some(sanitizer) => sanitizer.programs(&cargo, xen)?,
        None => cargo.programs(&["test", "--no-run", "--workspace", "--test=live"])?,
    });
    Ok(programs)
}

/// Runs the tests of two hosts, on the first of a pair of labs.
pub(crate) fn run_on_pair(
    xen: Xen,
    accel: Accel,
    programs: &[Program],
    asked: &[String],
) -> Result<Counts> {
    let pair = Pair::start(xen, accel)?;
    pair.install(programs.iter().map(Program::named))?;
    let words = words_of_pair(asked);
    let suite = format!("live on two hosts with Xen {xen}");
    let counts = counts::of(&suite, &mut live(pair.alpha(), false, &[], &words))?;
    print!("{}", Cases::among(&counts.tests));
    Ok(counts)
}

/// Returns the arguments for the tests' runner. It runs a test if one of several words matches.
fn words_of_pair(asked: &[String]) -> Vec<String> {
    let mut words = vec![ALONE.to_owned()];
    if asked.iter().all(|word| word.starts_with('-')) {
        words.push(TWO_HOSTS.to_owned());
    }
    words.extend(asked.iter().map(|word| {
        if word.starts_with('-') || word.starts_with(TWO_HOSTS) {
            word.clone()
        } else {
            format!("{TWO_HOSTS}{word}")
        }
    }));
    words
}

/// Starts a lab, and runs the tests there. The counts are those of the test program.
pub(crate) fn run(setting: Setting, programs: &[Program], arguments: &[String]) -> Result<Counts> {
    let Setting {
        xen,
        hardware,
        accel,
        without_xl,
        sanitize,
    } = setting;
    let mut lab = Lab::start(xen, hardware, accel)?;
    lab.install(programs.iter().map(Program::named))?;
    if without_xl {
        lab.hide_xl()?;
        lab.output(&format!("rm -f {NOT_RUN}"))?;
    }
    let arguments = words(hardware, arguments);
    let under = sanitize.map(Sanitizer::words);
    let under = under.as_ref().map_or(&[][..], |words| words);
    let suite = match hardware {
        Hardware::Plain => format!("live on Xen {xen}"),
        Hardware::Devices => format!("live with devices on Xen {xen}"),
        Hardware::Large => format!("live with a thousand domains on Xen {xen}"),
        Hardware::Sanitizer => format!("live with the thread sanitizer on Xen {xen}"),
        Hardware::Systemd => format!("live with systemd on Xen {xen}"),
    };
    let mut counts = counts::of(&suite, &mut live(&lab, without_xl, under, &arguments))?;
    if counts.broken.is_some() || counts.failed > 0 {
        explain(&mut lab, xen);
    }
    if let Some(why) = &mut counts.broken {
        // Those of timeout(1) and ssh(1).
        if why.contains("exit status: 124") || why.contains("exit status: 137") {
            let limit = limit(std::env::var(CRASH_POINTS).ok().as_deref());
            why.push_str(&format!(": they were still running after {limit} s"));
        } else if why.contains("exit status: 255") {
            why.push_str(&format!(
                ": the lab does not answer any more; {}",
                lab.last_words()
            ));
        }
    }
    if without_xl {
        let not_run = lab.output(&format!("sort -u {NOT_RUN} 2>/dev/null; true"))?;
        leave_out(&mut counts, &not_run);
    }
    print!("{}", Cases::among(&counts.tests));
    Ok(counts)
}

/// Counts the tests that ended early as skipped, and not as passed. Each line of `not_run` names one of them.
fn leave_out(counts: &mut Counts, not_run: &str) {
    let number = not_run.lines().count() as u64;
    if number > 0 {
        println!(
            "\n{number} tests are about xl, and did not run without it:\n{}",
            not_run.trim_end()
        );
    }
    counts.passed = counts.passed.saturating_sub(number);
    counts.skipped += number;
}

/// Returns the arguments for the tests' runner: those that the hardware requires, and those that were asked for.
fn words(hardware: Hardware, asked: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    match hardware {
        Hardware::Large => {
            words.extend([LARGE, ALONE, "--nocapture"].map(str::to_owned));
            words.extend_from_slice(asked);
        }
        Hardware::Plain | Hardware::Sanitizer | Hardware::Systemd => {
            for elsewhere in [DEVICES, QUIET, LARGE, TWO_HOSTS] {
                words.extend(["--skip", elsewhere].map(str::to_owned));
            }
            if !asked.iter().any(|word| word.starts_with(THREADS)) {
                words.push(format!("{THREADS}={BESIDE}"));
            }
            words.extend_from_slice(asked);
        }
        Hardware::Devices => {
            words.push(ALONE.to_owned());
            if asked.is_empty() {
                words.extend([DEVICES, QUIET].map(str::to_owned));
            }
            // The runner runs a test if one of several words matches.
            words.extend(asked.iter().map(|word| {
                if ["-", DEVICES, QUIET]
                    .iter()
                    .any(|start| word.starts_with(start))
                {
                    word.clone()
                } else {
                    format!("{DEVICES}{word}")
                }
            }));
        }
    }
    words
}

/// Variables that set the number of cases in random tests, or include cases that are left out otherwise. The tests in the lab get them, too.
const COUNTS: [&str; 8] = [
    "LAB_CUTS",
    "LAB_SCRIPTS",
    "LAB_THOUSAND",
    "LAB_CONFIGS",
    "LAB_LIMITS",
    "XLCFG_RANDOM",
    "PROPTEST_CASES",
    CRASH_POINTS,
];

/// Time limit of the live tests, in seconds, given the value of [`CRASH_POINTS`].
fn limit(crash_points: Option<&str>) -> u32 {
    let points: u32 = crash_points.and_then(|n| n.parse().ok()).unwrap_or(0);
    LIMIT.saturating_add(points.saturating_mul(CRASH_POINT_TAKES))
}

/// Returns the command that runs the tests in dom0, prefixed with `under`, with a time limit.
fn live(lab: &Lab, without_xl: bool, under: &[String], arguments: &[String]) -> Command {
    let program = format!("{PROGRAMS}/live");
    let words: Vec<String> = under
        .iter()
        .map(String::as_str)
        .chain([program.as_str()])
        .chain(libtest::ARGUMENTS)
        .chain(arguments.iter().map(String::as_str))
        .map(tool::quote)
        .collect();
    let xl = if without_xl {
        format!("LAB_WITHOUT_XL={NOT_RUN} ")
    } else {
        String::new()
    };
    let counts: String = COUNTS
        .iter()
        .filter_map(|name| {
            Some(format!(
                "{name}={} ",
                tool::quote(&std::env::var(name).ok()?)
            ))
        })
        .collect();
    let limit = limit(std::env::var(CRASH_POINTS).ok().as_deref());
    // Saved guests are there, several at once. By default it takes half of dom0's memory, most of which is free.
    let line = format!(
        "mount -o remount,size=80% /tmp && cd /tmp && {xl}{counts}{} RUST_BACKTRACE=1 PATH={PROGRAMS}:$PATH timeout --kill-after=10 {limit} {}",
        libtest::SWITCH,
        words.join(" ")
    );
    // A second limit around ssh, in case all of dom0 hangs.
    lab.command_within(limit + 60, &line)
}

/// Prints logs that may explain a failure, and keeps all of them under `target/lab/VERSION/results`.
fn explain(lab: &mut Lab, xen: Xen) {
    let results = paths::xen_dir(xen).join("results");
    if let Err(error) = lab.collect(&results) {
        println!("the logs of dom0 could not be had: {error:#}");
    }
    show(&results);
    println!("\nlogs: {}", results.display());
}

/// Prints the ends of the logs.
fn show(results: &Path) {
    let mut files: Vec<_> = ["serial.log", "xen-dmesg", "domains", "dmesg"]
        .iter()
        .map(|name| results.join(name))
        .collect();
    if let Ok(entries) = fs::read_dir(results.join("xen")) {
        files.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_file()),
        );
    }
    for file in files {
        let tail = tool::tail(&file, 15);
        if !tail.trim().is_empty() {
            println!("\n··· the end of {}\n{tail}", file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn words_choose_among_the_tests_of_one_computer() {
        assert_eq!(
            words(Hardware::Plain, &asked(&["save::"])),
            [
                "--skip",
                "devices::",
                "--skip",
                "alone::",
                "--skip",
                "thousand::",
                "--skip",
                "two_hosts::",
                "--test-threads=3",
                "save::"
            ]
        );
        assert_eq!(
            words(Hardware::Plain, &asked(&["--test-threads=1"])),
            [
                "--skip",
                "devices::",
                "--skip",
                "alone::",
                "--skip",
                "thousand::",
                "--skip",
                "two_hosts::",
                "--test-threads=1"
            ]
        );
        assert_eq!(
            words(Hardware::Devices, &[]),
            ["--test-threads=1", "devices::", "alone::"]
        );
        assert_eq!(
            words(
                Hardware::Devices,
                &asked(&["host::", "alone::ten", "--exact"])
            ),
            [
                "--test-threads=1",
                "devices::host::",
                "alone::ten",
                "--exact"
            ]
        );
    }

    #[test]
    fn words_choose_among_the_tests_of_two_hosts() {
        let nocapture = "--nocapture";
        assert_eq!(
            words_of_pair(&asked(&[nocapture])),
            [ALONE, "two_hosts::", nocapture]
        );
        assert_eq!(
            words_of_pair(&asked(&[nocapture, "a_cut"])),
            [ALONE, nocapture, "two_hosts::a_cut"]
        );
    }

    #[test]
    fn what_takes_long_when_it_is_asked_for_is_given_the_time() {
        assert_eq!(limit(None), LIMIT);
        assert_eq!(limit(Some("200")), LIMIT + 4000);
        assert_eq!(
            limit(Some("many")),
            LIMIT,
            "the test says what it thinks of that"
        );
    }

    #[test]
    fn what_did_not_run_has_not_passed() {
        let mut counts = Counts {
            passed: 9,
            ..Counts::default()
        };
        leave_out(&mut counts, "tests/live/a.rs:3:5\ntests/live/b.rs:9:5\n");
        assert_eq!(counts.to_string(), "7 passed, 0 failed, 2 skipped");
        leave_out(&mut counts, "");
        assert_eq!(counts.passed, 7);
    }
}
