//! Output of a step: effects for the worker to carry out.

use std::time::Duration;

use super::event::Event;
use super::op::Op;
use super::state::order::Answer;
use crate::base::time::Time;
use crate::toolstack::DomainId;

/// Severity of an [`Effect::Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Normal operation.
    Info,
    /// Something went wrong and is being dealt with.
    Warn,
}

/// Effect of a step, for the worker to carry out. Effects are carried out in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write this text to the log.
    Note(Level, String),
    /// Add this event to the domain's history. It is made durable together with the facts.
    Event(Event),
    /// Answer the order with this number.
    Answer(u64, Answer),
    /// Send hints about this domain, and only this one, from now on.
    Watch(DomainId),
    /// Send no more hints.
    Unwatch,
    /// Run this operation, within this time if one is given, and report its [`Outcome`](super::Outcome).
    Run(Op, Option<Duration>),
    /// Send [`Input::Timer`](super::Input::Timer) at this time; `None`: never.
    Wake(Option<Time>),
    /// Remove every file about the key and end the worker.
    Finish,
}
