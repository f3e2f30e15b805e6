//! The table of cases in docs/architecture.md, with the results of the live tests.

use std::collections::BTreeMap;
use std::fmt;

use super::libtest::{Outcome, Test};

/// Results of the tests of each case, by the number of the case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cases(BTreeMap<u32, Vec<(String, &'static str)>>);

impl Cases {
    /// Collects the cases among `tests`: those with names like `save::case_13_a_full_disk`.
    pub(crate) fn among(tests: &[Test]) -> Self {
        let mut cases = Self::default();
        for test in tests {
            let parsed = test.name.rsplit_once("::case_").and_then(|(_, case)| {
                let (number, words) = case.split_once('_')?;
                Some((number.parse().ok()?, words.replace('_', " ")))
            });
            let result = match test.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => continue,
            };
            if let Some((number, words)) = parsed {
                cases.0.entry(number).or_default().push((words, result));
            }
        }
        cases
    }
}

impl fmt::Display for Cases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        writeln!(f, "\ncase         test")?;
        for (number, tests) in &self.0 {
            for (words, result) in tests {
                writeln!(f, "{number:4}  {result:6} {words}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_listed_by_their_numbers() {
        let test = |name: &str, outcome| Test {
            suite: "live".into(),
            name: name.into(),
            outcome,
            seconds: 0.0,
            output: String::new(),
        };
        let cases = Cases::among(&[
            test("save::case_13_a_full_disk", Outcome::Passed),
            test("agent::cases::case_02_it_reboots", Outcome::Failed),
            test("save::case_15_left_out", Outcome::Skipped),
            test("lifecycle::a_domain_lives", Outcome::Passed),
        ]);
        assert_eq!(
            cases.to_string(),
            "\ncase         test\n   2  FAILED it reboots\n  13  ok     a full disk\n"
        );
    }

    #[test]
    fn nothing_is_printed_without_cases() {
        assert_eq!(Cases::default().to_string(), "");
    }
}
