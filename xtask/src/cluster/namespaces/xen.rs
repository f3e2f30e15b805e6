//! A look at the simulated Xens, by their files.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::super::prepare::GUEST;

/// A copy that runs, as its Xen knows it. A copy that ran without a break is equal to itself at an earlier time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    domid: String,
    since: Value,
}

/// Returns the places of the Xens in which a copy runs.
pub(super) fn copies(files: &[PathBuf]) -> Vec<usize> {
    let all = || -> Vec<Option<Running>> { files.iter().map(running).collect() };
    let mut copies = all();
    if copies.iter().flatten().count() > 1 {
        // The files are read one after the other, and the guest may have moved meanwhile. Whatever runs in a second round as in the
        // first has run all the time between, and so beside the others.
        let again = all();
        copies = copies
            .into_iter()
            .zip(again)
            .map(|(before, now)| now.filter(|now| before.as_ref() == Some(now)))
            .collect();
    }
    let numbered = copies.iter().enumerate();
    numbered
        .filter(|(_, copy)| copy.is_some())
        .map(|(i, _)| i)
        .collect()
}

/// Number of times that the guest has booted in these Xens.
pub(super) fn boots(files: &[PathBuf]) -> u64 {
    let models = files.iter().filter_map(model);
    let starts = models.map(|model| model["history"][GUEST]["starts"].as_u64());
    starts.map(Option::unwrap_or_default).sum()
}

fn model(file: &PathBuf) -> Option<Value> {
    let text = fs::read(file).ok()?;
    let mut saved: Value = serde_json::from_slice(&text).ok()?;
    Some(saved["model"].take())
}

/// Returns the copy of the guest that runs in this Xen.
fn running(file: &PathBuf) -> Option<Running> {
    let model = model(file)?;
    running_in(&model)
}

fn running_in(model: &Value) -> Option<Running> {
    let domains = model["domains"].as_object()?;
    let (domid, domain) = domains.iter().find(|(_, domain)| {
        domain["uuid"] == GUEST
            && domain["paused"] == false
            && domain["shutdown"].is_null()
            && domain["dying_until"].is_null()
    })?;
    Some(Running {
        domid: domid.clone(),
        since: domain["running_since"].clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn xen(paused: bool, shutdown: Option<u8>, dying: Option<u8>) -> Value {
        json!({"domains": {"3": {
            "uuid": GUEST, "paused": paused, "shutdown": shutdown, "dying_until": dying, "running_since": 7,
        }}})
    }

    #[test]
    fn a_copy_runs_unless_something_keeps_it_from_that() {
        assert!(running_in(&xen(false, None, None)).is_some());
        for kept in [
            xen(true, None, None),
            xen(false, Some(2), None),
            xen(false, None, Some(9)),
            json!({"domains": {}}),
        ] {
            assert_eq!(running_in(&kept), None, "{kept}");
        }
    }

    #[test]
    fn two_copies_at_once_are_seen() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let files: Vec<PathBuf> = ["a", "b"]
            .iter()
            .map(|name| dir.path().join(name))
            .collect();
        let put =
            |file: &PathBuf, model: Value| fs::write(file, json!({"model": model}).to_string());
        put(&files[0], xen(false, None, None))?;
        put(&files[1], xen(true, None, None))?;
        assert_eq!(copies(&files), [0]);
        put(&files[1], xen(false, None, None))?;
        assert_eq!(copies(&files), [0, 1]);
        Ok(())
    }
}
