//! The files of the corpus, with what their first lines say about them.
//!
//! A line `#! override KEY=VALUE` is an argument that comes after the file. `#! differs FIELD`
//! names a part of the configuration in which `xl` prints a value that it did not set, or that
//! depends on the host. `#! outcome differs: REASON` marks a file that `xl` accepts, refuses or
//! survives by chance. The line `#! needs a context` marks a file that can be read on Xen only.

use super::list::CASES;

/// A file of the corpus.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    /// Arguments after the file.
    pub(crate) overrides: Vec<String>,
    /// Fields that are not compared with those of `xl`, as the beginnings of their paths.
    pub(crate) differs: Vec<&'static str>,
    /// The outcome of `xl` depends on chance.
    pub(crate) outcome_differs: bool,
    /// The file can be read on Xen only.
    #[allow(dead_code)] // The live test, which is on Xen, does not ask.
    pub(crate) needs_context: bool,
}

/// All files.
pub(crate) fn corpus() -> impl Iterator<Item = Case> {
    CASES.iter().map(|(name, text)| {
        let said: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("#! ")).collect();
        let after =
            |word: &'static str| said.iter().filter_map(move |line| line.strip_prefix(word));
        Case {
            name,
            text,
            overrides: after("override ").map(str::to_owned).collect(),
            differs: after("differs ").collect(),
            outcome_differs: after("outcome differs: ").next().is_some(),
            needs_context: said.contains(&"needs a context"),
        }
    })
}
