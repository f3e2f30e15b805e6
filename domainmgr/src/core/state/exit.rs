//! Progress in dealing with a guest that ended by itself.

use serde::{Deserialize, Serialize};

use crate::toolstack::ShutdownReason;

/// Progress in dealing with a guest that ended although it should run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct Exit {
    pub(in crate::core) reason: ShutdownReason,
    /// Remaining steps, in reverse order.
    pub(in crate::core) steps: Vec<ExitStep>,
    pub(in crate::core) after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) enum ExitStep {
    CoreDump,
    SoftReset,
    Preserve,
    Destroy,
    /// Take the disks and network interfaces that the successor needs.
    Strip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) enum After {
    End,
    Restart,
    /// The dead domain stays where it is, under its name.
    Keep,
}
