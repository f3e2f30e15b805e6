//! Connections to xenstored are made one at a time.
//!
//! libxenstore (4.14 to 4.22) writes the path of xenstored's socket anew for each connection, always into the same memory, and glibc before
//! 2.37 empties that memory first. A thread that reads it in between finds no socket there and takes the kernel's device for xenstored, or,
//! in libxl's suspend, does without the guest's event channel.
//!
//! A connection is made by our own [`Xenstore`](crate::xenstore::Xenstore), by each context that opens, and where libxl begins to suspend a domain:
//! in `xs_suspend_evtchn_port`. Two calls are left out. A Remus session makes its connection after its devices are prepared, inside
//! whichever call then works on the context. A soft reset does it early, in a call that takes as long as the reset.

use std::sync::MutexGuard;

use crate::per_process::PerProcess;

static CONNECTING: PerProcess<()> = PerProcess::new(());

/// Held while libxenstore connects. No callback takes it.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    CONNECTING.lock()
}
