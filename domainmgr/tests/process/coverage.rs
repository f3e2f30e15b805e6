//! The table in `docs/agent-coverage.md` names tests: each must exist, and no place may be empty.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all tests below a directory.
fn tests(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests(&path, names);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" {
                    is_test = true;
                } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                    names.insert(rest.split('(').next().unwrap().to_owned());
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_sentence_has_its_place_and_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let doc = root.join("docs/agent-coverage.md");
    let Ok(text) = fs::read_to_string(&doc) else {
        // A package that was published comes without it.
        assert!(!root.join("Cargo.lock").exists(), "{}", doc.display());
        return;
    };
    let mut known = BTreeSet::new();
    for dir in ["domainmgr/src", "domainmgr/tests", "tests"] {
        tests(&root.join(dir), &mut known);
    }
    let mut sentences = 0;
    let mut missing = Vec::new();
    for line in text
        .lines()
        .filter(|l| l.starts_with("| ") && !l.starts_with("| what |"))
    {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(
            cells.iter().all(|c| !c.is_empty()),
            "an empty place: {line}"
        );
        if line.starts_with("| lesson |") {
            continue;
        }
        sentences += usize::from(cells.len() == 3);
        if let [_, place, _] = cells[..] {
            let names = place.split('`').skip(1).step_by(2);
            let paths = names.filter(|name| name.contains('/'));
            missing.extend(paths.filter(|path| !root.join("domainmgr/src").join(path).exists()));
        }
        let named: Vec<&str> = cells
            .last()
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        assert!(!named.is_empty(), "no test: {line}");
        missing.extend(named.into_iter().filter(|name| !known.contains(*name)));
    }
    assert_eq!(
        missing,
        [""; 0],
        "named in {}, and not there",
        doc.display()
    );
    assert_eq!(sentences, 23, "the sentences of the original");
}
