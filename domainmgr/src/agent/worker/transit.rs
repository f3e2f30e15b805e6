//! Guests between two hosts, of which only this run of the agent knows.

use crate::host::remote::Connection;
use crate::toolstack::{Landing, Leaving};

/// A guest that was sent and has not been given away, and the connection by which that was done.
pub(super) struct Sent {
    // Dropped in this order: the guest goes on here, and then the command is ended.
    pub(super) leaving: Box<dyn Leaving>,
    pub(super) connection: Connection,
}

/// A domain that was received, and does not run yet.
pub(super) type Received = Box<dyn Landing>;
