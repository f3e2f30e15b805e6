//! The running agent: its threads, and everything that connects the other modules.

pub mod arrivals;
pub mod env;
pub mod meter;
pub mod options;
pub mod reception;
pub mod records;
pub mod start;
pub mod supervision;
pub mod supervisor;
pub mod turns;
pub mod unused_copies;
pub mod watching;
pub mod worker;
