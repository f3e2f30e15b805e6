//! Copies of the guest that run, from what each Xen says from time to time.

use std::time::Instant;

/// A copy that runs. It has run without a break between two times, as far as its Xen has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    domid: u32,
    from: Instant,
    until: Instant,
}

/// Findings in one Xen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Findings {
    running: Option<Running>,
    /// Arrival of the last answer. The next one is a look that was taken later.
    last: Option<Instant>,
    pub(super) boots: u64,
}

impl Findings {
    /// Takes an answer of `watch.sh`, which has arrived now. Returns `None` if it is none.
    pub(super) fn hear(&mut self, answer: &str, now: Instant) -> Option<()> {
        let (copies, boots) = answer.split_once("boots ")?;
        self.boots = boots.trim().parse().ok()?;
        let words: Vec<&str> = copies.split_whitespace().collect();
        let mut found = None;
        for copy in words.chunks(2) {
            let [domid, state] = copy else { return None };
            if !state.contains(['p', 's', 'c', 'd']) {
                found = Some(domid.parse().ok()?);
            }
        }
        let last = self.last.replace(now);
        self.running = found.map(|domid| match (self.running, last) {
            // Xen was asked after the last answer had arrived, and before this one.
            (Some(before), Some(last)) if before.domid == domid => Running {
                until: last,
                ..before
            },
            _ => Running {
                domid,
                from: now,
                until: now,
            },
        });
        Some(())
    }
}

/// Returns the places of the Xens in which a copy runs: more than one only if these have run at the same time.
pub(super) fn copies(findings: &[Findings]) -> Vec<usize> {
    let numbered = findings.iter().enumerate();
    let mut running: Vec<(usize, Running)> = numbered
        .filter_map(|(node, found)| Some((node, found.running?)))
        .collect();
    // The guest may have moved between two answers. The copy that was found last is the one that runs.
    let Some(&(_, latest)) = running.iter().max_by_key(|(_, copy)| copy.from) else {
        return Vec::new();
    };
    running.retain(|(_, copy)| {
        *copy == latest || copy.until.min(latest.until) > copy.from.max(latest.from)
    });
    running.into_iter().map(|(node, _)| node).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Hears two Xens, one after the other and a second apart. Returns the copies that are seen after each pair of answers.
    fn seen(answers: &[[&str; 2]]) -> Vec<Vec<usize>> {
        let mut findings = [Findings::default(); 2];
        let mut now = Instant::now();
        let mut all = Vec::new();
        for pair in answers {
            for (found, answer) in findings.iter_mut().zip(pair) {
                now += Duration::from_secs(1);
                found.hear(answer, now).unwrap();
            }
            all.push(copies(&findings));
        }
        all
    }

    #[test]
    fn a_copy_runs_unless_its_state_says_otherwise() {
        let none = "boots 1";
        for (answer, runs) in [
            ("3 -b---- boots 1", true),
            ("3 r----- boots 1", true),
            ("3 ------ boots 1", true),
            ("3 --p--- boots 1", false),
            ("3 ---s-- boots 1", false),
            ("3 -----d boots 1", false),
            ("3 ---s-- 4 -b---- boots 1", true),
            (none, false),
        ] {
            let expected = if runs { vec![0] } else { Vec::new() };
            assert_eq!(seen(&[[answer, none]]), [expected], "{answer}");
        }
    }

    #[test]
    fn a_guest_that_moves_between_two_answers_is_one_copy() {
        let runs = "3 -b---- boots 1";
        let rests = "3 ---s-- boots 1";
        let (comes, came) = ("5 --p--- boots 0", "5 -b---- boots 0");
        let seen = seen(&[[runs, comes], [runs, came], [rests, came], [rests, came]]);
        assert_eq!(seen, [vec![0], vec![1], vec![1], vec![1]]);
    }

    #[test]
    fn two_copies_that_both_go_on_are_seen() {
        let (one, other) = ("3 -b---- boots 1", "5 -b---- boots 1");
        let seen = seen(&[[one, "boots 0"], [one, other], [one, other], [one, other]]);
        // Not before both have been asked once more.
        assert_eq!(seen, [vec![0], vec![1], vec![1], vec![0, 1]]);
    }

    #[test]
    fn boots_are_told() {
        let mut found = Findings::default();
        assert_eq!(found.hear("3 -b---- boots 7", Instant::now()), Some(()));
        assert_eq!(found.boots, 7);
        assert_eq!(found.hear("3 boots x", Instant::now()), None);
    }
}
