//! The core against the simulated Xen, in simulated time: single cases, and random schedules.

mod actions;
mod adapters;
mod cases;
mod changing;
mod devices;
mod disks;
mod harness;
mod jobs;
mod kept;
mod migration;
mod moving;
mod orders;
mod outsiders;
mod pace;
mod pair;
mod phases;
mod random;
mod saving;
mod starved;
mod turns;
mod upgrade;
