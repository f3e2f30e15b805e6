//! The pure core: everything the agent decides about one domain.
//!
//! [`step`] takes the facts and one input, and returns new facts and the effects to run. It does no I/O, reads no
//! clock, starts no thread and logs nothing, so every decision can be tested without Xen.
//!
//! Facts are stored; decisions are derived from them after each input. The most important rules:
//!
//! * Events are [`Input::Hint`]s: a hint only makes the core look at Xen.
//! * A domain is created only after a look at all domains, newer than any hint or operation, has found none with our
//!   uuid.
//! * A suspended domain has not ended: no timer runs, and only a wish to stop ends it. The only suspended domain to be
//!   resumed is one that was suspended here, for a save that came to nothing.
//! * A domain that an outsider ended may live on elsewhere: only a newer wish builds it again.
//! * A guest that was given away to another host goes on here only if that host says that it does not run there.
//! * At most one operation is outstanding.

pub mod abort;
mod adapters;
mod adopt;
mod answers;
mod belief;
mod boot;
mod cancel;
mod changing;
mod context;
mod devices;
mod disks;
mod effect;
mod elsewhere;
mod event;
mod exit_actions;
mod gone;
mod halting;
mod history;
mod holds;
mod inherited;
mod input;
mod looks;
mod migrating;
mod named_files;
mod next;
mod op;
mod orders;
mod reasons;
mod receiving;
mod record;
mod recover;
mod restart_pause;
mod running;
mod same_uuid;
mod saving;
mod screen;
mod starved;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod turns;
mod view;
mod wishes;

pub use self::belief::Belief;
pub use self::effect::{Effect, Level};
pub use self::event::Event;
pub use self::inherited::Inherited;
pub use self::input::{Built, Input, Outcome};
pub use self::op::{Op, Scope};
pub use self::receiving::Landed;
pub use self::record::{Record, Reread};
pub use self::state::facts::Facts;
pub use self::state::job::Job;
pub use self::state::moving::Elsewhere;
pub use self::state::order::{Answer, Given, Hold, Order, Until};
pub use self::state::origin::{Origin, Source};
pub use self::state::wish::{Desired, Pending, Wish};
pub use self::step::step;
pub use self::view::{Kept, State, View, view};
pub use crate::base::time::{Now, Time};
