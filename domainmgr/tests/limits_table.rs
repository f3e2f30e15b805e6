//! Each row of `docs/limits.md` names a test that there is.
#![allow(clippy::unwrap_used, reason = "a test may")]

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

#[test]
fn each_row_names_a_test_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("docs/limits.md")).unwrap();
    let rows = table.lines().skip_while(|l| !l.starts_with("| field"));
    let rows: Vec<&str> = rows.skip(2).take_while(|l| l.starts_with('|')).collect();
    assert!(rows.len() > 50, "{}", rows.len());
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
