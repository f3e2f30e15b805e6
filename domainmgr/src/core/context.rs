//! Context of one step, and what the worker does after it.

use super::effect::{Effect, Level};
use super::op::Op;
use super::state::facts::Facts;
use crate::base::time::{Now, Time};

/// The next action of a worker that has no outstanding operation.
pub(super) enum Next {
    Run(Op),
    Wait(Option<Time>),
    Finish,
}

/// Context of one step: the present time, and the effects so far.
pub(super) struct Ctx {
    pub(super) now: Now,
    pub(super) effects: Vec<Effect>,
}

impl Ctx {
    pub(super) fn info(&mut self, text: impl Into<String>) {
        self.effects.push(Effect::Note(Level::Info, text.into()));
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.effects.push(Effect::Note(Level::Warn, text.into()));
    }

    /// Records an error for the DomainStatus, and logs it.
    pub(super) fn fail(&mut self, f: &mut Facts, text: String) {
        self.warn(text.clone());
        f.error = Some((text, self.now.wall));
    }
}
