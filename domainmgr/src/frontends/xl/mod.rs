//! The files of xl, as xendomains finds them in a directory: what they say, and which are there.
//!
//! A file is known by the uuid that it gives to its domain; one that gives none, by the domain's name. The meaning of
//! each key is that of `xl create`, from [`libxl::xlcfg`].

mod file;
mod host;
mod limits;
mod table;
mod with_host;
mod words;

pub use self::file::{File, Found, key_of_file, key_of_name, understand};
pub use self::host::{Host, Hosts};
pub use self::table::{Change, Table, is_meant};
pub(crate) use self::with_host::is_ours;
