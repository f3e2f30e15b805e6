//! What Rust's test runner says of itself, as lines of JSON.
//!
//! The format is behind a switch that is meant for nightly compilers: `RUSTC_BOOTSTRAP` in the environment of the test program, and of
//! nothing else, turns it on. Only it tells how long each test took.

use serde_json::Value;

/// Words for a test program.
pub(crate) const ARGUMENTS: [&str; 3] = ["-Zunstable-options", "--format=json", "--report-time"];

/// Variable and value for its environment.
pub(crate) const SWITCH: &str = "RUSTC_BOOTSTRAP=1";

/// What has become of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// Its runner left it out.
    Skipped,
}

/// A test that is over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    /// Of the step or program.
    pub(crate) suite: String,
    /// With its modules.
    pub(crate) name: String,
    /// What has become of it.
    pub(crate) outcome: Outcome,
    /// How long it took.
    pub(crate) seconds: f64,
    /// What it printed, if it failed.
    pub(crate) output: String,
}

impl Test {
    /// As Rust's runner shows it to people, with the time.
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
    /// A test is over.
    Over(Test),
    /// A test takes long.
    Slow(String),
    /// The whole program is over.
    End,
    /// Nothing that people need to see.
    Noise,
    /// Not the runner's.
    Other,
}

/// Reads a line of the test program of `suite`.
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
        (Some("suite"), Some("started")) | (Some("test"), Some("started")) => Line::Noise,
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
        // Times of whole programs, and whatever comes with a later release.
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
                Line::Noise,
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
