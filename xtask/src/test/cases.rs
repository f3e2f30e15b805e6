//! The table of cases in docs/architecture.md, as the live tests' own lines tell it.

use std::collections::BTreeMap;
use std::fmt;

/// What has become of the tests of each case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cases(BTreeMap<u32, Vec<(String, &'static str)>>);

const OK: &str = "ok";
const FAILED: &str = "FAILED";

/// Good only at the second try.
const UNSTEADY: &str = "again";

impl Cases {
    /// Takes a line of the test runner's: `test save::case_13_a_full_disk ... ok`.
    pub(crate) fn see(&mut self, line: &str) {
        let parsed = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
            .and_then(|(path, result)| {
                let (_, case) = path.rsplit_once("::case_")?;
                let (number, words) = case.split_once('_')?;
                let result = [OK, FAILED].into_iter().find(|word| *word == result)?;
                Some((number.parse().ok()?, words.replace('_', " "), result))
            });
        if let Some((number, words, result)) = parsed {
            let tests = self.0.entry(number).or_default();
            // The second try replaces the first.
            match tests
                .iter_mut()
                .find(|(known, earlier)| *known == words && *earlier == FAILED)
            {
                Some(test) if result == OK => test.1 = UNSTEADY,
                Some(_) => {}
                None => tests.push((words, result)),
            }
        }
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
    use super::Cases;

    #[test]
    fn cases_are_listed_by_their_numbers() {
        let mut cases = Cases::default();
        for line in [
            "test save::case_13_a_full_disk ... ok",
            "test agent::cases::case_02_it_reboots ... FAILED",
            "test agent::cases::case_02_it_reboots has been running for over 60 seconds",
            "test save::case_15_left_out ... ignored",
            "test lifecycle::a_domain_lives ... ok",
            "case_03_noise",
        ] {
            cases.see(line);
        }
        assert_eq!(
            cases.to_string(),
            "\ncase         test\n   2  FAILED it reboots\n  13  ok     a full disk\n"
        );
    }

    #[test]
    fn a_second_try_is_told() {
        let mut cases = Cases::default();
        for line in [
            "test suspend::case_04_it_crashes ... FAILED",
            "test suspend::case_07_it_is_late ... FAILED",
            "test suspend::case_04_it_crashes ... ok",
            "test suspend::case_07_it_is_late ... FAILED",
        ] {
            cases.see(line);
        }
        assert_eq!(
            cases.to_string(),
            "\ncase         test\n   4  again  it crashes\n   7  FAILED it is late\n"
        );
    }

    #[test]
    fn nothing_is_printed_without_cases() {
        assert_eq!(Cases::default().to_string(), "");
    }
}
