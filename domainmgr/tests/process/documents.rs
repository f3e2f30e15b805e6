//! Documents that name tests name tests that there are.

use std::{fs, path::Path};

/// The code of all tests below `dir`.
fn code(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// The rows of all tables of a document whose head begins like this.
fn rows(text: &str, head: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        inside = line.starts_with('|') && (inside || line.starts_with(head));
        if inside && !line.starts_with(head) && !line.starts_with("|---") {
            rows.push(line.to_owned());
        }
    }
    rows
}

/// Each of these rows, of which there are so many at least, ends with the name of a test.
fn each_names_a_test(document: &str, head: &str, least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs").join(document)).unwrap();
    let rows = rows(&text, head);
    assert!(rows.len() >= least, "{}", rows.len());
    let mut tests = String::new();
    for dir in ["domainmgr/src", "domainmgr/tests", "tests/live"] {
        code(&root.join(dir), &mut tests);
    }
    for row in rows {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap().trim();
        let name = cell.trim_matches('`');
        let there = ["", "    "].map(|indent| format!("#[test]\n{indent}fn {name}()"));
        let there = there.iter().any(|lines| tests.contains(lines));
        assert!(!name.is_empty() && there, "no test {cell}: {row}");
    }
}

#[test]
fn each_limit_has_its_test() {
    each_names_a_test("limits.md", "| field |", 50);
}

#[test]
fn each_attempt_has_its_test() {
    each_names_a_test("threat-model.md", "| attempt |", 25);
}
