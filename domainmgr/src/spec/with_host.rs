//! A domain's share in what happens to all domains when the host starts and goes down.

use serde::{Deserialize, Serialize};

/// The most domains that one can come after.
pub const MOST: usize = 64;

/// Wishes of a domain for the times when the host starts and goes down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithHost {
    /// Those with a higher priority start earlier and stop later.
    pub priority: i32,
    /// NAMEs of domains that this one needs. It starts after them and stops before them, whatever the priorities are.
    pub after: Vec<String>,
    /// Action on the domain; `None`: the same as on all others.
    pub on_stop: Option<OnHostStop>,
}

/// Action on a domain when the host goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnHostStop {
    /// It is saved, and goes on with the host from where it was.
    Save,
    /// It is shut down, and boots with the host.
    Shutdown,
}

impl OnHostStop {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Save, Self::Shutdown];

    /// The word for it in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Shutdown => "shutdown",
        }
    }

    /// Returns what a word stands for; an empty one for `None`.
    ///
    /// # Errors
    /// There is no such word. The text names those that there are.
    pub fn parse(word: &str) -> Result<Option<Self>, String> {
        if word.is_empty() {
            return Ok(None);
        }
        let found = Self::ALL.into_iter().find(|one| one.word() == word);
        found
            .map(Some)
            .ok_or_else(|| format!("expected \"save\" or \"shutdown\", found {word:?}"))
    }
}

/// Checks the names of the domains that one comes after.
///
/// # Errors
/// A name is empty, or there are too many.
pub fn check_after(after: &[String]) -> Result<(), String> {
    if after.len() > MOST {
        return Err(format!("{} domains, the most are {MOST}", after.len()));
    }
    match after.iter().position(String::is_empty) {
        Some(i) => Err(format!("the name of domain {} is empty", i + 1)),
        None => Ok(()),
    }
}
