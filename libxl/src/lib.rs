//! Xen: a safe wrapper of libxl, the library with which Xen hosts are managed.
//!
//! A program in dom0 opens a [`Context`], describes a domain in a [`DomainConfig`], creates it,
//! and learns what becomes of it through a [`Watcher`].
//!
//! # The life of a domain
//!
//! ```text
//!  domain_create_new, restore,              pause
//!  receive_migration ───────────▶ Paused ◀───────── Running ◀──────────────┐
//!                                   │    ─────────▶    │                   │ resume
//!                                   │     unpause      │ the guest stops   │ (only SUSPEND)
//!                                   │                  ▼                   │
//!                                   │          Shutdown(reason) ───────────┘
//!                                   │                  │  └── soft_reset (only SOFT_RESET) ─▶ Paused
//!                                   └──── destroy ─────┤
//!                                                      ▼
//!                                                    Dying ─▶ gone
//! ```
//!
//! These are the values of [`DomainState`]. **A shutdown is not a death.** A guest that powers off,
//! reboots, crashes or suspends stops running; its memory and its devices stay until somebody
//! destroys it. A guest that suspended, for a save or a migration, may be resumed, and then lives on.
//! The [`Watcher`] reports what happens to it later as well, although libxl's own event sources do
//! not.
//!
//! What may be called when; what may not fails with the [`ErrorKind`] that is given here:
//!
//! | call | paused | running | suspended | shut down otherwise | dying, gone |
//! |---|---|---|---|---|---|
//! | [`info`](Domain::info) | yes | yes | yes | yes | `Dying`, then `DomainNotFound` |
//! | [`watch`](Watcher::watch) | yes | yes | yes | yes | says [`Death`](DomainEvent::Death) at once |
//! | [`pause`](Domain::pause), [`unpause`](Domain::unpause) | yes | yes | yes, without effect | yes, without effect | `DomainNotFound` |
//! | [`shutdown`](Domain::shutdown), [`reboot`](Domain::reboot) | `TimedOut`: it cannot answer | yes | `TimedOut` | `TimedOut` | `DomainNotFound` |
//! | [`suspend_only`](Domain::suspend_only), [`save`](Domain::save), [`checkpoint`](Domain::checkpoint), [`migrate`](Domain::migrate) with [`send`](migrate::Sender::send), [`remus_start`](Domain::remus_start) | `GuestTimedOut`: it cannot answer | yes | `Invalid` | `Invalid` | `DomainNotFound` |
//! | [`resume`](Domain::resume) | `Invalid` | `Invalid` | yes; `Invalid` while this process is saving it, or has [given it away](migrate::Committed) | `Invalid` | `DomainNotFound` |
//! | [`soft_reset`](Domain::soft_reset) | `Invalid` | `Invalid` | `Invalid` | with [`SOFT_RESET`](ShutdownReason::SOFT_RESET) and HVM, else `Invalid` | `DomainNotFound` |
//! | configuration, name, userdata, [devices](device), [memory], [vCPUs](vcpu), [shares](sched), [`core_dump`](Domain::core_dump) | yes | yes | yes | yes | `DomainNotFound` |
//! | [`destroy`](Domain::destroy) | yes | yes | yes | yes | `DomainNotFound` |
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
//! The [`guide`] goes on from here: waiting, watching, migrating, failures, and tests without Xen.
//! `examples/` in the repository has a program for each subject; `tour.rs` is once around.
//!
//! # Subjects
//!
//! | what for | where |
//! |---|---|
//! | a connection to Xen | [`Context`], [`ContextBuilder`] |
//! | what a domain is made of | [`config`]; [`xlcfg`] reads the files of `xl` |
//! | making, stopping, ending, naming it | [`domain`] |
//! | hearing what becomes of it, and of all others | [`watcher`], [`events`] |
//! | deadlines, aborts and progress of what takes time | [`operation`] |
//! | saving and restoring, checkpoints | [`Domain::save_file`], [`Context::restore`], [`Domain::checkpoint`] |
//! | moving it to another host, or keeping a copy there | [`migrate`], [`Domain::remus_start`] |
//! | disks, NICs and other devices | [`device`]; [`pci`] for those of the host |
//! | memory and vCPUs | [`memory`], [`vcpu`] |
//! | who gets how much of the CPUs | [`sched`], [`cpupool`], [`psr`] |
//! | consoles and channels | [`console`] |
//! | the machine | [`host`], [`topology`] |
//! | Xen's log, keys and parameters, and odds and ends | [`hypervisor`] |
//! | who may do what | [`flask`], [`quota`] |
//! | devices of Arm machines that come while Xen runs | [`overlay`] |
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
//! * A guest whose save or migration fails goes on running where it was, and stays watched; that is
//!   seen to here, also when it suspends only after everybody has given up ([`SuspendError`]).
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
//!
//! # Features
//!
//! * `log` (default): what libxl and this crate say goes to the `log` crate. Without it, the lines
//!   that belong to an error are still in [`Error::log`], and the others are lost.
//! * `xlutil` (default): the module `xlcfg`, and a link to libxlutil.
//!
//! There is none for `serde`: a configuration reaches libxl as JSON, so that there would be no
//! configurations without it.

#[cfg(feature = "log")]
extern crate log;
#[cfg(test)]
extern crate self as libxl; // Some tests are shared with those that are outside.

pub mod config;
pub mod console;
pub mod cpupool;
pub mod device;
pub mod domain;
pub mod events;
pub mod flask;
#[doc = include_str!("guide.md")]
pub mod guide {}
pub mod host;
pub mod hypervisor;
pub mod memory;
pub mod migrate;
pub mod operation;
pub mod overlay;
pub mod pci;
pub mod psr;
pub mod quota;
pub mod sched;
pub mod topology;
pub mod vcpu;
pub mod watcher;
pub mod xenstore;
#[cfg(feature = "xlutil")]
pub mod xlcfg;

mod abort;
mod bitmaps;
mod context;
mod error;
mod fork;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod have;
mod id;
mod json;
mod level;
mod limits;
mod loaded;
#[cfg(not(feature = "log"))]
mod log;
mod logger;
#[cfg(doctest)]
mod must_not_compile;
mod per_process;
mod progress;
mod pump;
mod qualifier;
mod queue;
mod raw;
mod rearm;
mod shutdown_reason;
mod sound_cards;
mod stream;
mod sync;
mod wake;

pub use abort::AbortHandle;
pub use config::DomainConfig;
pub use context::{Context, ContextBuilder, EventLoop, SigchldMode};
#[doc(inline)]
pub use domain::{
    Domain, DomainInfo, DomainState, Saving, ShutdownVia, Source, SuspendError, Suspended, Trigger,
};
pub use error::{Error, ErrorKind, Result};
#[doc(inline)]
pub use events::Events;
pub use have::{BUILT_FOR, have};
#[doc(inline)]
pub use host::{PhysInfo, VersionInfo};
pub use id::{DomId, DomainId};
pub use level::LogLevel;
pub use logger::LogLine;
#[doc(inline)]
pub use operation::{Limits, Operation, Running};
#[doc(inline)]
pub use overlay::OverlayOp;
pub use progress::Progress;
pub use shutdown_reason::ShutdownReason;
pub use stream::SavedHeader;
#[doc(inline)]
pub use watcher::{DomainEvent, HostEvent, RESYNC, Watch, Watcher};
