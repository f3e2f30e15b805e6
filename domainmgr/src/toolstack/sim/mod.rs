//! A model of Xen's semantics in memory, no kinder than the real one.
//!
//! [`model`] is pure: domains, flags, names, memory, what is announced to whom, and guests that behave as their command
//! line says. [`engine`] lets time pass and implements the traits of the toolstack over it. [`control`] lets an outsider
//! interfere.
//!
//! A guest is told how to behave by words of its command line. `lab.*` are understood by the lab's real guests too:
//!
//! | word | effect |
//! |---|---|
//! | `lab.action=poweroff`, `reboot` or `crash` | the guest does this by itself … |
//! | `lab.after=SECONDS` | … so long after it was started (default 3) |
//! | `sim.once` | … but only the first time it runs |
//! | `sim.reason=N` | `lab.action` ends with this shutdown reason instead |
//! | `sim.stop=SECONDS` | it takes so long to obey a shutdown request (default 1) |
//! | `sim.stubborn` | it acknowledges shutdown requests and does not obey |
//! | `sim.deaf` | it does not even acknowledge them |
//! | `sim.deaf=SECONDS` | nor does it as long as it boots: so long after each start (default 0.5) |
//! | `sim.nopv` | it has no PV drivers (HVM) |
//! | `sim.blind`, `sim.blind=SECONDS` | it never connects to its devices, or only after it has run so long |
//! | `sim.create=SECONDS`, `sim.destroy=SECONDS` | how long that takes (default 0.2) |
//! | `sim.dying=SECONDS` | how long it is listed, and has its memory, after it was destroyed (default 0.05) |
//! | `sim.fail-create=N`, `sim.fail-unpause=N`, `sim.fail-destroy=N`, `sim.fail-watch=N` | the first N attempts fail |
//! | `sim.clings` | it does not let go of disks, and of interfaces only by force |
//! | `sim.noballoon` | it neither gives memory back nor takes more |
//! | `sim.least=MIB` | it cannot do with less memory (default 16) |
//! | `sim.cpus` | it goes on using all processors that it has |
//! | `sim.fail-attach=N` | the first N devices that are attached while it runs fail, and are left half made |
//! | `sim.evtchn` | it suspends through an event channel, which is announced to nobody |
//! | `sim.fail-soft-reset` | a soft reset fails, and the domain is gone with it |
//! | `sim.litter` | a create that fails leaves a half-built domain behind |
//! | `sim.panic` | creating it is a bug in the agent |

pub mod control;
mod domain;
pub mod engine;
mod events;
mod guest;
mod live;
pub mod model;
mod outsider;
mod pci;
mod refusals;
#[cfg(test)]
mod tests;
mod watcher;

pub use self::engine::Simulation;
