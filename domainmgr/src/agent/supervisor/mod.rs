//! The main thread: signals, directories, and the table of workers. It never waits for a domain.

mod configs;
mod global_config;
mod lister;
mod main_loop;
mod settings;
mod xl;

pub(crate) use self::global_config::load as load_settings;
pub(crate) use self::lister::Lister;
pub(crate) use self::main_loop::{Ears, Supervisor};
