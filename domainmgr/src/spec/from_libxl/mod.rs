//! A libxl configuration, as far as it concerns the agent.

mod devices;
mod domain;

pub use self::devices::{disk, nic};
pub use self::domain::domain;
