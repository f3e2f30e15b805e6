//! How many tests passed and failed, as their runners say.

use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// What a step found out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that their runner left out.
    pub(crate) skipped: u64,
    /// Of those that passed: which only at the second try.
    pub(crate) unsteady: Vec<String>,
    /// The step itself went wrong, whatever its tests say.
    pub(crate) broken: bool,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.unsteady.extend(other.unsteady);
        self.broken |= other.broken;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed", self.passed)?;
        if !self.unsteady.is_empty() {
            let names = self.unsteady.join(", ");
            write!(
                f,
                " ({} only at the second try: {names})",
                self.unsteady.len()
            )?;
        }
        write!(f, ", {} failed", self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Runs test programs, showing what they print, and adds up their results.
pub(crate) fn of(command: &mut Command) -> Result<Counts> {
    let (counts, _) = of_lines(command, |_| {})?;
    Ok(counts)
}

/// The same, with every line for somebody else, too, and how the command ended. It is an error if there was no test to run.
pub(crate) fn of_lines(
    command: &mut Command,
    mut see: impl FnMut(&str),
) -> Result<(Counts, ExitStatus)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run the tests")?;
    let stdout = child.stdout.take().context("the tests have no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts += parse(&line);
        see(&line);
    }
    let status = child.wait()?;
    if status.success() && counts.passed + counts.failed == 0 {
        bail!("no test has run: is there none of that name?");
    }
    counts.broken = !status.success();
    Ok((counts, status))
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
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
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; echo 'test result: ok. 1 passed; 1 failed'; exit 3";
        let counts = of(Command::new("sh").args(["-c", script]))?;
        assert_eq!(
            counts,
            Counts {
                passed: 3,
                failed: 1,
                broken: true,
                ..Counts::default()
            }
        );
        assert_eq!(counts.to_string(), "3 passed, 1 failed");
        Ok(())
    }

    #[test]
    fn a_run_without_a_test_is_no_success() {
        let script =
            "echo 'test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 210 filtered out'";
        let error = of(Command::new("sh").args(["-c", script])).unwrap_err();
        assert!(error.to_string().contains("no test has run"), "{error}");
    }
}
