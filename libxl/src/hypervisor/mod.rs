//! Xen itself: its log, its debug keys and its parameters; and functions around domains.
//!
//! ```no_run
//! use libxl::Context;
//!
//! let ctx = Context::open()?;
//! // 'q' has Xen write about its domains into its log.
//! ctx.send_debug_keys("q")?;
//! print!("{}", ctx.xen_log(false)?);
//! # Ok::<(), libxl::Error>(())
//! ```

mod cpuid;
mod dom0;
mod domains;
mod xen;
