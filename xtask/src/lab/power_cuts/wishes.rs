//! The wishes of each round, and the check that they are fulfilled. This module does not touch a computer.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Number of domains that are started, and of domains that are deleted, in each round.
pub(super) const GROUP: u32 = 10;

/// Number of domains that are wanted in every round. Each has a disk whose content must persist.
const ALWAYS: u32 = 2;

/// The content of these disks.
pub(super) const KEPT: &str = "kept";

/// The domains that must run. All other domains of the test must be gone.
#[derive(Debug)]
pub(super) struct Wishes {
    /// The one of the two groups that must run: 0 or 1.
    group: u32,
}

/// The state found in dom0.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// `StateName` of each key.
    states: BTreeMap<String, String>,
    /// Names of domains, in Xen's order.
    domains: Vec<String>,
    /// Names of the files in the directory of copies.
    copies: BTreeSet<String>,
    /// Copies that differ from the image, also if only a part is missing.
    differ: Vec<String>,
    /// The beginning of each disk to be kept, followed by the path.
    kept: Vec<String>,
}

fn key(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-00000000c075")
}

/// Name of the domain, which the agent derives from `DisplayName` and `AppNum`.
fn name(number: u32) -> String {
    format!("cut-{number}.{number}")
}

fn config(number: u32) -> String {
    let disk = |hash: &str, preserve: bool| json!({"ImageSha256": hash, "Preserve": preserve, "Format": "raw"});
    json!({
        "UUIDandVersion": {"UUID": key(number), "Version": "1"},
        "DisplayName": format!("cut-{number}"),
        "Activate": true,
        "AppNum": number,
        "Kernel": "/share/guest/tiny",
        "Memory": 4 << 10,
        "VCpus": 1,
        "VirtualizationMode": "PV",
        "DiskConfigList": [disk("aa", false), disk("cc", true)],
        "VifList": null,
        "IoAdapterList": null,
    })
    .to_string()
}

/// Numbers of the domains of a group. Group 2 is the group that always runs.
fn numbers(group: u32) -> impl Iterator<Item = u32> {
    let size = if group == 2 { ALWAYS } else { GROUP };
    (1..=size).map(move |n| group * GROUP + n)
}

impl Wishes {
    /// Wishes of a round: the two groups take turns.
    pub(super) fn of_round(round: u32) -> Self {
        Self { group: round % 2 }
    }

    fn running(&self) -> impl Iterator<Item = u32> {
        numbers(self.group).chain(numbers(2))
    }

    /// Keys of the domains that must run.
    pub(super) fn wanted(&self) -> Vec<String> {
        self.running().map(key).collect()
    }

    /// Keys of the domains that must be gone.
    pub(super) fn unwanted(&self) -> Vec<String> {
        numbers(1 - self.group).map(key).collect()
    }

    /// Keys of the domains whose disk has content to be kept.
    pub(super) fn kept_keys() -> Vec<String> {
        numbers(2).map(key).collect()
    }

    /// All keys, each with its DomainConfig.
    pub(super) fn all_configs() -> Vec<(String, String)> {
        let all = (0..=2).flat_map(numbers);
        all.map(|number| (key(number), config(number))).collect()
    }

    /// Numbers of domains of this round that have been started and that have been deleted.
    fn done(&self, found: &Found) -> (usize, usize) {
        let is_up = |n: &u32| found.states.get(&key(*n)).is_some_and(|s| s == "RUNNING");
        let is_gone = |n: &u32| !found.states.contains_key(&key(*n));
        (
            numbers(self.group).filter(is_up).count(),
            numbers(1 - self.group).filter(is_gone).count(),
        )
    }

    /// Describes how many wishes of this round are fulfilled.
    pub(super) fn progress(&self, found: &Found) -> String {
        let (started, deleted) = self.done(found);
        format!("{started} of {GROUP} started, {deleted} of {GROUP} deleted")
    }

    /// Returns whether some wishes of this round are not fulfilled yet.
    pub(super) fn are_half_done(&self, found: &Found) -> bool {
        let (started, deleted) = self.done(found);
        started + deleted < 2 * numbers(self.group).count()
    }

    /// Lists the deviations from the wanted state. `content`: the disks to be kept have already been written to.
    pub(super) fn missing(&self, found: &Found, content: bool) -> Vec<String> {
        let mut missing = Vec::new();
        for number in self.running() {
            let key = key(number);
            match found.states.get(&key) {
                Some(state) if state == "RUNNING" => {}
                state => missing.push(format!("{key} runs: it is {state:?}")),
            }
        }
        for key in self.unwanted() {
            if let Some(state) = found.states.get(&key) {
                missing.push(format!("nothing is left of {key}: it is {state}"));
            }
        }
        let mut domains = found.domains.clone();
        domains.sort();
        let mut names: Vec<String> = self.running().map(name).collect();
        names.sort();
        if domains != names {
            missing.push(format!("the domains are {names:?}: they are {domains:?}"));
        }
        let copies: BTreeSet<String> = self
            .wanted()
            .iter()
            .flat_map(|key| ["aa", "cc"].map(|hash| format!("{hash}-{key}.raw")))
            .collect();
        let wrong: Vec<&String> = copies.symmetric_difference(&found.copies).collect();
        if !wrong.is_empty() {
            missing.push(format!(
                "each domain has its copies, and no other is there: {wrong:?}"
            ));
        }
        if !found.differ.is_empty() {
            missing.push(format!("copies are whole: {:?} are not", found.differ));
        }
        if content {
            for key in Self::kept_keys() {
                let line = format!("{KEPT} /data/img/cc-{key}.raw");
                if !found.kept.contains(&line) {
                    missing.push(format!("{line}: {:?}", found.kept));
                }
            }
        }
        missing
    }
}

impl Found {
    /// Parses the output of dom0: JSON values, then sections of lines, each after a line with its name.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (statuses, rest) = text
            .split_once("\ndomains\n")
            .context("dom0 does not list the domains")?;
        let mut found = Self::default();
        for status in serde_json::Deserializer::from_str(statuses).into_iter::<Value>() {
            // A status that is being removed may be cut off.
            let Ok(status) = status else { break };
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            found.states.insert(
                word(&status["UUIDandVersion"]["UUID"]),
                word(&status["StateName"]),
            );
        }
        let mut section = "domains";
        for line in rest.lines().filter(|line| !line.is_empty()) {
            match (line, section) {
                ("copies" | "differ" | "kept", _) => section = line,
                (_, "domains") => found.domains.push(line.to_owned()),
                (_, "copies") => drop(found.copies.insert(line.to_owned())),
                // The shell prints the pattern itself if no file matches.
                _ if line.contains('*') => {}
                (_, "differ") => found.differ.push(line.to_owned()),
                _ => found.kept.push(line.to_owned()),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the output of dom0 once the wishes of a round are fulfilled.
    fn all_well(wishes: &Wishes) -> String {
        let mut text = String::new();
        for key in wishes.wanted() {
            let status = json!({"UUIDandVersion": {"UUID": key}, "StateName": "RUNNING"});
            text.push_str(&format!("{status:#}\n"));
        }
        text.push_str("\ndomains\n");
        for number in wishes.running() {
            text.push_str(&format!("{}\n", name(number)));
        }
        text.push_str("copies\n");
        for key in wishes.wanted() {
            text.push_str(&format!("aa-{key}.raw\ncc-{key}.raw\n"));
        }
        text.push_str("differ\nkept\n");
        for key in Wishes::kept_keys() {
            text.push_str(&format!("{KEPT} /data/img/cc-{key}.raw\n"));
        }
        text
    }

    #[test]
    fn the_groups_take_turns() {
        let [even, odd] = [4, 5].map(Wishes::of_round);
        assert_eq!((even.wanted().len(), even.unwanted().len()), (12, 10));
        assert!(odd.unwanted().iter().all(|key| even.wanted().contains(key)));
        assert_eq!(Wishes::all_configs().len(), 22);
        let keys: BTreeSet<String> = Wishes::all_configs().into_iter().map(|c| c.0).collect();
        assert_eq!(keys.len(), 22, "each has its own");
    }

    #[test]
    fn whatever_is_lost_left_or_doubled_is_named() {
        let wishes = Wishes::of_round(0);
        let text = all_well(&wishes);
        let missing = |text: &str| wishes.missing(&Found::parse(text).unwrap(), true);
        assert_eq!(missing(&text), [""; 0]);
        let first = key(1);
        let other = key(GROUP + 1);
        for (change, to, word) in [
            ("RUNNING", "HALTED", "runs: it is Some(\"HALTED\")"),
            (
                first.as_str(),
                other.as_str(),
                "nothing is left of 0000000b",
            ),
            ("cut-1.1\n", "cut-1.1\ncut-1.1\n", "the domains are"),
            ("cut-1.1\n", "", "the domains are"),
            (
                "copies\n",
                "copies\n.aa.part\n",
                "no other is there: [\".aa.part\"]",
            ),
            (
                "differ\n",
                "differ\n/data/img/aa-x.raw\n",
                "copies are whole",
            ),
            ("kept /data", " /data", "kept /data/img/cc-00000015"),
        ] {
            let said = missing(&text.replacen(change, to, 1));
            assert!(
                said.iter().any(|line| line.contains(word)),
                "{word}: {said:?}"
            );
        }
    }

    #[test]
    fn progress_is_counted() {
        let wishes = Wishes::of_round(1);
        let before = Found::parse(&all_well(&Wishes::of_round(0))).unwrap();
        assert_eq!(wishes.progress(&before), "0 of 10 started, 0 of 10 deleted");
        let after = Found::parse(&all_well(&wishes)).unwrap();
        assert_eq!(
            wishes.progress(&after),
            "10 of 10 started, 10 of 10 deleted"
        );
        assert!(wishes.are_half_done(&before) && !wishes.are_half_done(&after));
        // A pattern that no file matches, and a status that is cut off.
        let text =
            "{\"State\ndomains\ncopies\ndiffer\n/data/img/aa-*.raw\nkept\n /data/img/cc-*.raw\n";
        assert_eq!(Found::parse(text).unwrap(), Found::default());
    }
}
