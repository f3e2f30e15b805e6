//! docs/xen-versions.md says which version has what; the headers of this build and the documentation
//! of the fields agree with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may.

use std::{collections::BTreeSet, fs, path::Path};

use libxl::{BUILT_FOR, have};

#[allow(dead_code, reason = "shared with tests that use all of it")]
mod idl;

const DOCUMENT: &str = include_str!("../../docs/xen-versions.md");

/// A row of a table: a version, a feature and the rest of the row.
#[derive(Clone)]
struct Row {
    since: (u32, u32),
    feature: Option<String>,
    rest: String,
}

fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The rows of the table under a heading.
fn table(heading: &str) -> Vec<Row> {
    let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| 4."));
    let rows: Vec<Row> = rows
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let feature = cells[1].trim_matches('`').to_lowercase();
            Row {
                since: version(cells[0]),
                feature: (feature != "–").then_some(feature),
                rest: cells[2].to_owned(),
            }
        })
        .collect();
    assert!(rows.len() > 5, "{heading}: {} rows", rows.len());
    rows
}

#[test]
fn features_are_where_the_document_has_them() {
    let now = version(BUILT_FOR);
    for row in [table("Functions"), table("Fields of the configuration")].concat() {
        let Some(feature) = row.feature else { continue };
        if row.rest.ends_with("; Arm")
            && cfg!(not(any(target_arch = "arm", target_arch = "aarch64")))
        {
            // Declared everywhere or not; see the functions.
            continue;
        }
        assert_eq!(have(&feature), now >= row.since, "{feature} in {BUILT_FOR}");
    }
}

/// Every feature that the code asks for is in the document.
#[test]
fn features_that_the_code_uses_are_in_the_document() {
    let document: BTreeSet<String> = [table("Functions"), table("Fields of the configuration")]
        .concat()
        .into_iter()
        .filter_map(|row| row.feature)
        .collect();
    let mut used = BTreeSet::new();
    for source in sources("src") {
        for piece in source.split("libxl_have = \"").skip(1) {
            used.insert(piece.split('"').next().unwrap().to_owned());
        }
    }
    assert!(used.len() > 5, "{used:?}");
    let missing: Vec<_> = used.difference(&document).collect();
    assert!(
        missing.is_empty(),
        "not in docs/xen-versions.md: {missing:?}"
    );
}

fn sources(directory: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                all.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    all
}

/// The fields that came after 4.14, with their version. Names have no indices: `disks.trusted`.
fn fields_of_the_document() -> Vec<((u32, u32), String)> {
    let rows = table("Fields of the configuration");
    let fields = rows.iter().flat_map(|row| {
        let names = row.rest.split('`').skip(1).step_by(2);
        names.map(|name| (row.since, name.to_owned()))
    });
    fields.collect()
}

fn is_within(field: &str, name: &str) -> bool {
    field == name || field.starts_with(&format!("{name}."))
}

#[test]
fn fields_are_where_the_document_has_them() {
    let header = Path::new(env!("LIBXL_HEADERS")).join("_libxl_types.h");
    let header = fs::read_to_string(header).unwrap();
    let fields = idl::fields_of(&header, "libxl_domain_config");
    let fields: Vec<String> = fields
        .iter()
        .map(|field| field[1..].replace("/0", "").replace('/', "."))
        .collect();
    let now = version(BUILT_FOR);
    let listed = fields_of_the_document();
    for (since, name) in &listed {
        let there = fields.iter().any(|field| is_within(field, name));
        assert_eq!(there, now >= *since, "{name} in {BUILT_FOR}");
    }
    // The oldest version that is supported has nothing that is not in all of them.
    let old = fields.iter().filter(|field| {
        let later = |(_, name): &((u32, u32), String)| is_within(field, name);
        !listed.iter().any(later)
    });
    assert_eq!(old.count(), FIELDS_OF_4_14, "fields without a version");
}

/// Number of fields in Xen 4.14. A later field that is not in the document makes the number wrong.
const FIELDS_OF_4_14: usize = 353;

/// The documentation of a later field, or of the structure that it is in, names the version.
#[test]
fn later_fields_say_since_when() {
    let sources = sources("src/config").concat();
    for ((major, minor), name) in fields_of_the_document() {
        let since = format!("Since Xen {major}.{minor}");
        let says = |declaration: &str| {
            sources.match_indices(declaration).any(|(at, _)| {
                let above = sources[..at].lines().rev();
                let mut above = above
                    .map(str::trim)
                    .take_while(|line| line.is_empty() || line.starts_with(['/', '#']));
                above.any(|line| line.starts_with("///") && line.contains(&since))
            })
        };
        // The documentation of the field, or of the one that it is in.
        let mut parts = name.rsplit('.').take(2);
        assert!(
            parts.any(|part| says(&format!("pub {part}: ")) || says(&format!("pub r#{part}: "))),
            "{name}: its documentation does not say {since:?}"
        );
    }
}
