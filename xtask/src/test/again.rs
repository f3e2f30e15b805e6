//! A second try for live tests that failed.
//!
//! The lab is an emulated computer, on which each test runs beside others and some seconds may pass between two of a guest's instructions.
//! A test that fails there and passes by itself has met that, or a race that it is worth looking for: it is counted and named, and does
//! not fail the run. Anything else that goes wrong in the first run, such as a leak that was found at its end, stays a failure.

use std::process::ExitStatus;

use super::counts::Counts;

/// More failures than this have a common cause, which a second try only hides.
const MOST: usize = 4;

/// How the test runner exits when tests failed and nothing else went wrong.
const TESTS_FAILED: i32 = 101;

/// The names of tests that failed, as the runner's own lines tell them.
#[derive(Debug, Default)]
pub(crate) struct Failed(Vec<String>);

impl Failed {
    /// Takes a line of the test runner's: `test save::a_full_disk ... FAILED`.
    pub(crate) fn see(&mut self, line: &str) {
        let name = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"));
        self.0.extend(name.map(str::to_owned));
    }

    /// Those to be tried again, if that can tell anything.
    pub(crate) fn to_try_again(&self, counts: &Counts, status: ExitStatus) -> Option<Vec<&str>> {
        let nothing_else = status.code() == Some(TESTS_FAILED);
        let all_known = self.0.len() as u64 == counts.failed;
        let few = (1..=MOST).contains(&self.0.len());
        (nothing_else && all_known && few).then(|| self.0.iter().map(String::as_str).collect())
    }
}

/// What both tries found out, the second of which was of `tried`, and left `failed`.
pub(crate) fn both(first: &Counts, again: &Counts, tried: &[&str], failed: &Failed) -> Counts {
    Counts {
        passed: first.passed + again.passed,
        failed: first.failed.saturating_sub(again.passed),
        skipped: first.skipped,
        unsteady: tried
            .iter()
            .filter(|name| !failed.0.iter().any(|other| other == *name))
            .map(|&name| name.to_owned())
            .collect(),
        broken: again.broken,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn counts(passed: u64, failed: u64) -> Counts {
        Counts {
            passed,
            failed,
            broken: failed > 0,
            ..Counts::default()
        }
    }

    fn exit(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn failed(names: &[&str]) -> Failed {
        Failed(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn what_failed_is_tried_again() {
        let mut failed = Failed::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "a::d ... FAILED",
            "test a::e ... FAILED",
        ] {
            failed.see(line);
        }
        assert_eq!(
            failed.to_try_again(&counts(1, 2), exit(101)),
            Some(vec!["a::c", "a::e"])
        );
        assert_eq!(
            failed.to_try_again(&counts(1, 3), exit(101)),
            None,
            "one has no name: its line was torn"
        );
        assert_eq!(
            failed.to_try_again(&counts(1, 2), exit(99)),
            None,
            "a sanitizer has found something"
        );
        assert_eq!(
            failed.to_try_again(&counts(1, 2), ExitStatus::from_raw(11)),
            None,
            "a signal ended it"
        );
        assert_eq!(
            Failed::default().to_try_again(&counts(1, 0), exit(101)),
            None
        );
        let many = Failed(vec!["test".to_owned(); MOST + 1]);
        assert_eq!(
            many.to_try_again(&counts(0, MOST as u64 + 1), exit(101)),
            None
        );
    }

    #[test]
    fn a_test_that_fails_twice_has_failed() {
        let tried = ["a", "b", "c"];
        let sum = both(&counts(7, 3), &counts(2, 1), &tried, &failed(&["b"]));
        assert_eq!(
            sum.to_string(),
            "9 passed (2 only at the second try: a, c), 1 failed"
        );
        assert!(sum.broken);
        let sum = both(&counts(7, 3), &counts(3, 0), &tried, &failed(&[]));
        assert_eq!(
            sum.to_string(),
            "10 passed (3 only at the second try: a, b, c), 0 failed"
        );
        assert!(!sum.broken);
    }
}
