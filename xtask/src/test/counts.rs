//! Numbers of passed and failed tests, as reported by their runners.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::libtest::{self, Line, Outcome, Test};

/// Results of a step.
#[derive(Serialize, Deserialize, Debug, Default, Clone, PartialEq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were skipped.
    pub(crate) skipped: u64,
    /// The tests themselves, if the runner reports them one by one.
    pub(crate) tests: Vec<Test>,
    /// Why the step failed independently of its tests: a program that ended badly, and the tests that it was running.
    pub(crate) broken: Option<String>,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.tests.extend(other.tests);
        self.broken = match (self.broken.take(), other.broken) {
            (Some(first), Some(second)) => Some(format!("{first}; {second}")),
            (first, second) => first.or(second),
        };
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

impl Counts {
    /// Adds a finished test.
    fn count(&mut self, test: Test) {
        match test.outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Skipped => self.skipped += 1,
        }
        self.tests.push(test);
    }
}

/// Runs test programs, prints their output, and adds up their results.
///
/// The programs print JSON ([`libtest::ARGUMENTS`]), or text as rustdoc does. It is an error if no test has run.
pub(crate) fn of(suite: &str, command: &mut Command) -> Result<Counts> {
    let counts = of_some(suite, command)?;
    if counts.broken.is_none() && counts.passed + counts.failed == 0 {
        bail!("no test has run: is there none of that name?");
    }
    Ok(counts)
}

/// Same as [`of`], but it is no error if no test has run.
pub(crate) fn of_some(suite: &str, command: &mut Command) -> Result<Counts> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run the tests")?;
    let stdout = child.stdout.take().context("the tests have no output")?;
    let mut counts = Counts::default();
    let mut running = BTreeSet::new();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        match libtest::parse(suite, &line) {
            Line::Begun(name) => {
                running.insert(name);
            }
            Line::Over(test) => {
                running.remove(&test.name);
                println!("{}", test.line());
                if test.outcome == Outcome::Failed {
                    println!("{}", test.output.trim_end());
                } else if !test.output.trim().is_empty() {
                    println!("    {}", test.output.trim_end().replace('\n', "\n    "));
                }
                counts.count(test);
            }
            Line::Slow(name) => println!("test {name} has been running for over 60 seconds"),
            Line::End | Line::Noise => {}
            Line::Other => {
                println!("{line}");
                counts += parse(&line);
            }
        }
    }
    let status = child.wait()?;
    counts.broken = if !running.is_empty() {
        let running = Vec::from_iter(running).join(" and ");
        Some(format!("the tests ended with {status} while {running} ran"))
    } else if !status.success() && counts.failed == 0 {
        Some(format!("the tests ended with {status}"))
    } else {
        None
    };
    Ok(counts)
}

/// Parses a line like `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn parse(line: &str) -> Counts {
    let mut counts = Counts::default();
    let Some((_, results)) = line
        .split_once("test result: ")
        .and_then(|(_, rest)| rest.split_once(". "))
    else {
        return counts;
    };
    for result in results.split(';') {
        let mut words = result.split_whitespace();
        let (Some(Ok(number)), Some(what)) = (words.next().map(str::parse), words.next()) else {
            continue;
        };
        match what {
            "passed" => counts.passed = number,
            "failed" => counts.failed = number,
            "ignored" => counts.skipped = number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Result<Counts> {
        of("sh", Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn reads_the_runners_line_and_nothing_else() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.00s";
        assert_eq!(
            parse(line),
            Counts {
                passed: 5,
                failed: 2,
                skipped: 1,
                ..Counts::default()
            }
        );
        assert_eq!(parse("test a::b ... ok"), Counts::default());
        assert_eq!(parse("3 passed; 1 failed"), Counts::default());
    }

    #[test]
    fn adds_up_programs_and_notices_their_exit() -> Result<()> {
        let counts = sh(
            r#"echo '{ "type": "test", "name": "a", "event": "ok", "exec_time": 0.5 }'
            echo '{ "type": "test", "name": "b", "event": "failed", "exec_time": 1.5, "stdout": "why" }'
            echo '{ "type": "suite", "event": "failed", "passed": 1, "failed": 1, "ignored": 0 }'
            echo 'test result: ok. 2 passed; 0 failed; 1 ignored'; exit 3"#,
        )?;
        assert_eq!(counts.broken, None, "a failed test is the reason");
        assert_eq!(counts.to_string(), "3 passed, 1 failed, 1 skipped");
        assert_eq!(
            counts.tests.len(),
            2,
            "rustdoc does not say which they were"
        );
        Ok(())
    }

    #[test]
    fn a_program_that_dies_is_told_with_what_it_did() -> Result<()> {
        let begun = r#"echo '{ "type": "test", "event": "started", "name": "a" }'"#;
        let over = r#"echo '{ "type": "test", "name": "a", "event": "ok", "exec_time": 0.5 }'"#;
        let counts = sh(&format!("{begun}; kill -9 $$"))?;
        let why = counts.broken.unwrap_or_default();
        assert!(
            why.contains("signal: 9") && why.contains("while a ran"),
            "{why}"
        );
        let counts = sh(&format!("{begun}; {over}; exit 3"))?;
        let why = counts.broken.unwrap_or_default();
        assert_eq!(why, "the tests ended with exit status: 3");
        assert_eq!(sh(&format!("{begun}; {over}"))?.broken, None);
        Ok(())
    }

    #[test]
    fn a_run_without_a_test_is_no_success() {
        let error = sh(r#"echo '{ "type": "suite", "event": "ok", "passed": 0 }'"#).unwrap_err();
        assert!(error.to_string().contains("no test has run"), "{error}");
    }
}
