//! Reports of a test run: JUnit XML for machines, and the slowest tests for people.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::libtest::{Outcome, Test};

/// Number of slowest tests that are listed by name.
const SLOWEST: usize = 10;

/// Number of lines of a panic message that are repeated in the summary, and of characters of each.
const REASON: (usize, usize) = (12, 400);

/// Lists the tests that failed, each with its panic message.
///
/// The whole output is far above, and a log that was cut may have lost it.
pub(super) fn failed(tests: &[Test]) -> String {
    let failed = tests.iter().filter(|test| test.outcome == Outcome::Failed);
    let lines: String = failed
        .map(|test| {
            format!(
                "{}: {}\n{}",
                test.suite,
                test.name,
                panic_message(&test.output)
            )
        })
        .collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\nthe tests that failed\n{lines}")
    }
}

/// Returns the last panic message in the output of a test, indented. Panics that a test expects come before it.
fn panic_message(output: &str) -> String {
    let (lines, characters) = REASON;
    let from = output.rfind(" panicked at ").map_or(0, |at| {
        output[..at].rfind('\n').map_or(0, |newline| newline + 1)
    });
    output[from..]
        .lines()
        .take_while(|line| !line.starts_with("stack backtrace:"))
        .filter(|line| !line.trim().is_empty())
        .take(lines)
        .map(|line| {
            format!(
                "    {}\n",
                line.chars().take(characters).collect::<String>()
            )
        })
        .collect()
}

/// Lists the slowest tests and modules, one line each.
pub(super) fn slowest(tests: &[Test]) -> String {
    let mut by_time: Vec<&Test> = tests.iter().collect();
    by_time.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let mut modules: BTreeMap<String, f64> = BTreeMap::new();
    for test in tests {
        let module = test.name.split("::").next().unwrap_or_default();
        *modules
            .entry(format!("{}: {module}", test.suite))
            .or_default() += test.seconds;
    }
    let mut modules: Vec<_> = modules.into_iter().collect();
    modules.sort_by(|(_, a), (_, b)| b.total_cmp(a));

    let mut text = String::from("\nthe slowest tests\n");
    for test in by_time.iter().take(SLOWEST) {
        text += &format!("{:7.1} s  {}: {}\n", test.seconds, test.suite, test.name);
    }
    text += "\nseconds of tests, some of which ran beside each other\n";
    for (module, seconds) in modules.iter().take(SLOWEST) {
        text += &format!("{seconds:7.1} s  {module}\n");
    }
    text
}

/// Writes all tests to `junit.xml` in `dir`.
pub(super) fn write(tests: &[Test], dir: &Path) -> Result<PathBuf> {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for test in tests {
        let mut case = TestCase::new(
            test.name.as_str(),
            match test.outcome {
                Outcome::Passed => TestCaseStatus::success(),
                Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
                Outcome::Skipped => TestCaseStatus::skipped(),
            },
        );
        case.set_time(Duration::from_secs_f64(test.seconds.max(0.0)));
        case.set_classname(test.suite.as_str());
        if test.outcome == Outcome::Failed {
            case.set_system_out(test.output.as_str());
        }
        suites
            .entry(&test.suite)
            .or_insert_with(|| TestSuite::new(test.suite.as_str()))
            .add_test_case(case);
    }
    let mut report = Report::new("libxl-toolstack");
    report.add_test_suites(suites.into_values());
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join("junit.xml");
    fs::write(&path, report.to_string()?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(suite: &str, name: &str, seconds: f64, outcome: Outcome) -> Test {
        Test {
            suite: suite.into(),
            name: name.into(),
            outcome,
            seconds,
            output: "said <this>".into(),
        }
    }

    #[test]
    fn the_slowest_come_first() {
        let tests = [
            test("live", "save::a", 2.0, Outcome::Passed),
            test("live", "agent::b", 30.0, Outcome::Passed),
            test("live", "save::c", 29.0, Outcome::Passed),
        ];
        let text = slowest(&tests);
        let order: Vec<_> = text.lines().filter(|l| l.contains(" s  ")).collect();
        assert_eq!(
            order,
            [
                "   30.0 s  live: agent::b",
                "   29.0 s  live: save::c",
                "    2.0 s  live: save::a",
                "   31.0 s  live: save",
                "   30.0 s  live: agent",
            ]
        );
    }

    #[test]
    fn what_failed_is_named_once_more() {
        let tests = [
            test("live", "save::a", 2.0, Outcome::Passed),
            test("live", "save::b", 3.0, Outcome::Failed),
        ];
        assert_eq!(
            failed(&tests),
            "\nthe tests that failed\nlive: save::b\n    said <this>\n"
        );
        assert_eq!(failed(&tests[..1]), "");
    }

    #[test]
    fn the_last_panic_is_the_reason() {
        let output = "said\n\nthread 'a' panicked at a.rs:1:\nexpected\nstack backtrace:\n  0: x\n\nthread 'é' panicked at b.rs:2:3:\nassertion failed\n  left: 1\nstack backtrace:\n  0: y\n";
        assert_eq!(
            panic_message(output),
            "    thread 'é' panicked at b.rs:2:3:\n    assertion failed\n      left: 1\n"
        );
        let long = "x".repeat(1000);
        assert_eq!(panic_message(&long).len(), 4 + 400 + 1);
        assert_eq!(panic_message(""), "");
    }

    #[test]
    fn machines_get_xml() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let tests = [
            test("unit", "a", 0.5, Outcome::Passed),
            test("unit", "b", 0.5, Outcome::Failed),
            test("live", "c", 0.0, Outcome::Skipped),
        ];
        let xml = fs::read_to_string(write(&tests, &dir.path().join("new"))?)?;
        assert!(xml.contains(r#"tests="3""#), "{xml}");
        assert!(xml.contains(r#"failures="1""#), "{xml}");
        assert!(xml.contains("said &lt;this&gt;"), "{xml}");
        assert_eq!(xml.matches("<skipped/>").count(), 1, "{xml}");
        Ok(())
    }
}
