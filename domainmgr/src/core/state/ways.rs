//! All ways from one phase to another, with what each means.
//!
//! `docs/domain-phases.svg` is drawn from this table. A way that is not in it ends a debug build.

/// Name of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::core) enum Name {
    Down,
    Built,
    Leftover,
    Up,
    Ending,
    Halting,
    PutAway,
    GivenAway,
}

/// Every way, with what has happened.
pub(in crate::core) const WAYS: &[(Name, Name, &str)] = &[
    (Name::Down, Name::Built, "created, restored or received"),
    (Name::Down, Name::Leftover, "found half-built"),
    (Name::Down, Name::Up, "found"),
    (Name::Built, Name::Up, "started"),
    (Name::Built, Name::Leftover, "cannot be started"),
    (Name::Built, Name::Halting, "is to stop"),
    (Name::Built, Name::Down, "gone"),
    (Name::Leftover, Name::Up, "started by others"),
    (Name::Leftover, Name::Down, "gone"),
    (Name::Up, Name::Ending, "the guest has ended"),
    (Name::Up, Name::Halting, "is to stop or to restart"),
    (Name::Up, Name::PutAway, "saved"),
    (Name::Up, Name::GivenAway, "given to another host"),
    (Name::Up, Name::Down, "ended by others"),
    (Name::Ending, Name::Up, "runs again, or lives on elsewhere"),
    (Name::Ending, Name::Built, "soft-reset"),
    (Name::Ending, Name::Leftover, "soft reset cut short"),
    (Name::Ending, Name::Halting, "is to stop or to restart"),
    (Name::Ending, Name::Down, "destroyed or kept aside"),
    (Name::Halting, Name::Up, "is to run after all"),
    (Name::Halting, Name::Built, "is to run after all"),
    (Name::Halting, Name::Down, "destroyed"),
    (Name::PutAway, Name::Up, "resumed by others"),
    (Name::PutAway, Name::Down, "destroyed"),
    (
        Name::GivenAway,
        Name::Up,
        "given back, or resumed by others",
    ),
    (Name::GivenAway, Name::Halting, "is to be destroyed"),
    (Name::GivenAway, Name::Down, "runs elsewhere"),
];

/// Takes note of a way that was gone.
pub(super) fn went(from: Name, to: Name) {
    let known = || from == to || WAYS.iter().any(|(f, t, _)| (*f, *t) == (from, to));
    debug_assert!(known(), "no way from {from:?} to {to:?}");
    #[cfg(test)]
    tests::GONE.lock().unwrap().insert((from, to));
}

#[cfg(test)]
pub(in crate::core) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]

    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::Name;

    /// The ways that tests have gone so far.
    pub(in crate::core) static GONE: Mutex<BTreeSet<(Name, Name)>> = Mutex::new(BTreeSet::new());
}
