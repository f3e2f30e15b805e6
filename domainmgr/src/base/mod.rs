//! Means that know nothing of domains: time, files, threads, logging.

pub mod abort;
pub mod clock;
pub mod crash_points;
pub mod dirs;
pub mod field_error;
pub mod json;
pub mod logging;
pub mod mailbox;
pub mod progress;
pub mod queue;
pub mod services;
pub mod store;
pub mod time;
