//! Result of an action, as Pacemaker is told.

/// Exit codes of OCF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// It is done; of `monitor`: the domain runs.
    Ok = 0,
    /// It has failed. Pacemaker recovers the resource.
    Generic = 1,
    /// There is no such action.
    Unimplemented = 3,
    /// The control socket may not be used.
    Permission = 4,
    /// This node cannot run the domain. Pacemaker tries others.
    Installed = 5,
    /// The parameters are wrong, on every node.
    Configured = 6,
    /// The domain does not run.
    NotRunning = 7,
}

/// Exit code of an action, and the reason for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) code: Code,
    pub(super) reason: Option<String>,
}

impl Verdict {
    pub(super) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: Some(reason.into()),
        }
    }

    pub(super) fn ok() -> Self {
        Self {
            code: Code::Ok,
            reason: None,
        }
    }

    /// The domain does not run, which needs no reason.
    pub(super) fn not_running() -> Self {
        Self {
            code: Code::NotRunning,
            reason: None,
        }
    }

    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::new(Code::Generic, reason)
    }
}
