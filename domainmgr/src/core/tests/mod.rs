//! The core against the simulated Xen, in simulated time: single cases, and random schedules.

mod cases;
mod harness;
mod random;
