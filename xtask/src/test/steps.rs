//! A run of named, timed steps.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::beside::Beside;
use super::counts::Counts;
use super::report;
use crate::paths;

/// The steps that have run so far, and their results.
#[derive(Serialize, Deserialize, Debug, Default)]
pub(crate) struct Steps {
    counts: Counts,
    done: Vec<Done>,
}

/// A step that has run.
#[derive(Serialize, Deserialize, Debug)]
struct Done {
    name: String,
    seconds: f32,
    good: bool,
    /// Why it failed, if not because of a test.
    why: Option<String>,
}

impl Steps {
    /// Runs one step under a heading. A failure is recorded, and the next step still runs.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Counts>) {
        println!("\n=== {name}");
        let begin = Instant::now();
        let counts = step().unwrap_or_else(|error| Counts {
            broken: Some(format!("{error:#}")),
            ..Counts::default()
        });
        let good = counts.broken.is_none() && counts.failed == 0;
        if let Some(why) = &counts.broken {
            println!("{why}");
        }
        let seconds = begin.elapsed().as_secs_f32();
        println!(
            "--- {name}: {} ({seconds:.0} s)",
            if good { "ok" } else { "FAILED" }
        );
        self.done.push(Done {
            name: name.to_owned(),
            seconds,
            good,
            why: counts.broken.clone(),
        });
        self.counts += counts;
    }

    /// Waits for steps that run beside these, if there are any, and adds them.
    pub(super) fn take(&mut self, beside: Option<Result<Beside>>) {
        match beside.map(|beside| beside.and_then(Beside::finish)) {
            None => {}
            Some(Ok(other)) => {
                self.done.extend(other.done);
                self.counts += other.counts;
            }
            Some(Err(error)) => self.run("what ran beside", || Err(error)),
        }
    }

    /// Writes the steps to a file, for the program that adds them to its own.
    pub(crate) fn write(&self, file: &Path) -> Result<ExitCode> {
        fs::write(file, serde_json::to_vec(self)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(self.exit_code())
    }

    fn exit_code(&self) -> ExitCode {
        if self.done.iter().all(|done| done.good) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// Prints the table of steps and, as the last line, the sum of the test runners' counts.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\n=== summary");
        for done in &self.done {
            let word = if done.good { "ok" } else { "FAILED" };
            println!("{word:6} {:5.0} s  {}", done.seconds, done.name);
            if let Some(why) = &done.why {
                println!(
                    "                {}",
                    why.replace('\n', "\n                ")
                );
            }
        }
        print!("{}", report::failed(&self.counts.tests));
        if !self.counts.tests.is_empty() {
            print!("{}", report::slowest(&self.counts.tests));
            match report::write(&self.counts.tests, &paths::root().join("target/test")) {
                Ok(path) => println!("\neach test, as JUnit XML: {}", path.display()),
                Err(error) => println!("\nno JUnit XML: {error:#}"),
            }
        }
        println!("\n{}", self.counts);
        self.exit_code()
    }
}

/// Runs a step that is a single program without tests to count.
pub(crate) fn succeed(command: &mut Command) -> Result<Counts> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(Counts::default())
}
