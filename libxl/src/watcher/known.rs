//! Knowledge of one watched domain: its last reported state, and what this process has said of it
//! since the last look. Pure.
//!
//! A look comes some time after the change that it is to find, and others change the domain
//! meanwhile. So this process says when it is about to let a domain go on that has stopped, and,
//! where the domain may stop again at once, that it has gone on. What a look has found out by itself
//! is not reported a second time, in whatever order looks and words come.

use std::mem;

use super::life::{DomainEvent, Found, Life};
use crate::{DomainState, ShutdownReason};

#[derive(Debug, Default)]
pub(super) struct Known {
    life: Life,
    /// The domain had stopped for this reason, and nobody has been told so yet.
    stopped: Option<ShutdownReason>,
    /// It is about to go on from there, and no look has found it running since.
    goes_on: bool,
    /// It has gone on, and nobody has been told so yet.
    went_on: bool,
}

impl Known {
    /// The last reported state.
    pub(super) fn life(&self) -> Life {
        self.life
    }

    /// The domain has stopped for `reason`, and this process is about to let it go on.
    pub(super) fn is_stopped(&mut self, reason: ShutdownReason) {
        self.stopped = (self.life != Life::Shutdown(reason)).then_some(reason);
        self.goes_on = true;
    }

    /// This process has let the domain go on.
    pub(super) fn went_on(&mut self) {
        self.went_on = self.goes_on;
    }

    /// Returns what is to be reported before the next look.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Found> + use<> {
        let stopped = self.stopped.take().map(DomainState::Shutdown);
        let went_on = mem::take(&mut self.went_on).then_some(DomainState::Running);
        stopped.into_iter().chain(went_on).map(Found::State)
    }

    /// Takes over the state that was found, and returns the event if the state is new.
    pub(super) fn advance(&mut self, found: Found) -> Option<DomainEvent> {
        let event = self.life.advance(found);
        match event {
            Some(DomainEvent::Shutdown(reason)) if self.stopped == Some(reason) => {
                self.stopped = None;
            }
            Some(DomainEvent::Resumed) => {
                self.goes_on = false;
                self.went_on = false;
            }
            _ => {}
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainEvent, Found, Known, ShutdownReason};
    use crate::DomainState;

    const RESUMED: DomainEvent = DomainEvent::Resumed;
    const SUSPEND: ShutdownReason = ShutdownReason::SUSPEND;
    const RESET: ShutdownReason = ShutdownReason::SOFT_RESET;

    /// A domain and its watcher, whose steps come in any order.
    struct World {
        state: DomainState,
        known: Known,
        /// State that the look under way has read.
        read: DomainState,
        events: Vec<DomainEvent>,
    }

    type Step = fn(&mut World);

    fn advance(world: &mut World, found: Found) {
        let event = world.known.advance(found);
        world.events.extend(event);
    }

    fn take(world: &mut World) {
        for found in world.known.take() {
            advance(world, found);
        }
    }

    fn read(world: &mut World) {
        world.read = world.state;
    }

    fn report(world: &mut World) {
        advance(world, Found::State(world.read));
    }

    /// Two looks, and a list of all domains between them.
    const WATCHER: &[Step] = &[take, read, report, read, report, take, read, report];

    /// Every order of the steps of both that keeps the order of each.
    fn orders(one: &[Step], other: &[Step]) -> Vec<Vec<Step>> {
        let starting = |rest: Vec<Vec<Step>>, first: Step| {
            let with = rest.into_iter().map(move |mut order| {
                order.insert(0, first);
                order
            });
            with.collect::<Vec<_>>()
        };
        match (one, other) {
            ([], steps) | (steps, []) => vec![steps.to_vec()],
            ([first, rest @ ..], [second, others @ ..]) => {
                let mut all = starting(orders(rest, other), *first);
                all.extend(starting(orders(one, others), *second));
                all
            }
        }
    }

    /// Reports of every order, for a domain that has stopped for `reason`.
    fn all_reports(reason: ShutdownReason, program: &[Step]) -> Vec<Vec<DomainEvent>> {
        let stopped = DomainState::Shutdown(reason);
        let mut all = Vec::new();
        for order in orders(program, WATCHER) {
            for reported in [false, true] {
                let mut world = World {
                    state: stopped,
                    known: Known::default(),
                    read: stopped,
                    events: Vec::new(),
                };
                if reported {
                    report(&mut world);
                }
                let last = [take, read, report];
                for step in order.iter().copied().chain(last.map(|step| step as Step)) {
                    step(&mut world);
                }
                all.push(world.events);
            }
        }
        all
    }

    #[test]
    fn a_resume_is_reported_once_and_after_the_suspend() {
        let program: &[Step] = &[
            |world| world.known.is_stopped(SUSPEND),
            |world| world.state = DomainState::Running,
        ];
        for events in all_reports(SUSPEND, program) {
            assert_eq!(events, [DomainEvent::Shutdown(SUSPEND), RESUMED]);
        }
    }

    #[test]
    fn a_reset_that_asks_for_the_next_at_once_is_reported_twice() {
        let program: &[Step] = &[
            |world| world.known.is_stopped(RESET),
            |world| world.state = DomainState::Running,
            |world| world.state = DomainState::Shutdown(RESET),
            |world| world.known.went_on(),
        ];
        let asked = DomainEvent::Shutdown(RESET);
        for events in all_reports(RESET, program) {
            assert_eq!(events, [asked, RESUMED, asked]);
        }
    }

    #[test]
    fn one_that_nobody_lets_go_on_is_as_it_is_found() {
        for events in all_reports(SUSPEND, &[]) {
            assert_eq!(events, [DomainEvent::Shutdown(SUSPEND)]);
        }
    }
}
