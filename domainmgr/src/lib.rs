//! The Domain Management Agent.
//!
//! One thread per DomainConfig file brings a Xen domain to the state that the file asks for, keeps it there, and publishes
//! the result in a DomainStatus file. `docs/domainmgr.md` is the manual.
//!
//! [`core`] decides, [`toolstack`] acts on Xen, and [`store`] reads and writes files. [`worker`] and [`supervisor`] bring
//! them together, after [`start`] has prepared everything that they need.
#![forbid(unsafe_code)]

pub mod adapters;
pub mod cfgs;
pub mod change;
pub mod cli;
pub mod clock;
pub mod cloudinit;
pub mod control;
pub mod core;
pub mod crash;
pub mod dirs;
pub mod disks;
pub mod env;
pub mod eve;
pub mod host;
pub mod inputs;
pub mod journal;
pub mod limits;
pub mod logging;
pub mod mailbox;
pub mod metrics;
pub mod options;
pub mod owners;
pub mod queue;
pub mod records;
pub mod render;
pub mod services;
pub mod settings;
pub mod spec;
pub mod start;
pub mod store;
pub mod supervision;
pub mod supervisor;
pub mod toolstack;
pub mod watching;
pub mod wish;
pub mod words;
pub mod worker;
pub mod xl;
