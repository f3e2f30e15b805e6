//! Access to xenstore, one value at a time, where libxl has no function for it.
//!
//! libxl keeps everything about a domain in xenstore, and these keys belong to libxl. A toolstack
//! has to read or write a key itself only where libxl has no function for it, such as for the
//! features that a network interface's backend offers.
//!
//! ```no_run
//! use libxl::xenstore::Xenstore;
//!
//! let store = Xenstore::open()?;
//! let port = store.read("/local/domain/1/console/vnc-port")?;
//! store.write("/local/domain/0/backend/vif/1/0/feature-sg", "0")?;
//! # drop(port);
//! # Ok::<(), libxl::Error>(())
//! ```

mod connection;
mod watch;

pub use connection::Xenstore;
