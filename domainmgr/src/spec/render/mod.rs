//! Turns a [`Spec`](crate::spec::Spec) into the configuration for libxl, and into the equivalent text for people.

mod libxl;
mod shared;
#[cfg(test)]
mod tests;
mod written;
mod xl_cfg;

pub use self::libxl::domain_config;
pub use self::written::written;
pub use self::xl_cfg::{quoted, xl_cfg};
