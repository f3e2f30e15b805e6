//! A run of named, timed steps.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::counts::Counts;
use super::report;
use crate::paths;

/// The steps that have run so far, and their results.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    counts: Counts,
    done: Vec<Done>,
}

/// A step that has run.
#[derive(Debug)]
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
        if self.done.iter().all(|done| done.good) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
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
