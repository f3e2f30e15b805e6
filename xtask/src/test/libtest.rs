//! The JSON lines that Rust's test runner prints.
//!
//! The format is for nightly compilers. `RUSTC_BOOTSTRAP` enables it, and is set in the environment of the test program only. No other
//! format reports the time of each test.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Arguments for a test program.
pub(crate) const ARGUMENTS: [&str; 3] = ["-Zunstable-options", "--format=json", "--report-time"];

/// Variable and value for the environment of a test program.
pub(crate) const SWITCH: &str = "RUSTC_BOOTSTRAP=1";

/// Result of a test.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The test passed.
    Passed,
    /// The test failed.
    Failed,
    /// The test was skipped.
    Skipped,
}

/// A finished test.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(crate) struct Test {
    /// Name of the step or program.
    pub(crate) suite: String,
    /// Name of the test, with its modules.
    pub(crate) name: String,
    /// Result of the test.
    pub(crate) outcome: Outcome,
    /// Duration, in seconds.
    pub(crate) seconds: f64,
    /// Output of a failed test.
    pub(crate) output: String,
}

impl Test {
    /// The line that Rust's runner prints for people, with the time added.
    pub(crate) fn line(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "ignored",
        };
        format!("test {} ... {outcome} ({:.1} s)", self.name, self.seconds)
    }
}

/// A line of a test program's output.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    /// A test has begun.
    Begun(String),
    /// A test has finished.
    Over(Test),
    /// A test runs for long.
    Slow(String),
    /// The whole program has finished.
    End,
    /// An event that people need not see.
    Noise,
    /// A line that is not the runner's.
    Other,
}

/// Parses a line of the test program of `suite`.
pub(crate) fn parse(suite: &str, line: &str) -> Line {
    let Some(event) = line
        .starts_with('{')
        .then(|| serde_json::from_str::<Value>(line).ok())
        .flatten()
    else {
        return Line::Other;
    };
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    match (event["type"].as_str(), event["event"].as_str()) {
        (Some("suite"), Some("ok" | "failed")) => Line::End,
        (Some("suite"), Some("started")) => Line::Noise,
        (Some("test"), Some("started")) => Line::Begun(text("name")),
        (Some("test"), Some("timeout")) => Line::Slow(text("name")),
        (Some("test"), Some(word)) => Line::Over(Test {
            suite: suite.to_owned(),
            name: text("name"),
            outcome: match word {
                "ok" => Outcome::Passed,
                "ignored" => Outcome::Skipped,
                _ => Outcome::Failed,
            },
            seconds: event["exec_time"].as_f64().unwrap_or_default(),
            output: text("stdout"),
        }),
        // Times of whole programs, and kinds of events that a later release may add.
        (Some("suite" | "bench" | "report"), _) => Line::Noise,
        _ => Line::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_lines_are_told_from_others() {
        let over = r#"{ "type": "test", "name": "a::b", "event": "failed", "exec_time": 1.25, "stdout": "why\n" }"#;
        let Line::Over(test) = parse("live", over) else {
            panic!("a test that is over");
        };
        assert_eq!(test.line(), "test a::b ... FAILED (1.2 s)");
        assert_eq!(
            (test.suite.as_str(), test.output.as_str()),
            ("live", "why\n")
        );
        for (line, wanted) in [
            (
                r#"{ "type": "test", "event": "started", "name": "a" }"#,
                Line::Begun("a".into()),
            ),
            (
                r#"{ "type": "test", "event": "timeout", "name": "a" }"#,
                Line::Slow("a".into()),
            ),
            (
                r#"{ "type": "suite", "event": "ok", "passed": 1 }"#,
                Line::End,
            ),
            (
                r#"{ "type": "suite", "event": "started", "test_count": 3 }"#,
                Line::Noise,
            ),
            ("test a ... ok", Line::Other),
            ("{", Line::Other),
            (r#"{"some": "json"}"#, Line::Other),
        ] {
            assert_eq!(parse("live", line), wanted, "{line}");
        }
    }

    #[test]
    fn a_test_that_was_left_out_has_not_passed() {
        let Line::Over(test) = parse(
            "s",
            r#"{ "type": "test", "name": "a", "event": "ignored" }"#,
        ) else {
            panic!("a test that is over");
        };
        assert_eq!(test.outcome, Outcome::Skipped);
    }
}
