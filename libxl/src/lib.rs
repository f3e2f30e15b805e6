//! Xen: a safe wrapper of libxl, the library with which Xen hosts are managed.
//!
//! A program in dom0 opens a [`Context`], describes a domain in a [`DomainConfig`], creates it,
//! and learns what becomes of it through a [`Watcher`]:
//!
//! ```text
//!  Context::builder() ──open──▶ Context ──domain_create_new──▶ Domain (paused)
//!                                                               │ unpause
//!                                  ┌──────────◀── resume ───┐   ▼
//!                                  ▼                        │ Running ◀──▶ Paused
//!     Watcher ◀── Shutdown ── Shutdown(reason) ── if SUSPEND┘   │
//!        ▲                         │                            │
//!        └─────────── Death ── gone ◀────────── destroy ────────┘
//! ```
//!
//! **A shutdown is not a death.** A guest that powers off, reboots, crashes or suspends stops
//! running; its memory and its devices stay until somebody destroys it. A guest that suspended, for
//! a save or a migration, may be resumed, and then lives on. The [`Watcher`] reports what happens
//! to it later as well, although libxl's own event sources do not.
//!
//! # A first program
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use libxl::{Context, DomainConfig, DomainEvent, Limits, ShutdownReason, Watcher};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let ctx = Context::open()?;
//!     let watcher = Watcher::start(Context::builder())?;
//!
//!     let config = DomainConfig::pvh("hello")
//!         .kernel("/boot/vmlinuz-guest")
//!         .ramdisk("/boot/initrd-guest")
//!         .cmdline("console=hvc0")
//!         .memory_mib(256);
//!     let domain = ctx.domain(ctx.domain_create_new(&config)?.wait()?);
//!     let (_watch, events) = watcher.watch_channel(domain.id())?;
//!     domain.unpause().wait()?;
//!
//!     domain.request_shutdown(&Limits::none().deadline(Duration::from_secs(60)))?;
//!     for event in events {
//!         println!("domain {} {event}", domain.id());
//!         match event {
//!             DomainEvent::Shutdown(ShutdownReason::SUSPEND) => {} // not an end
//!             DomainEvent::Shutdown(_) => domain.destroy().wait()?,
//!             DomainEvent::Death => break,
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Saving and migrating
//!
//! [`Domain::save_file`] and [`Context::restore`] put a guest into a file and take it out again,
//! [`Domain::checkpoint`] lets it run on, and [`migrate`] moves it to another host while it runs.
//! A guest whose save or migration fails goes on running where it was, and stays watched; that is
//! seen to here, also when it suspends only after everybody has given up ([`SuspendError`]).
//!
//! # Conventions
//!
//! * Names are those of libxl without the prefix; every wrapper carries the C name as a search
//!   alias. Sizes are in the unit that libxl uses, and mostly say so in their name.
//! * What takes time is an [`Operation`]: waited for, with a deadline or an [`AbortHandle`] if
//!   wanted.
//! * An [`Error`] says which C function failed, for which domain, and what libxl logged: the cause
//!   is often only there. Print it with `{:#}`.
//! * A domain is addressed by its [`DomainId`], id and UUID together, because ids are reused.
//! * Dropping a handle never touches a domain. Dropping an unfinished [migration](migrate) calls it
//!   off: the guest goes on at the source.
//!
//! # Threads and processes
//!
//! Everything is `Send`, and a [`Context`] can be shared; long operations go best on a context of
//! the thread's own. libxl forks children and by default installs a SIGCHLD handler that reaps only
//! those ([`SigchldMode`]): the program must not install one too. Threads that call libxl need a
//! stack of 256 KiB. libxl ends the process when it runs out of memory.
//!
//! # Versions
//!
//! One API for every Xen from 4.14 on; it is built against the headers of the libxl that is
//! installed. What that libxl lacks fails with [`ErrorKind::Unsupported`] and names the feature;
//! [`have`] asks beforehand.

#[cfg(test)]
extern crate self as libxl; // Some tests are shared with those that are outside.

pub mod config;
pub mod console;
pub mod cpupool;
pub mod device;
pub mod flask;
pub mod hypervisor;
pub mod memory;
pub mod migrate;
pub mod psr;
pub mod quota;
pub mod sched;
pub mod topology;
pub mod vcpu;
pub mod xlcfg;

mod abort;
mod context;
mod domain;
mod error;
mod have;
mod host;
mod id;
mod json;
mod logger;
mod operation;
mod overlay;
mod pci;
mod progress;
mod pump;
mod raw;
mod shutdown_reason;
mod stream;
mod watcher;

pub use abort::AbortHandle;
pub use config::DomainConfig;
pub use context::{Context, ContextBuilder, SigchldMode};
pub use domain::{
    Domain, DomainInfo, DomainState, Saving, ShutdownVia, Source, SuspendError, Suspended, Trigger,
};
pub use error::{Error, ErrorKind, Result};
pub use have::{BUILT_FOR, have};
pub use host::{PhysInfo, VersionInfo};
pub use id::{DomId, DomainId};
pub use logger::LogLine;
pub use operation::{Limits, Operation, Running};
pub use overlay::OverlayOp;
pub use progress::Progress;
pub use shutdown_reason::ShutdownReason;
pub use stream::SavedHeader;
pub use watcher::{DomainEvent, RESYNC, Watch, Watcher};
