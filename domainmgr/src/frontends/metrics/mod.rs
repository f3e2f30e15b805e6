//! Usage of the domains and of the host, as figures for Prometheus. Nothing is decided from it.

pub mod exposition;
mod figures;
pub mod http;
pub mod process;
mod table;
mod traffic;

pub use self::figures::{Figures, Sample};
pub use self::table::{Measured, Table};
