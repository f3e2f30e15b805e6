//! Live migration, over any pair of descriptors: a socket, two pipes, the standard input and output
//! of an ssh child.
//!
//! Two state machines talk to each other. Each phase is a type, and the step to the next one
//! consumes it, so no step can be left out or done twice. The messages on the wire are those of
//! `xl`, so a domain can be sent to `xl migrate-receive`, and received from `xl migrate`.
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
//!   Committed                                               Granted
//!      │                                                       │ start: it gets its name, and runs
//!      ◀─────────────────────── report ────────────────────────
//!   Outcome
//! ```
//!
//! **Before GO** the guest belongs to the source. After a failure, an abort, a panic or a drop
//! there, the guest is resumed and goes on, and its watches are rearmed. The target destroys its
//! copy. If somebody else has resumed the guest by then, the copy is out of date: the guest is not
//! given away, and a later suspend of it is left alone.
//!
//! **After GO** the guest may run at the target. If the target then reports that it does not, the
//! guest is resumed at the source. If the target is silent, the source cannot know, and
//! [`Outcome::Undecided`] leaves the guest suspended: two copies that run at once ruin their disks.
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

pub use receiver::{Arrived, Granted, ReceiveError, Received, Receiver};
pub use sender::{Committed, Outcome, Sender, Sent, Undecided};

/// Reads the messages of a target, before and after GO.
#[cfg(fuzzing)]
pub(crate) fn hear(wire: &crate::stream::Wire, clock: &crate::limits::Clock) {
    let _ = wire.expect(words::BANNER, "its banner", clock);
    let _ = wire.expect(words::READY, "word that it has everything", clock);
    let _ = sender::answer(wire, clock);
}
