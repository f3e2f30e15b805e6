//! An in-memory model of Xen's semantics, no more lenient than the real Xen.
//!
//! [`model`] is pure: domains, flags, names, memory, the delivery of events, and guests that behave as their command
//! line says. `engine` lets time pass, and [`Simulation`] implements the traits of the toolstack on top of it. [`control`]
//! lets an outsider interfere.
//!
//! Words of the command line set the behaviour of a guest. The lab's real guests understand `lab.*`, too:
//!
//! | word | effect |
//! |---|---|
//! | `lab.action=poweroff`, `reboot` or `crash` | the guest does this of its own accord … |
//! | `lab.after=SECONDS` | … this long after it was started (default 3) |
//! | `sim.once` | … but only the first time it runs |
//! | `sim.reason=N` | `lab.action` ends with this shutdown reason instead |
//! | `sim.stop=SECONDS` | it takes this long to obey a shutdown request (default 1) |
//! | `sim.stubborn` | it acknowledges shutdown requests and does not obey |
//! | `sim.deaf` | it does not even acknowledge them |
//! | `sim.deaf=SECONDS` | it does not acknowledge them while it boots: this long after each start (default 0.5) |
//! | `sim.nopv` | it has no PV drivers (HVM) |
//! | `sim.blind`, `sim.blind=SECONDS` | it never connects to its devices, or only after it has run this long |
//! | `sim.create=SECONDS`, `sim.destroy=SECONDS` | creating or destroying it takes this long (default 0.2) |
//! | `sim.dying=SECONDS` | it is listed, and has its memory, this long after it was destroyed (default 0.05) |
//! | `sim.fail-create=N`, `sim.fail-unpause=N`, `sim.fail-destroy=N`, `sim.fail-watch=N` | the first N attempts fail |
//! | `sim.clings` | it does not release disks, and releases interfaces only by force |
//! | `sim.noballoon` | it neither gives memory back nor takes more |
//! | `sim.least=MIB` | it cannot do with less memory (default 16) |
//! | `sim.cpus` | it goes on using all processors that it has |
//! | `sim.fail-attach=N` | the first N devices that are attached while it runs fail, and are left half made |
//! | `sim.evtchn` | it suspends through an event channel, which is announced to nobody |
//! | `sim.fail-soft-reset` | a soft reset fails, and the domain is gone with it |
//! | `sim.litter` | a create that fails leaves a half-built domain behind |
//! | `sim.panic` | creating it is a bug in the agent |

mod build;
mod changes;
pub mod control;
mod devices;
mod domain;
mod engine;
mod events;
mod guest;
mod late;
mod life;
mod live;
mod migration;
pub mod model;
mod outsider;
mod pci;
mod refusals;
mod saved;
mod session;
mod simulation;
mod sources;
#[cfg(test)]
mod tests;
mod watcher;

pub use self::simulation::Simulation;
