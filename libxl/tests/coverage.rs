//! Every public function of libxl's headers is wrapped, or `UNWRAPPED.md` says why not.
//!
//! A function is wrapped if an item of this crate carries its name as a `doc(alias)` and the code
//! calls it. The functions are those of the headers that this build is made for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const HEADERS: [&str; 5] = [
    "libxl.h",
    "libxl_event.h",
    "libxl_utils.h",
    "libxl_uuid.h",
    "libxlutil.h",
];

/// The sections of `UNWRAPPED.md`: the accepted reasons. There is none for work still to be done.
const REASONS: [&str; 5] = [
    "Removed feature",
    "Compatibility alias",
    "Better served by Rust's std",
    "Internal to another wrapped one",
    "Asked of the hypervisor itself",
];

/// C without comments, preprocessor lines and the bodies of functions.
fn declarations(header: &str) -> Vec<String> {
    let mut text = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        text.push(' ');
        rest = comment.split_once("*/").expect("a comment ends").1;
    }
    text.push_str(rest);
    let text = text.replace("\\\n", " ");
    let lines = text
        .lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .filter(|line| !line.trim_start().starts_with('#'));

    let mut all = Vec::new();
    let mut current = String::new();
    let mut depth = 0;
    for c in lines.flat_map(|line| line.chars().chain([' '])) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth > 0 => continue,
            _ => current.push(c),
        }
        let inline = c == '}' && current.contains('(');
        if depth == 0 && (c == ';' || inline) {
            all.push(std::mem::take(&mut current));
        }
    }
    all
}

/// The name of the function that a declaration declares, if it is one of libxl's own.
fn function(declaration: &str) -> Option<&str> {
    let declaration = declaration.trim();
    if declaration.starts_with("typedef") || declaration.starts_with("static") {
        return None;
    }
    let before = declaration.split_once('(')?.0.trim_end();
    let start = before
        .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .map_or(0, |at| at + 1);
    let name = &before[start..];
    let public =
        name.starts_with("xlu_") || (name.starts_with("libxl_") && !name.starts_with("libxl__"));
    public.then_some(name)
}

fn functions_of_the_headers() -> BTreeSet<String> {
    let dir = Path::new(env!("LIBXL_HEADERS"));
    let mut names = BTreeSet::new();
    for header in HEADERS {
        let text = fs::read_to_string(dir.join(header)).expect(header);
        let before = names.len();
        names.extend(
            declarations(&text)
                .iter()
                .filter_map(|declaration| function(declaration))
                .map(str::to_owned),
        );
        assert!(names.len() > before, "{header}: no functions found");
    }
    names
}

/// The names in `doc(alias)`, and the words of the code outside of comments and strings.
fn aliases_and_words() -> (BTreeSet<String>, BTreeSet<String>) {
    let mut aliases = BTreeSet::new();
    let mut words = BTreeSet::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                note(
                    &fs::read_to_string(&path).unwrap(),
                    &mut aliases,
                    &mut words,
                );
            }
        }
    }
    (aliases, words)
}

fn note(source: &str, aliases: &mut BTreeSet<String>, words: &mut BTreeSet<String>) {
    for line in source.lines().map(str::trim_start) {
        if let Some(alias) = line.strip_prefix("#[doc(alias = \"") {
            aliases.insert(alias.split('"').next().unwrap().to_owned());
            continue;
        }
        // Every other piece between quotation marks is a string.
        let code = line.split("//").next().unwrap();
        for code in code.split('"').step_by(2) {
            let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            words.extend(code.split(|c| !part(c)).map(str::to_owned));
        }
    }
}

/// Entries of `UNWRAPPED.md`: function, section, explanation.
fn listed(text: &str) -> BTreeMap<String, (String, String)> {
    let mut section = String::new();
    let mut all = BTreeMap::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            assert!(
                REASONS.contains(&title),
                "UNWRAPPED.md: {title:?} is not an accepted reason"
            );
            section = title.to_owned();
        } else if let Some(entry) = line.strip_prefix("- `") {
            let (name, why) = entry.split_once('`').expect("a name between backticks");
            assert!(
                !section.is_empty() && why.len() > ": ".len(),
                "UNWRAPPED.md does not say why {name} is listed"
            );
            let entry = (section.clone(), why.to_owned());
            let twice = all.insert(name.to_owned(), entry).is_some();
            assert!(!twice, "UNWRAPPED.md lists {name} twice");
        }
    }
    all
}

#[test]
fn every_function_is_wrapped_or_listed() {
    let functions = functions_of_the_headers();
    let (aliases, words) = aliases_and_words();
    let listed = listed(include_str!("../UNWRAPPED.md"));
    let is_wrapped = |name: &str| aliases.contains(name) && words.contains(name);

    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &functions {
        let count = match (listed.get(name), is_wrapped(name)) {
            (None, true) => "wrapped",
            (Some((section, _)), false) => section,
            (Some(_), true) => continue,
            (None, false) if aliases.contains(name) => {
                wrong.push(format!(
                    "{name} is an alias in the documentation, and not called"
                ));
                continue;
            }
            (None, false) => {
                wrong.push(format!(
                    "{name} is neither wrapped nor listed in UNWRAPPED.md"
                ));
                continue;
            }
        };
        *counts.entry(count).or_default() += 1;
    }
    for (name, (section, why)) in &listed {
        // Also for functions that only other headers have.
        if is_wrapped(name) {
            wrong.push(format!("{name} is wrapped, and listed in UNWRAPPED.md"));
        }
        if section == "Internal to another wrapped one" {
            let other = why.split('`').nth(1).unwrap_or_default();
            if !is_wrapped(other) {
                wrong.push(format!(
                    "{name} is listed as internal to {other:?}, which is not wrapped"
                ));
            }
        }
    }
    let absent = listed.keys().filter(|name| !functions.contains(*name));
    let absent: Vec<&str> = absent.map(String::as_str).collect();

    println!(
        "functions of the headers of Xen {}: {}",
        libxl::BUILT_FOR,
        functions.len()
    );
    for (what, count) in &counts {
        println!("{count:>6}  {what}");
    }
    println!("listed and not in these headers: {}", absent.join(", "));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nothing gets onto the list without one of the reasons.
#[test]
fn what_is_not_done_cannot_be_listed() {
    for text in [
        "## Open\n\n- `libxl_x`: later",
        "- `libxl_x`: before any heading",
        "## Removed feature\n\n- `libxl_x`",
        "## Removed feature\n\n- `libxl_x`: once\n- `libxl_x`: twice",
    ] {
        std::panic::catch_unwind(|| listed(text)).expect_err(text);
    }
    assert_eq!(listed("## Removed feature\n\n- `libxl_x`: gone").len(), 1);
}

#[test]
fn declarations_are_told_from_what_looks_like_them() {
    let header = r"
        /* int libxl_in_comment(void); */
        #define libxl_macro(x) \
            libxl_continued(x)
        typedef int libxl_callback(int);
        struct libxl_thing { int (*libxl_member)(void); };
        static inline int libxl_inline(void) { return libxl_called(); }
        const char *libxl_real(libxl_ctx *ctx,
                               int n) ATTRIBUTE;
        int libxl__internal(void);
        XLU_Config *xlu_real(FILE *report);
    ";
    let all = declarations(header);
    let names: Vec<&str> = all.iter().filter_map(|d| function(d)).collect();
    assert_eq!(names, ["libxl_real", "xlu_real"]);
}

#[test]
fn a_name_in_a_comment_or_a_string_is_not_a_call() {
    let (mut aliases, mut words) = (BTreeSet::new(), BTreeSet::new());
    let source = "/// libxl_a\n#[doc(alias = \"libxl_b\")]\nlet x = \"libxl_c\"; // libxl_d\nsys::libxl_e(x)";
    note(source, &mut aliases, &mut words);
    assert_eq!(aliases, ["libxl_b".to_owned()].into());
    assert!(words.contains("libxl_e"));
    for no in ["libxl_a", "libxl_b", "libxl_c", "libxl_d"] {
        assert!(!words.contains(no), "{no}");
    }
}
