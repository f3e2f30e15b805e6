//! The phase of a key: whether there is a domain, and what is being done about it.
//!
//! Every phase has the data that means something in it, and no other. All ways from one phase to another are methods of
//! this file; `docs/domain-phases.svg` shows them.

use std::mem;

use super::boot::{Boot, Cause};
use super::domain::Domain;
use super::exit::Exit;
use super::halt::Halt;
use super::moving::{Arrival, Moving};
use super::ways::{self, Name};
use crate::base::time::Time;

/// Phase of a key.
#[derive(Clone, Debug)]
pub(in crate::core) enum Phase {
    /// There is no domain. One may be on its way.
    Down(Boot),
    /// The domain has been built or reset in place, is paused, and has not been started.
    Built(Domain, Unstarted),
    /// A build, start or soft reset that came to nothing left the domain behind. It is destroyed.
    Leftover(Domain, Boot),
    /// The domain has been started, and nothing is to be done about it.
    Up(Domain),
    /// The guest has ended by itself, and its action is being carried out.
    Ending(Domain, Exit),
    /// The domain is being brought down, because it is not to run or is to be restarted.
    Halting(Domain, Halting),
    /// The domain's memory is in a file. The domain is destroyed, and must not run again.
    PutAway(Domain),
    /// The guest was given away to another host, and may run there. The domain is suspended, and does not run again before that
    /// host has said that it does not.
    GivenAway(Domain, Moving),
}

/// A domain that has not been started.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Unstarted {
    /// Progress of the boot that the domain was built for.
    pub(in crate::core) boot: Boot,
    /// The domain was restored from a file.
    pub(in crate::core) restored: bool,
    /// The domain ran until its soft reset.
    pub(in crate::core) reset: bool,
    /// The guest comes from another host.
    pub(in crate::core) arrival: Option<Arrival>,
}

/// A domain that is being brought down.
#[derive(Clone, Debug)]
pub(in crate::core) struct Halting {
    pub(in crate::core) halt: Halt,
    /// The domain had not been started.
    pub(in crate::core) unstarted: Option<Unstarted>,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Down(Boot::default())
    }
}

/// Questions about a phase.
impl Phase {
    /// Name of the phase.
    pub(in crate::core) fn name(&self) -> Name {
        match self {
            Self::Down(_) => Name::Down,
            Self::Built(..) => Name::Built,
            Self::Leftover(..) => Name::Leftover,
            Self::Up(_) => Name::Up,
            Self::Ending(..) => Name::Ending,
            Self::Halting(..) => Name::Halting,
            Self::PutAway(_) => Name::PutAway,
            Self::GivenAway(..) => Name::GivenAway,
        }
    }

    /// The domain, if there is one.
    pub(in crate::core) fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Down(_) => None,
            Self::Built(domain, _)
            | Self::Leftover(domain, _)
            | Self::Up(domain)
            | Self::Ending(domain, _)
            | Self::Halting(domain, _)
            | Self::GivenAway(domain, _)
            | Self::PutAway(domain) => Some(domain),
        }
    }

    /// The domain, to be changed.
    pub(in crate::core) fn domain_mut(&mut self) -> Option<&mut Domain> {
        match self {
            Self::Down(_) => None,
            Self::Built(domain, _)
            | Self::Leftover(domain, _)
            | Self::Up(domain)
            | Self::Ending(domain, _)
            | Self::Halting(domain, _)
            | Self::GivenAway(domain, _)
            | Self::PutAway(domain) => Some(domain),
        }
    }

    /// Returns whether there is a domain.
    pub(in crate::core) fn has_domain(&self) -> bool {
        self.domain().is_some()
    }

    /// The boot that has not come to a running domain yet.
    pub(in crate::core) fn boot(&self) -> Option<&Boot> {
        match self {
            Self::Down(boot) | Self::Leftover(_, boot) => Some(boot),
            Self::Built(_, built) => Some(&built.boot),
            Self::Halting(_, halting) => halting.unstarted.as_ref().map(|built| &built.boot),
            Self::Up(_) | Self::Ending(..) | Self::PutAway(_) | Self::GivenAway(..) => None,
        }
    }

    /// The boot that has not come to a running domain yet, to be changed.
    pub(in crate::core) fn boot_mut(&mut self) -> Option<&mut Boot> {
        match self {
            Self::Down(boot) | Self::Leftover(_, boot) => Some(boot),
            Self::Built(_, built) => Some(&mut built.boot),
            Self::Halting(_, halting) => halting.unstarted.as_mut().map(|built| &mut built.boot),
            Self::Up(_) | Self::Ending(..) | Self::PutAway(_) | Self::GivenAway(..) => None,
        }
    }

    /// Progress in bringing the domain down.
    pub(in crate::core) fn halt(&self) -> Option<&Halt> {
        match self {
            Self::Halting(_, halting) => Some(&halting.halt),
            _ => None,
        }
    }

    /// Progress in bringing the domain down, to be changed.
    pub(in crate::core) fn halt_mut(&mut self) -> Option<&mut Halt> {
        match self {
            Self::Halting(_, halting) => Some(&mut halting.halt),
            _ => None,
        }
    }

    /// Progress in dealing with the guest's end, to be changed.
    pub(in crate::core) fn exit_mut(&mut self) -> Option<&mut Exit> {
        match self {
            Self::Ending(_, exit) => Some(exit),
            _ => None,
        }
    }

    /// Returns whether the domain goes down because somebody wants it to: it is being brought down, or is saved.
    pub(in crate::core) fn goes_down(&self) -> bool {
        matches!(self, Self::Halting(..) | Self::PutAway(_))
    }

    /// Returns whether an order wants the domain, which is being brought down, again with what its guest has written.
    pub(in crate::core) fn is_built_again(&self) -> bool {
        match self {
            Self::PutAway(_) => true,
            Self::Halting(_, halting) => halting.halt.again,
            _ => false,
        }
    }

    /// The domain, if it is being brought down, is not built again for an order's sake.
    pub(in crate::core) fn not_again(&mut self) {
        if let Some(halt) = self.halt_mut() {
            halt.again = false;
        }
    }

    /// Returns whether the domain has been started, and is not to be tidied away.
    pub(in crate::core) fn is_started(&self) -> bool {
        match self {
            Self::Up(_) | Self::Ending(..) | Self::PutAway(_) | Self::GivenAway(..) => true,
            Self::Halting(_, halting) => halting.unstarted.is_none(),
            Self::Down(_) | Self::Built(..) | Self::Leftover(..) => false,
        }
    }

    /// Returns whether the domain was left behind by something that came to nothing.
    pub(in crate::core) fn is_leftover(&self) -> bool {
        matches!(self, Self::Leftover(..))
    }

    /// Returns whether a restart is under way.
    pub(in crate::core) fn restarts(&self) -> bool {
        self.boot().is_some_and(Boot::is_restart)
    }

    /// Returns whether the boot has failed for good.
    pub(in crate::core) fn boot_failed(&self) -> bool {
        self.boot().is_some_and(|boot| boot.failed.is_some())
    }

    /// Returns whether the last domain ended although it should have run.
    pub(in crate::core) fn has_ended(&self) -> bool {
        self.boot().is_some_and(Boot::has_ended)
    }

    /// Returns whether an outsider ended the last domain.
    pub(in crate::core) fn has_vanished(&self) -> bool {
        self.boot()
            .is_some_and(|boot| boot.cause == Cause::Vanished)
    }
}

/// The ways from one phase to another.
impl Phase {
    /// Down → Built: a domain has been built for the present boot.
    pub(in crate::core) fn built(&mut self, domain: Domain, restored: bool) {
        self.change(|phase| {
            let unstarted = Unstarted {
                boot: phase.into_boot(),
                restored,
                ..Unstarted::default()
            };
            Self::Built(domain, unstarted)
        });
    }

    /// Down → Leftover: a domain was found that a create of this agent left behind.
    pub(in crate::core) fn found_leftover(&mut self, domain: Domain) {
        self.change(|phase| Self::Leftover(domain, phase.into_boot()));
    }

    /// Down → Up: a running domain was found. Ending → Up: the guest lives on in another domain.
    ///
    /// A domain that was being brought down still is, wherever its guest has gone.
    pub(in crate::core) fn found(&mut self, domain: Domain) {
        self.change(|phase| match phase {
            Self::Halting(_, Halting { mut halt, .. }) => {
                // The new domain may not have received a request made to the old one.
                halt.ask_again = halt.asked;
                let unstarted = None;
                Self::Halting(domain, Halting { halt, unstarted })
            }
            _ => Self::Up(domain),
        });
    }

    /// Built → Up, Leftover → Up: the domain runs for the first time. One that is being brought down goes on with that.
    pub(in crate::core) fn started(&mut self) {
        self.change(|phase| match phase {
            Self::Built(domain, _) | Self::Leftover(domain, _) => Self::Up(domain),
            Self::Halting(domain, Halting { halt, .. }) => {
                let unstarted = None;
                Self::Halting(domain, Halting { halt, unstarted })
            }
            other => other,
        });
    }

    /// Built → Leftover, Ending → Leftover, Halting → Leftover: the domain cannot be used. With `instead`, that boot goes on
    /// once it is gone, and otherwise the present one.
    pub(in crate::core) fn left_over(&mut self, instead: Option<Boot>) {
        self.change(|phase| match phase {
            Self::Down(boot) => Self::Down(boot),
            mut there => {
                let boot = there.boot_mut().map(mem::take).unwrap_or_default();
                let domain = there.into_domain();
                let boot = instead.unwrap_or(boot);
                domain.map_or_else(Self::default, |domain| Self::Leftover(domain, boot))
            }
        });
    }

    /// Up → Ending: the guest has ended by itself.
    pub(in crate::core) fn ending(&mut self, exit: Exit) {
        self.change(|phase| match phase {
            Self::Up(domain) | Self::Ending(domain, _) => Self::Ending(domain, exit),
            other => other,
        });
    }

    /// Ending → Up: the domain runs again, without our doing. Returns whether it had ended.
    pub(in crate::core) fn runs_again(&mut self) -> bool {
        let ended = matches!(self, Self::Ending(..));
        self.change(|phase| match phase {
            Self::Ending(domain, _) => Self::Up(domain),
            other => other,
        });
        ended
    }

    /// Ending → Built: the guest has been reset in place. A domain that is being brought down goes on with that.
    pub(in crate::core) fn soft_reset(&mut self) {
        let built = Unstarted {
            reset: true,
            ..Unstarted::default()
        };
        self.change(|phase| match phase {
            Self::Halting(domain, Halting { halt, .. }) => {
                let unstarted = Some(built);
                Self::Halting(domain, Halting { halt, unstarted })
            }
            Self::Up(domain) | Self::Ending(domain, _) => Self::Built(domain, built),
            other => other,
        });
    }

    /// Built → Halting, Up → Halting, Ending → Halting, `GivenAway` → Halting: the domain is brought down. Returns the progress in that, if there
    /// is a domain that is not on its way out for another reason.
    pub(in crate::core) fn halting(&mut self, until: Time) -> Option<&mut Halt> {
        let halting = |unstarted| Halting {
            halt: Halt::begin(until),
            unstarted,
        };
        self.change(|phase| match phase {
            Self::Built(domain, built) => Self::Halting(domain, halting(Some(built))),
            Self::Up(domain) | Self::Ending(domain, _) | Self::GivenAway(domain, _) => {
                Self::Halting(domain, halting(None))
            }
            other => other,
        });
        self.halt_mut()
    }

    /// Halting → Up, Halting → Built: the domain is to run after all, and nothing has been done to it.
    pub(in crate::core) fn run_after_all(&mut self) {
        self.change(|phase| match phase {
            Self::Halting(domain, Halting { unstarted, .. }) => match unstarted {
                Some(built) => Self::Built(domain, built),
                None => Self::Up(domain),
            },
            other => other,
        });
    }

    /// Up → `PutAway`, Halting → `PutAway`: the domain's memory is in a file.
    pub(in crate::core) fn put_away(&mut self) {
        self.change(|phase| match phase {
            Self::Up(domain) | Self::Halting(domain, _) => Self::PutAway(domain),
            other => other,
        });
    }

    /// `PutAway` → Up: somebody has resumed the domain, so its file is out of date.
    pub(in crate::core) fn taken_back(&mut self) {
        self.change(|phase| match phase {
            Self::PutAway(domain) => Self::Up(domain),
            other => other,
        });
    }

    /// Down → Built: a domain has been received from another host.
    pub(in crate::core) fn received(&mut self, domain: Domain, arrival: Arrival) {
        self.change(|phase| {
            let unstarted = Unstarted {
                boot: phase.into_boot(),
                arrival: Some(arrival),
                ..Unstarted::default()
            };
            Self::Built(domain, unstarted)
        });
    }

    /// Up → `GivenAway`: the guest may run at another host from now on.
    pub(in crate::core) fn given_away(&mut self, moving: Moving) {
        self.change(|phase| match phase {
            Self::Up(domain) => Self::GivenAway(domain, moving),
            other => other,
        });
    }

    /// `GivenAway` → Up: the guest goes on here.
    pub(in crate::core) fn came_back(&mut self) {
        self.change(|phase| match phase {
            Self::GivenAway(domain, _) => Self::Up(domain),
            other => other,
        });
    }

    /// Any phase → Down: there is no domain any more, and this is to be known of the next one. Returns the phase that it
    /// was in.
    pub(in crate::core) fn down(&mut self, boot: Boot) -> Self {
        let mut before = Self::Down(boot);
        mem::swap(self, &mut before);
        ways::went(before.name(), self.name());
        before
    }

    fn change(&mut self, change: impl FnOnce(Self) -> Self) {
        let before = self.name();
        *self = change(mem::take(self));
        ways::went(before, self.name());
    }

    /// The boot that has not come to a running domain yet, or else a new one.
    pub(in crate::core) fn into_boot(mut self) -> Boot {
        self.boot_mut().map(mem::take).unwrap_or_default()
    }

    /// The domain by itself.
    pub(in crate::core) fn into_domain(self) -> Option<Domain> {
        match self {
            Self::Down(_) => None,
            Self::Built(domain, _)
            | Self::Leftover(domain, _)
            | Self::Up(domain)
            | Self::Ending(domain, _)
            | Self::Halting(domain, _)
            | Self::GivenAway(domain, _)
            | Self::PutAway(domain) => Some(domain),
        }
    }
}
