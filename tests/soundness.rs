//! Checks that everything `docs/soundness.md` refers to exists.

use std::{fs, path::Path};

/// Splits a line of the form `* ` and a file into the file and the names that the line gives in backquotes.
fn places(line: &str) -> Option<(&str, Vec<&str>)> {
    let quoted = line.strip_prefix("* ")?;
    // The parts with odd numbers are between two backquotes.
    let mut quoted = quoted.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}

#[test]
fn every_place_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/soundness.md")).unwrap();
    let mut count = 0;
    for (file, wanted) in text.lines().filter_map(places) {
        let content = fs::read_to_string(root.join(file))
            .unwrap_or_else(|e| panic!("docs/soundness.md names {file}: {e}"));
        assert!(!wanted.is_empty(), "docs/soundness.md: what is in {file}?");
        for what in wanted {
            assert!(
                content.contains(what),
                "docs/soundness.md: {file} has no {what:?} any more"
            );
            count += 1;
        }
    }
    assert!(count > 50, "only {count} places: is the list read right?");
}

#[test]
fn every_rule_has_a_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/soundness.md")).unwrap();
    let rules = text.split("\n**").skip(1);
    for rule in rules {
        let name = rule.split("**").next().unwrap_or_default();
        let own = rule.split("\n## ").next().unwrap_or_default();
        assert!(own.contains("\n* `"), "{name:?} is not answered");
    }
}
