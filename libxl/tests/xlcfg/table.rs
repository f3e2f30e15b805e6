//! The table of keys in `docs/xl-cfg.md` against the code and the corpus.

use std::{collections::BTreeMap, fs, path::Path};

use libxl::xlcfg::{KEYS, XlConfig};

use super::corpus::{Case, corpus};

/// A row, for a key or a parameter of a key: the Xen release that introduced it, and the case that
/// covers it.
struct Row {
    since: String,
    case: String,
}

fn rows() -> BTreeMap<String, Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/xl-cfg.md");
    let text = fs::read_to_string(path).unwrap();
    let cells = |line: &str| -> Option<Vec<String>> {
        let line = line.strip_prefix("| `")?.strip_suffix(" |")?;
        let cells = line
            .split(" | ")
            .map(|cell| cell.replace('`', "").trim().to_owned());
        Some(cells.collect())
    };
    let mut rows = BTreeMap::new();
    for line in text.lines().skip_while(|line| *line != "## Keys") {
        let Some(row) = cells(line).filter(|row| row.len() == 3) else {
            continue;
        };
        let [key, since, case] = <[String; 3]>::try_from(row).unwrap();
        let before = rows.insert(key.clone(), Row { since, case });
        assert!(before.is_none(), "{key} is there twice");
    }
    rows
}

/// Keys and parameters that the code knows, named as in the table, each with its release.
fn known() -> BTreeMap<String, u32> {
    let mut known = BTreeMap::new();
    for key in KEYS {
        known.insert(key.name.to_owned(), key.since);
        for (parameter, since) in key.parameters {
            known.insert(format!("{}: {parameter}", key.name), *since);
        }
    }
    known
}

#[test]
fn every_key_is_in_the_table_and_in_its_case() {
    let cases: BTreeMap<&str, Case> = corpus().map(|case| (case.name, case)).collect();
    let mut rows = rows();
    for (name, since) in known() {
        let row = rows
            .remove(&name)
            .unwrap_or_else(|| panic!("docs/xl-cfg.md lacks {name}"));
        let expected = match since {
            14 => "4.14 or older".to_owned(),
            minor => format!("4.{minor}"),
        };
        assert_eq!(row.since, expected, "{name}");
        let case = cases
            .get(row.case.as_str())
            .unwrap_or_else(|| panic!("{name}: there is no case {}", row.case));
        let (key, parameter) = match name.split_once(": ") {
            Some((key, parameter)) => (key, parameter),
            None => (name.as_str(), ""),
        };
        let file = XlConfig::parse_with(case.text, case.name, &case.overrides).unwrap();
        assert!(file.keys().contains(&key), "{name} is not in {}", row.case);
        assert!(
            case.text.contains(parameter),
            "{name} is not in {}",
            row.case
        );
    }
    let left: Vec<&String> = rows.keys().collect();
    assert!(left.is_empty(), "docs/xl-cfg.md has unknown keys: {left:?}");
}
