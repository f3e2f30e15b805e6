//! How a disk is used.

/// Use of a disk, as the key `mode` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The guest reads.
    Read,
    /// The guest writes.
    Write,
    /// The guest writes, and nobody checks who else does.
    Unchecked,
}

impl Mode {
    /// Reads `r`, `w`, `ro`, `rw`, `w!`, `rw!`.
    pub(super) fn parse(text: &str) -> Self {
        match (text.contains('w'), text.contains('!')) {
            (false, _) => Self::Read,
            (true, false) => Self::Write,
            (true, true) => Self::Unchecked,
        }
    }

    /// Returns the mode if others are to be checked.
    pub(super) fn checked(self) -> Option<Self> {
        (self != Self::Unchecked).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_count() {
        for (text, mode) in [
            ("r", Mode::Read),
            ("ro", Mode::Read),
            ("", Mode::Read),
            ("w", Mode::Write),
            ("rw", Mode::Write),
            ("w!", Mode::Unchecked),
            ("rw!", Mode::Unchecked),
        ] {
            assert_eq!(Mode::parse(text), mode, "{text}");
        }
    }
}
