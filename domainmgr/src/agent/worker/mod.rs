//! Workers: one thread per key. Each turns events into inputs for the core, runs the effects it returns, and publishes the
//! result. The thread itself only waits: each turn has a thread of its own, so that a worker that sleeps has next to nothing
//! in memory (see `aside.rs`).

mod aside;
mod changes;
mod durable;
mod events;
mod handle;
mod leaving;
mod live;
mod memory_files;
mod moving;
mod operations;
mod orders;
mod run;
mod shared;
mod status;
mod status_file;
#[cfg(test)]
mod tests;
mod transit;
mod written;

pub use self::handle::{Handle, VARIABLE, Worker, lack_threads};
pub use self::status_file::read_status;
