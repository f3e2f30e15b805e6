//! Live migration, over any pair of descriptors: a socket, two pipes, the standard input and output
//! of an ssh child.
//!
//! Two state machines talk to each other. Each phase is a type, and the step to the next one
//! consumes it, so that no step can be left out or done twice. The words on the wire are those of
//! `xl`: a domain can be sent to `xl migrate-receive`, and received from `xl migrate`.
//!
//! ```text
//!   source                                                  target
//!   Domain::migrate                                         Context::receive_migration
//!      ◀──────────────────────── banner ───────────────────────
//!      ──────────────────── configuration ────────────────────▶
//!   Sender                                                  Receiver
//!      │ send: the guest runs while its memory goes over,      │ receive: a paused copy,
//!      │ then it suspends                                      │ called NAME--incoming
//!      ─────────────────────── stream ────────────────────────▶
//!      ◀──────────────────────── ready ────────────────────────
//!   Sent                                                    Received
//!      │ commit: it is called NAME--migratedaway now           │
//!      ───────────────────────── GO ──────────────────────────▶  ◀── the point of no return
//!   Committed                                                  │ start: it gets its name, and runs
//!      ◀─────────────────────── report ────────────────────────
//!   Outcome
//! ```
//!
//! **Before GO** the guest belongs to the source: whatever fails, is aborted, panics or is dropped
//! there, the guest is resumed and goes on, and its watches are armed anew. The target destroys its
//! copy. If somebody else has resumed the guest by then, what was sent is out of date: it is not given
//! away, and whatever it is suspended for since is not touched. **After GO** it may run at the target.
//! If the target then says that it does not, it is resumed; if the target is silent, nobody here can
//! know, and [`Outcome::Undecided`] leaves it suspended: two copies that run at once ruin their disks.
//! Somebody has to look at the target, and then calls [`Undecided::resume_here`] or
//! [`Undecided::destroy_here`].
//!
//! ```no_run
//! # fn example(domain: &libxl::Domain) -> Result<(), Box<dyn std::error::Error>> {
//! use std::{net::TcpStream, time::Duration};
//!
//! use libxl::{Limits, migrate::Outcome};
//!
//! let socket = TcpStream::connect("target:8002")?;
//! let limits = Limits::none().deadline(Duration::from_secs(600));
//! let committed = domain
//!     .migrate(socket.try_clone()?, socket, &limits)?
//!     .send(|progress| println!("{progress}"))?
//!     .commit()?;
//! match committed.outcome(&Limits::none().deadline(Duration::from_secs(60))) {
//!     Outcome::Moved { .. } => println!("it runs there"),
//!     Outcome::Rejected(why) => println!("it runs here: {why}"),
//!     Outcome::Undecided(undecided) => println!("look at the target: {undecided}"),
//! }
//! # Ok(())
//! # }
//! ```

mod receiver;
mod sender;
mod words;

pub use receiver::{Arrived, ReceiveError, Received, Receiver};
pub use sender::{Committed, Outcome, Sender, Sent, Undecided};

/// Hears what a target says: before, and after GO.
#[cfg(fuzzing)]
pub(crate) fn hear(wire: &crate::stream::Wire, clock: &crate::limits::Clock) {
    let _ = wire.expect(words::BANNER, "its banner", clock);
    let _ = wire.expect(words::READY, "word that it has everything", clock);
    let _ = sender::answer(wire, clock);
}

/// What a domain is called at the source once it may run at the target.
const AWAY: &str = "--migratedaway";
/// What a domain is called at the target while it may not run there yet.
const INCOMING: &str = "--incoming";
