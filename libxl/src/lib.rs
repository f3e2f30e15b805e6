//! Xen: a safe wrapper of libxl, the library with which Xen hosts are managed.
//!
//! A program in dom0 opens a [`Context`], describes a domain in a [`DomainConfig`], creates the
//! domain, and follows its events with a [`Watcher`].
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
//! reboots, crashes or suspends stops running; its memory and its devices stay until the domain is
//! destroyed. A guest that suspended, for a save or a migration, may be resumed. The [`Watcher`]
//! reports its later events as well, although libxl's own event sources do not.
//!
//! The table gives the calls that each state allows. Any other call fails with the [`ErrorKind`]
//! that is given here:
//!
//! | call | paused | running | suspended | shut down otherwise | dying, gone |
//! |---|---|---|---|---|---|
//! | [`info`](Domain::info) | yes | yes | yes | yes | `Dying`, then `DomainNotFound` |
//! | [`watch`](Watcher::watch) | yes | yes | yes | yes | reports [`Death`](DomainEvent::Death) at once |
//! | [`pause`](Domain::pause), [`unpause`](Domain::unpause) | yes | yes | yes, without effect | yes, without effect | `DomainNotFound` |
//! | [`shutdown`](Domain::shutdown), [`reboot`](Domain::reboot) | `TimedOut`: it cannot answer | yes | `TimedOut` | `TimedOut` | `DomainNotFound` |
//! | [`suspend_only`](Domain::suspend_only), [`save`](Domain::save), [`checkpoint`](Domain::checkpoint), [`migrate`](Domain::migrate) with [`send`](migrate::Sender::send), [`remus_start`](Domain::remus_start) | `GuestTimedOut`: it cannot answer | yes | `Invalid` | `Invalid` | `DomainNotFound` |
//! | [`resume`](Domain::resume) | `Invalid` | `Invalid` | yes; `Invalid` while this process is saving the domain, or has [handed it over](migrate::Committed) | `Invalid` | `DomainNotFound` |
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
//! The [`guide`] continues from here: waiting, watching, migrating, failures, and tests without
//! Xen. `examples/` in the repository has a program for each subject; `tour.rs` is an overview.
//!
//! # Subjects
//!
//! | subject | items |
//! |---|---|
//! | a connection to Xen | [`Context`], [`ContextBuilder`] |
//! | the configuration of a domain | [`config`]; [`xlcfg`] reads the files of `xl` |
//! | creating, stopping, destroying and naming a domain | [`domain`] |
//! | events of one domain, and of all domains | [`watcher`], [`events`] |
//! | deadlines, aborts and progress of operations | [`operation`] |
//! | saving and restoring, checkpoints | [`Domain::save_file`], [`Context::restore`], [`Domain::checkpoint`] |
//! | migrating a domain to another host, or keeping a copy there | [`migrate`], [`Domain::remus_start`] |
//! | disks, NICs and other devices | [`device`]; [`pci`] for devices of the host |
//! | memory and vCPUs | [`memory`], [`vcpu`] |
//! | shares of the CPUs and their caches | [`sched`], [`cpupool`], [`psr`] |
//! | consoles and channels | [`console`] |
//! | the host | [`host`], [`topology`] |
//! | Xen's log, debug keys and parameters, and smaller functions | [`hypervisor`] |
//! | access control and xenstore limits | [`flask`], [`quota`] |
//! | devices added to an Arm machine while Xen runs | [`overlay`] |
//!
//! # Conventions
//!
//! * Names are libxl's names without the prefix; every wrapper carries the C name as a search
//!   alias. Sizes are in libxl's unit, which most names include.
//! * A call that takes time returns an [`Operation`], to be waited for, optionally with a deadline
//!   or an [`AbortHandle`].
//! * An [`Error`] names the C function that failed and the domain, and holds the lines that libxl
//!   logged: the cause is often only in these. Print the error with `{:#}`.
//! * A domain is addressed by its [`DomainId`], id and UUID together, because ids are reused.
//! * A guest whose save or migration fails keeps running where it was, and stays watched. This
//!   crate resumes the guest even if it suspends only after the operation was given up
//!   ([`SuspendError`]).
//! * Dropping a handle never touches a domain. Dropping an unfinished [migration](migrate) cancels
//!   it: the guest continues at the source.
//!
//! # Threads and processes
//!
//! Everything is `Send`, and a [`Context`] can be shared; long operations are best run on a context
//! per thread. libxl forks children and by default installs a SIGCHLD handler that reaps only these
//! children ([`SigchldMode`]): the program must not install one too. Threads that call libxl need a
//! stack of 256 KiB. libxl ends the process when it runs out of memory.
//!
//! # Versions
//!
//! The API is the same for every Xen from 4.14 on. The crate is built against the headers of the
//! installed libxl. A call that needs a feature which this libxl lacks fails with
//! [`ErrorKind::Unsupported`], and the error names the feature; [`have`] tells beforehand.
//!
//! # Features
//!
//! * `log` (default): lines of libxl and of this crate go to the `log` crate. Without the feature,
//!   the lines that belong to an error are still in [`Error::log`], and all others are lost.
//! * `xlutil` (default): the module `xlcfg`, and a link to libxlutil.
//!
//! `serde` is not an optional feature, because a configuration reaches libxl as JSON.

#[cfg(feature = "log")]
extern crate log;
#[cfg(test)]
extern crate self as libxl; // Some tests are shared with the integration tests.

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
mod xenstore_socket;
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
