//! The bounds, as `docs/SPECIFICATION.md` has them: the document is what is enforced.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::LazyLock;

const DOCUMENT: &str = include_str!("../../docs/SPECIFICATION.md");

/// First cell of the head of the table.
const HEAD: &str = "what";

/// A line of the table.
#[derive(Debug)]
struct Bound {
    what: &'static str,
    beside: &'static str,
    /// Number of domains that it is for; `None` for each.
    domains: Option<usize>,
    most: f64,
}

static BOUNDS: LazyLock<Vec<Bound>> = LazyLock::new(|| bounds(DOCUMENT));

/// Returns the highest allowed ratio of a figure to the one that it is compared with.
pub(crate) fn most(what: &str, beside: &str, domains: Option<usize>) -> Option<f64> {
    let bound = BOUNDS.iter().find(|bound| {
        let everywhere = bound.domains.is_none();
        (bound.what, bound.beside) == (what, beside) && (everywhere || bound.domains == domains)
    });
    bound.map(|bound| bound.most)
}

/// Returns the lines of the table that no figure of these parts was for, up to this number of domains.
pub(crate) fn unmeasured(
    measured: impl Fn(&str, &str, Option<usize>) -> bool,
    domains: usize,
) -> Vec<String> {
    let missing = BOUNDS.iter().filter(|bound| {
        bound.domains.is_none_or(|n| n <= domains)
            && !measured(bound.what, bound.beside, bound.domains)
    });
    missing
        .map(|bound| format!("{}, beside {}", bound.what, bound.beside))
        .collect()
}

/// Reads the first table with this head.
fn bounds(text: &'static str) -> Vec<Bound> {
    let cells = |line: &'static str| -> Option<Vec<&'static str>> {
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(inner.split('|').map(str::trim).collect())
    };
    let mut rows = text.lines().map(cells);
    let is_head = |row: Option<Vec<&str>>| row.is_some_and(|row| row.first() == Some(&HEAD));
    assert!(
        rows.by_ref().any(is_head),
        "docs/SPECIFICATION.md has no table"
    );
    let bounds: Vec<Bound> = rows
        .skip(1)
        .map_while(|row| row)
        .map(|row| bound(&row))
        .collect();
    assert!(!bounds.is_empty(), "the table has no lines");
    bounds
}

fn bound(row: &[&'static str]) -> Bound {
    let [what, beside, domains, most, ..] = *row else {
        panic!("docs/SPECIFICATION.md: too few cells: {row:?}");
    };
    Bound {
        what,
        beside,
        domains: (domains != "any").then(|| number(what, domains)),
        most: number(what, most),
    }
}

fn number<T: FromStr<Err: Display>>(what: &str, text: &str) -> T {
    let parsed = text.parse();
    parsed.unwrap_or_else(|e| panic!("docs/SPECIFICATION.md: {what}: {text:?}: {e}"))
}
