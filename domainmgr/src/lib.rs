//! The Domain Management Agent.
//!
//! One thread per DomainConfig file brings a Xen domain to the state that the file asks for, keeps it there, and publishes
//! the result in a DomainStatus file. `docs/domainmgr.md` is the manual.
//!
//! The modules are floors, from top to bottom. Each uses only those below it:
//!
//! * [`cli`]: the command line.
//! * [`agent`]: the running agent, which connects the other modules.
//! * [`frontends`]: the sources of wishes, and the places where the state of domains is shown.
//! * [`core`]: decisions, as pure functions.
//! * [`journal`] and [`host`]: durable memory, and the resources of the host.
//! * [`toolstack`]: the interface to Xen.
//! * [`spec`]: the description of a domain.
//! * [`base`]: time, files, threads and logging.
//!
//! `docs/architecture.md` describes what each has.
#![forbid(unsafe_code)]
// A function is about one thing. Tests may be longer: they list their cases.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod agent;
pub mod base;
pub mod cli;
pub mod core;
pub mod frontends;
pub mod host;
pub mod journal;
pub mod spec;
pub mod toolstack;
