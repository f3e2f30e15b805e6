//! Frontends turn something that people write into wishes, and show the result.

pub mod arrived;
pub mod board;
pub mod control;
pub mod eve;
pub mod inputs;
pub mod metrics;
pub mod status;
pub mod wish;
pub mod xl;
